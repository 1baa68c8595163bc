//! A pool's budget of replicas, divided among its members by marginal utility.
//!
//! Every member keeps its minimum. What is left goes to whom it helps most: each time, the step that gains most *per
//! replica* in [`Capacity::utility`] — not the next single replica, because one more does nothing for a member that
//! lacks three, and a division by single steps would leave it there. To move a replica costs the time in which it
//! serves nobody, so one that is held counts for [`HELD`] more than one that is not.
//!
//! A member whose readings say nothing keeps what it has. Where the minimums alone exceed the budget nobody shrinks,
//! and it is said.

use super::situation::{PoolShare, Situation};
use super::view::View;
use crate::orient::capacity::Capacity;

/// Gains below this are noise of the arithmetic.
const NOTHING: f64 = 1e-9;
/// Utility by which another must gain more before a held replica is moved: what a move of a minute or two costs
/// a need that lasts some ten.
const HELD: f64 = 0.15;
/// A member above this utility needs no further look ahead.
const ENOUGH: f64 = 0.999;

/// What a division has to know of one member.
struct Claim<'a> {
    min: i32,
    max: i32,
    present: i32,
    capacity: Option<&'a Capacity>,
    /// Worth of 0, 1, 2, … replicas, as far as asked for.
    worth: Vec<f64>,
}

impl Claim<'_> {
    fn worth(&mut self, replicas: i32) -> f64 {
        let Some(capacity) = self.capacity else { return 0.0 };
        let n = usize::try_from(replicas).unwrap_or(0);
        while let Ok(next) = i32::try_from(self.worth.len())
            && self.worth.len() <= n
        {
            self.worth.push(capacity.utility(next) + HELD * f64::from(next.min(self.present)));
        }
        self.worth.get(n).copied().unwrap_or(0.0)
    }

    /// The step from `share` that gains most per replica, within `left`: (gain per replica, replicas).
    fn step(&mut self, share: i32, left: i32) -> (f64, i32) {
        let base = self.worth(share);
        let mut best = (0.0, 0);
        for more in 1..=left.min(self.max - share) {
            let gain = (self.worth(share + more) - base) / f64::from(more);
            if gain > best.0 {
                best = (gain, more);
            }
            let held = HELD * f64::from((share + more).min(self.present));
            if share + more >= self.present && self.worth(share + more) - held >= ENOUGH {
                break;
            }
        }
        best
    }
}

/// The share of each member, in the order they are given.
///
/// A share is what a member may have once the others have what is theirs; [`grant`] says what it may have now.
#[must_use]
pub fn divide(pool: &str, budget: i32, members: &[&Situation]) -> Vec<PoolShare> {
    let mut claims: Vec<Claim<'_>> = members.iter().map(|s| claim(s)).collect();
    let floors: Vec<i32> =
        claims.iter().map(|c| if c.capacity.is_some() { c.min } else { c.present.max(c.min) }).collect();
    let mut left = budget - floors.iter().sum::<i32>();
    let short = left < 0;
    let mut shares = if short { claims.iter().map(|c| c.present.max(c.min)).collect() } else { floors };
    let mut steps: Vec<(f64, i32)> = claims.iter_mut().zip(&shares).map(|(c, n)| c.step(*n, left)).collect();
    while left > 0 {
        for (i, step) in steps.iter_mut().enumerate().filter(|(_, step)| step.1 > left) {
            *step = claims[i].step(shares[i], left);
        }
        // Of two that gain the same, the first.
        let best = (0..steps.len()).rev().max_by(|a, b| steps[*a].0.total_cmp(&steps[*b].0));
        let Some(i) = best.filter(|i| steps[*i].0 > NOTHING && steps[*i].1 > 0) else { break };
        shares[i] += steps[i].1;
        left -= steps[i].1;
        steps[i] = claims[i].step(shares[i], left);
    }
    // Who has no model has no claim, but its reactive bounds may use what nobody else does.
    for (share, claim) in shares.iter_mut().zip(&claims).filter(|(_, claim)| claim.capacity.is_none()) {
        *share = (*share + left.max(0)).min(claim.max.max(*share));
    }
    shares.into_iter().map(|most| PoolShare { pool: pool.to_owned(), most, short }).collect()
}

/// Cuts growth to what is free while `counts` stand: nobody grows into replicas that another still holds.
pub fn grant(shares: &mut [PoolShare], budget: i32, counts: &[i32]) {
    let mut free = (budget - counts.iter().sum::<i32>()).max(0);
    for (share, count) in shares.iter_mut().zip(counts) {
        let more = (share.most - count).max(0).min(free);
        free -= more;
        share.most = share.most.min(count + more);
    }
}

/// The count a member has; its minimum where its target is not there.
#[must_use]
pub fn present(s: &Situation) -> i32 {
    s.observed.workload.as_ref().map_or(s.spec.min_replicas, |w| w.desired)
}

fn claim(s: &Situation) -> Claim<'_> {
    let w = s.observed.workload.as_ref();
    let capacity = w.and_then(|w| View::new(s, w, &s.memory).capacity());
    Claim {
        min: s.spec.min_replicas,
        max: s.spec.max_replicas,
        present: present(s),
        capacity,
        worth: Vec::new(),
    }
}
