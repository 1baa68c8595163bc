//! Tail risk: the mean of the worst 1 − α of the losses (expected shortfall, "CVaR").
//!
//! ```text
//!  losses ─► sorted once ────────────► ES        (a batch)
//!         └► tree of the last n ─────► ES        (a stream: O(log n) a loss, O(log n) a question)
//!         └► resampled, seeded ──────► interval
//! ```

/// Samples in the tail, n(1−α), from which on ES is more than an estimate: 600 losses at α = .95, where a
/// distribution-free statement holds with δ = .05.
pub const GUARANTEE_TAIL: f64 = 30.0;
/// Resamples behind an interval.
const RESAMPLES: usize = 1000;

/// How much a window of losses says of its tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Below 1/(1−α) losses: nothing.
    Unknown,
    /// A number to look at, with an interval; no promise.
    Estimate,
    /// Enough for a distribution-free statement.
    Guarantee,
}

/// What `n` losses say of the tail beyond α.
#[must_use]
pub fn standing(n: usize, alpha: f64) -> Standing {
    match tail_size(n, alpha) {
        None => Standing::Unknown,
        Some(k) if k < GUARANTEE_TAIL => Standing::Estimate,
        Some(_) => Standing::Guarantee,
    }
}

/// `ES_α` of `losses`, the exact Rockafellar–Uryasev value; `None` where it is unknown.
///
/// With ℓ₍₁₎ ≥ … ≥ ℓ₍ₙ₎, k = n(1−α) and m = ⌊k⌋ it is `(Σ_{i≤m} ℓ₍ᵢ₎ + (k−m)·ℓ₍ₘ₊₁₎)/k`. Below 1/(1−α) samples
/// (k < 1) the window carries no information on the tail, and a loss that is not finite makes it unknown too.
/// [`standing`] says what it may be called.
#[must_use]
pub fn expected_shortfall(losses: &[f64], alpha: f64) -> Option<f64> {
    let sorted = descending(losses)?;
    let k = tail_size(sorted.len(), alpha)?;
    let m = libm::floor(k) as usize;
    shortfall(k, sorted.iter().take(m).sum(), sorted.get(m).copied())
}

/// The formula, from the sum of the ⌊k⌋ worst and the next one.
fn shortfall(k: f64, whole: f64, next: Option<f64>) -> Option<f64> {
    let part = next.map_or(0.0, |loss| (k - libm::floor(k)) * loss);
    Some((whole + part) / k).filter(|v| v.is_finite())
}

/// The central `level` (such as .95) percentile-bootstrap interval of `ES_α`, low and high; the same for the same
/// seed. `None` where ES is unknown. It tends to be short while the tail holds few losses (Efron & Tibshirani
/// 1993, ch. 13): no resample is worse than the worst loss seen.
#[must_use]
pub fn interval(losses: &[f64], alpha: f64, level: f64, seed: u64) -> Option<(f64, f64)> {
    let sorted = descending(losses)?;
    let n = sorted.len();
    let k = tail_size(n, alpha).filter(|_| (0.0..1.0).contains(&level))?;
    let (mut chance, mut drawn) = (seed, vec![0_u32; n]);
    let mut values: Vec<f64> = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        drawn.fill(0);
        for _ in 0..n {
            chance = chance.wrapping_add(STRIDE);
            // The high half of a 64×64 product maps onto 0…n−1 evenly.
            drawn[((u128::from(mixed(chance)) * n as u128) >> 64) as usize] += 1;
        }
        values.push(resampled(&sorted, &drawn, k));
    }
    values.sort_unstable_by(f64::total_cmp);
    let at = |p: f64| values[((p * RESAMPLES as f64) as usize).min(RESAMPLES - 1)];
    Some((at(0.5 - 0.5 * level), at(0.5 + 0.5 * level)))
}

/// ES of a resample, given how often each of the sorted losses was drawn.
fn resampled(sorted: &[f64], drawn: &[u32], k: f64) -> f64 {
    let (mut left, mut sum) = (k, 0.0);
    for (loss, times) in sorted.iter().zip(drawn) {
        let share = f64::from(*times).min(left);
        sum += share * loss;
        left -= share;
        if left <= 0.0 {
            break;
        }
    }
    sum / k
}

