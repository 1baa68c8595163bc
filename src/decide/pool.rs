//! A pool's budget of replicas, divided among its members by marginal utility.
//!
//! Every member keeps its minimum. What is left goes to whom it helps most: each time, the step that gains most *per
//! replica* in [`Capacity::utility`] — not the next single replica, because one more does nothing for a member that
//! lacks three, and a division by single steps would leave it there. To move a replica costs the time in which it
//! serves nobody, so one that is held counts for [`HELD`] more than one that is not.
//!
//! A member that no model sizes keeps what it has. If its reactive bounds ask for more, it has a part of what nobody
//! else gains by. Where the minimums alone exceed the budget nobody shrinks, and it is said.
//!
//! The operator divides at each member's turn, a stream once a tick; both go through [`Division`], and the order in
//! which members come makes no difference.

use std::collections::BTreeMap;

use super::memory;
use super::policy::Version;
use super::rules::scale_up;
use super::situation::{PoolShare, Situation};
use super::view::Turn;
use crate::orient::capacity::Capacity;

/// Gains below this are noise of the arithmetic.
const NOTHING: f64 = 1e-9;
/// Utility by which another must gain more before a held replica is moved: what a move of a minute or two costs
/// a need that lasts some ten.
const HELD: f64 = 0.15;
/// A member above this utility needs no further look ahead.
const ENOUGH: f64 = 0.999;

/// A budget of replicas that several workloads share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The budget.
    pub max_replicas: i32,
    /// Namespaces whose resources may take part; `*` = all.
    pub namespaces: Vec<String>,
}

impl Budget {
    /// Whether resources of a namespace may take part.
    #[must_use]
    pub fn takes(&self, namespace: &str) -> bool {
        self.namespaces.iter().any(|n| n == "*" || n == namespace)
    }
}

/// Why a resource of a namespace may not take part in the pool that it names; `None` where it may, or names none.
#[must_use]
pub fn refused(pools: &BTreeMap<String, Budget>, pool: Option<&str>, namespace: &str) -> Option<String> {
    let name = pool?;
    match pools.get(name) {
        None => Some(format!("spec.pool: {name:?} is not in the operator's configuration")),
        Some(pool) if !pool.takes(namespace) => {
            Some(format!("spec.pool: namespace {namespace} may not take part in {name:?}"))
        }
        Some(_) => None,
    }
}

/// What a division has to know of one member.
struct Claim {
    min: i32,
    max: i32,
    present: i32,
    /// The count that the reactive bounds ask for where no model answers; 0 where nothing is asked.
    asked: i32,
    capacity: Option<Capacity>,
    /// Worth of 0, 1, 2, … replicas, as far as asked for.
    worth: Vec<f64>,
}

impl Claim {
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

/// A pool's budget, divided among the members that ask.
#[derive(Clone, Debug)]
pub struct Division {
    pool: String,
    /// The budget without what is held by members that do not ask.
    budget: i32,
    /// In the order in which the members were given.
    shares: Vec<i32>,
    short: bool,
    /// The members by name.
    order: Vec<usize>,
}

impl Division {
    /// Divides among the members that are seen now. `held` is what the others hold: a member without fresh readings
    /// keeps its count.
    #[must_use]
    pub fn new(pool: &str, budget: i32, held: i32, members: &[&Situation]) -> Self {
        let budget = budget.saturating_sub(held);
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by_key(|i| (&members[*i].object.namespace, &members[*i].object.name));
        let mut claims: Vec<Claim> = order.iter().map(|i| claim(members[*i])).collect();
        let (sorted, short) = divide(budget, &mut claims);
        let mut shares = vec![0; members.len()];
        order.iter().zip(sorted).for_each(|(i, share)| shares[*i] = share);
        Self { pool: pool.to_owned(), budget, shares, short, order }
    }

    /// What a member may have once the others have what is theirs.
    #[must_use]
    pub fn share(&self, member: usize) -> PoolShare {
        let most = self.shares.get(member).copied().unwrap_or(0);
        PoolShare { pool: self.pool.clone(), most, short: self.short }
    }

