//! A pool's budget of replicas, divided among its members by marginal utility.
//!
//! Every member keeps its minimum. What is left goes, replica by replica, to whom it helps most: the gain in
//! [`Capacity::utility`] that one more brings. A member whose readings say nothing keeps what it has. Where the
//! minimums alone exceed the budget nobody shrinks, and it is said.

use super::situation::{PoolShare, Situation};
use super::view::View;
use crate::orient::capacity::Capacity;

/// Gains are told apart down to this.
const NOTHING: f64 = 1e-9;

/// What a division has to know of one member.
struct Claim<'a> {
    min: i32,
    max: i32,
    present: i32,
    capacity: Option<&'a Capacity>,
}

/// The share of each member, in the order they are given.
///
/// A share is what a member may have once the others have what is theirs; [`grant`] says what it may have now.
#[must_use]
pub fn divide(pool: &str, budget: i32, members: &[&Situation]) -> Vec<PoolShare> {
    let claims: Vec<Claim<'_>> = members.iter().map(|s| claim(s)).collect();
    let floors: Vec<i32> =
        claims.iter().map(|c| if c.capacity.is_some() { c.min } else { c.present.max(c.min) }).collect();
    let mut left = budget - floors.iter().sum::<i32>();
    let short = left < 0;
    let mut shares = if short { claims.iter().map(|c| c.present.max(c.min)).collect() } else { floors };
    while left > 0 {
        let worth = |i: usize, n: i32| claims[i].capacity.map_or(1.0, |capacity| capacity.utility(n));
        let gain = |i: usize| match shares[i] {
            n if n >= claims[i].max => (0.0, 0.0),
            // In whole steps, so that rounding breaks no tie.
            n => (libm::round((worth(i, n + 1) - worth(i, n)) / NOTHING), -worth(i, n)),
        };
        // Of two that gain the same, the worse off.
        let order = |a: &((f64, f64), usize), b: &((f64, f64), usize)| {
            a.0.0.total_cmp(&b.0.0).then(a.0.1.total_cmp(&b.0.1)).then(b.1.cmp(&a.1))
        };
        let best = (0..claims.len()).map(|i| (gain(i), i)).max_by(order);
        let Some((_, i)) = best.filter(|((gain, _), _)| *gain > 0.0) else { break };
        shares[i] += 1;
        left -= 1;
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
    Claim { min: s.spec.min_replicas, max: s.spec.max_replicas, present: present(s), capacity }
}