/// The step of `SplitMix64`.
pub(super) const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// The output function of `SplitMix64` (Steele, Lea & Flood 2014): chance without a source of chance.
pub(super) fn mixed(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The published rule: the mean of the ⌊n(1−α)⌋ (at least one) worst losses. For comparison alone.
#[must_use]
pub fn compat(losses: &[f64], alpha: f64) -> Option<f64> {
    let sorted = descending(losses)?;
    // Deliberately without the rounding of `tail_size`: the published rule takes 4 of 25 at α = .8.
    let m = (libm::floor(sorted.len() as f64 * (1.0 - alpha)) as usize).max(1);
    let worst = sorted.get(..m)?;
    Some(worst.iter().sum::<f64>() / m as f64)
}

fn descending(losses: &[f64]) -> Option<Vec<f64>> {
    if losses.iter().any(|loss| !loss.is_finite()) {
        return None;
    }
    let mut sorted = losses.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    Some(sorted)
}

/// k = n(1−α), snapped to a whole number that only rounding separates it from; `None` below 1.
fn tail_size(n: usize, alpha: f64) -> Option<f64> {
    if !(0.0..1.0).contains(&alpha) {
        return None;
    }
    let k = n as f64 * (1.0 - alpha);
    let whole = libm::round(k);
    let k = if (k - whole).abs() < 1e-9 * whole.max(1.0) { whole } else { k };
    (k >= 1.0).then_some(k)
}

/// The last losses of a stream, kept as a tree in order of size in which every node knows the count and the sum
/// below it: a treap, whose shape depends on a hash of the slot and so never on luck.
///
/// Sums are added up anew along each changed path and never subtracted from, so they do not drift.
#[derive(Clone, Debug)]
pub struct TailWindow {
    capacity: usize,
    nodes: Vec<Node>,
    root: usize,
    /// The slot that the next loss takes.
    next: usize,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    loss: f64,
    /// Larger losses.
    left: usize,
    /// Smaller ones.
    right: usize,
    count: usize,
    sum: f64,
}

/// No node.
const NONE: usize = usize::MAX;

impl TailWindow {
    /// An empty window of at most `capacity` (≥ 1) losses.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), nodes: Vec::new(), root: NONE, next: 0 }
    }

    /// Takes one loss in; the oldest leaves when the window is full. One that is not finite is refused: `false`.
    pub fn push(&mut self, loss: f64) -> bool {
        if !loss.is_finite() {
            return false;
        }
        let (slot, alone) = (self.next, Node { loss, left: NONE, right: NONE, count: 1, sum: loss });
        self.next = (slot + 1) % self.capacity;
        if slot == self.nodes.len() {
            self.nodes.push(alone);
        } else {
            let key = (self.nodes[slot].loss, slot);
            let (worse, rest) = self.split(self.root, key, false);
            let (_, better) = self.split(rest, key, true);
            self.root = self.join(worse, better);
            self.nodes[slot] = alone;
        }
        let (worse, better) = self.split(self.root, (loss, slot), false);
        let worse = self.join(worse, slot);
        self.root = self.join(worse, better);
        true
    }

    /// Losses in the window.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// `ES_α` of the window; `None` where it is unknown.
    #[must_use]
    pub fn expected_shortfall(&self, alpha: f64) -> Option<f64> {
        let k = tail_size(self.len(), alpha)?;
        let (whole, next) = self.worst(libm::floor(k) as usize);
        shortfall(k, whole, next)
    }

    /// The sum of the `m` largest losses, and the next one.
    fn worst(&self, mut m: usize) -> (f64, Option<f64>) {
        let (mut at, mut sum) = (self.root, 0.0);
        while let Some(node) = self.nodes.get(at) {
            let worse = self.count(node.left);
            if m < worse {
                at = node.left;
                continue;
            }
            sum += self.sum(node.left);
            if m == worse {
                return (sum, Some(node.loss));
            }
            sum += node.loss;
            m -= worse + 1;
            at = node.right;
        }
        (sum, None)
    }

    fn count(&self, at: usize) -> usize {
        self.nodes.get(at).map_or(0, |node| node.count)
    }

    fn sum(&self, at: usize) -> f64 {
        self.nodes.get(at).map_or(0.0, |node| node.sum)
    }

    /// Adds up a node from its children.
    fn settle(&mut self, at: usize) {
        let Node { loss, left, right, .. } = self.nodes[at];
        self.nodes[at].count = self.count(left) + 1 + self.count(right);
        self.nodes[at].sum = self.sum(left) + loss + self.sum(right);
    }

    /// Two trees: the losses before `key` (larger, then of lower slot), and the others; `with` puts the key itself
    /// to the first.
    fn split(&mut self, at: usize, key: (f64, usize), with: bool) -> (usize, usize) {
        let Some(node) = self.nodes.get(at).copied() else { return (NONE, NONE) };
        let order = key.0.total_cmp(&node.loss).then(at.cmp(&key.1));
        if order.is_lt() || (with && order.is_eq()) {
            let (first, second) = self.split(node.right, key, with);
            self.nodes[at].right = first;
            self.settle(at);
            (at, second)
        } else {
            let (first, second) = self.split(node.left, key, with);
            self.nodes[at].left = second;
            self.settle(at);
            (first, at)
        }
    }

    /// One tree of two, all of `first` before all of `second`.
    fn join(&mut self, first: usize, second: usize) -> usize {
        if first == NONE || second == NONE {
            return first.min(second);
        }
        if mixed((first as u64).wrapping_mul(STRIDE)) > mixed((second as u64).wrapping_mul(STRIDE)) {
            self.nodes[first].right = self.join(self.nodes[first].right, second);
            self.settle(first);
            first
        } else {
            self.nodes[second].left = self.join(first, self.nodes[second].left);
            self.settle(second);
            second
        }
    }
}

#[cfg(test)]
#[path = "tail_tests.rs"]
pub(super) mod tests;