    /// What each may have now, while `counts` stand: nobody grows into replicas that another still holds.
    #[must_use]
    pub fn grant(&self, counts: &[i32]) -> Vec<PoolShare> {
        let free = self.budget.saturating_sub(total(counts));
        let lacks: Vec<i32> = self.order.iter().map(|i| (self.shares[*i] - counts[*i]).max(0)).collect();
        let more = apportion(free, &lacks);
        let mut granted: Vec<PoolShare> = (0..self.shares.len()).map(|i| self.share(i)).collect();
        for (i, more) in self.order.iter().zip(more) {
            granted[*i].most = granted[*i].most.min(counts[*i] + more);
        }
        granted
    }
}

/// The share of each claim, and whether the minimums exceed the budget.
fn divide(budget: i32, claims: &mut [Claim]) -> (Vec<i32>, bool) {
    let floors: Vec<i32> =
        claims.iter().map(|c| if c.capacity.is_some() { c.min } else { c.present.max(c.min) }).collect();
    let mut left = budget.saturating_sub(total(&floors));
    let short = left < 0;
    let mut shares = if short { claims.iter().map(|c| c.present.max(c.min)).collect() } else { floors };
    let mut steps: Vec<(f64, i32)> = claims.iter_mut().zip(&shares).map(|(c, n)| c.step(*n, left)).collect();
    while left > 0 {
        for (i, step) in steps.iter_mut().enumerate().filter(|(_, step)| step.1 > left) {
            *step = claims[i].step(shares[i], left);
        }
        // Of two that gain the same, the first by name.
        let best = (0..steps.len()).rev().max_by(|a, b| steps[*a].0.total_cmp(&steps[*b].0));
        let Some(i) = best.filter(|i| steps[*i].0 > NOTHING && steps[*i].1 > 0) else { break };
        shares[i] += steps[i].1;
        left -= steps[i].1;
        steps[i] = claims[i].step(shares[i], left);
    }
    let lacks: Vec<i32> = claims.iter().zip(&shares).map(|(c, share)| (c.asked - share).max(0)).collect();
    shares.iter_mut().zip(apportion(left, &lacks)).for_each(|(share, more)| *share += more);
    (shares, short)
}

/// Replicas in all.
fn total(counts: &[i32]) -> i32 {
    counts.iter().copied().fold(0, i32::saturating_add)
}

/// What of `left` each gets: one at a time, to whoever has got the smallest part of what it lacks; of equals to the first.
fn apportion(left: i32, lacks: &[i32]) -> Vec<i32> {
    if lacks.iter().map(|lack| i64::from(*lack)).sum::<i64>() <= i64::from(left) {
        return lacks.to_vec();
    }
    let mut got = vec![0; lacks.len()];
    for _ in 0..left {
        let part = |i: usize, of: usize| i64::from(got[i]) * i64::from(lacks[of]);
        let open = (0..lacks.len()).filter(|i| got[*i] < lacks[*i]);
        let Some(next) = open.min_by(|a, b| part(*a, *b).cmp(&part(*b, *a))) else { break };
        got[next] += 1;
    }
    got
}

/// The count a member has; its minimum where its target is not there.
#[must_use]
pub fn present(s: &Situation) -> i32 {
    s.observed.workload.as_ref().map_or(s.spec.min_replicas, |w| w.desired)
}

fn claim(s: &Situation) -> Claim {
    let turn = s.observed.workload.as_ref().map(|w| Turn::new(Version::NEWEST, s, w));
    let capacity = turn.as_ref().and_then(|turn| turn.view(&s.memory).capacity().copied());
    let asked = turn.filter(|_| capacity.is_none()).map_or(0, |turn| {
        let (memory, _, _) = memory::seen(&turn);
        scale_up::asked(&turn.view(&memory)).unwrap_or(0)
    });
    Claim {
        min: s.spec.min_replicas,
        max: s.spec.max_replicas,
        present: present(s),
        asked: asked.min(s.spec.max_replicas),
        capacity,
        worth: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::scaling::CapacityModel;
    use crate::decide::testing::Story;
    use crate::observe::reading::SignalName;

    /// A member that a model sizes, or one that its reactive bounds may raise.
    fn member(name: usize, replicas: i32, needs: Option<i32>, cpu: f64) -> Situation {
        let mut s = Story::new().replicas(replicas).fresh(SignalName::CPU, cpu).needs(needs.unwrap_or(1)).s;
        std::sync::Arc::make_mut(&mut s.object).name = format!("m{name}");
        (s.spec.min_replicas, s.spec.max_replicas) = (1, 20);
        s.memory.cpu_hot = 5;
        if needs.is_none() {
            s.spec.predictor.capacity_model = CapacityModel::Rules;
        }
        s
    }

    /// What each may have once all have given back, and now, by name.
    fn divided(budget: i32, held: i32, members: &[Situation]) -> BTreeMap<String, (i32, i32)> {
        let all: Vec<&Situation> = members.iter().collect();
        let counts: Vec<i32> = all.iter().map(|s| present(s)).collect();
        let division = Division::new("p", budget, held, &all);
        let names = all.iter().map(|s| s.object.name.clone());
        let shares = division.grant(&counts).into_iter().enumerate();
        names.zip(shares.map(|(i, share)| (division.share(i).most, share.most))).collect()
    }

    #[test]
    fn who_does_not_ask_takes_nothing_from_who_does() {
        let (idle, hot) = (member(0, 2, None, 0.3), member(1, 2, None, 1.4));
        let both = divided(6, 0, &[idle, hot.clone()]);
        assert_eq!((both["m0"].1, both["m1"].1), (2, 4));
        let three = divided(10, 1, &[hot, member(2, 1, None, 1.4), member(3, 3, None, 1.4)]);
        let most = ["m1", "m2", "m3"].map(|name| three[name].1);
        assert_eq!(
            most,
            [3, 2, 4],
            "4, 2 and 6 are asked for, and 9 are there: each has a part of what it lacks"
        );
    }

    proptest! {
        #[test]
        fn order_makes_no_difference_and_the_budget_is_kept(
            given in prop::collection::vec((1_i32..8, prop::option::of(1_i32..12), 0.1..1.5_f64), 1..6),
            turn in 0_usize..6, budget in 1_i32..40, held in 0_i32..10,
        ) {
            let mut members: Vec<Situation> =
                given.iter().enumerate().map(|(i, (n, needs, cpu))| member(i, *n, *needs, *cpu)).collect();
            let one = divided(budget, held, &members);
            members.reverse();
            let by = turn % members.len();
            members.rotate_left(by);
            prop_assert_eq!(&one, &divided(budget, held, &members));
            let counts: BTreeMap<&str, i32> = members.iter().map(|s| (&*s.object.name, present(s))).collect();
            let grown = one.iter().map(|(name, (_, now))| (*now).max(counts[name.as_str()])).sum::<i32>();
            prop_assert!(held + grown <= budget.max(held + counts.values().sum::<i32>()), "{one:?}");
        }
    }
}
