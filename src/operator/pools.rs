//! Replica pools: what each member may have, while the members take their turns one by one.
//!
//! A member's turn divides the budget anew among all members, as each was seen last. Growth comes only out of what
//! nobody holds or has been granted, so that two turns at once cannot spend the same replica twice.

use std::collections::BTreeMap;
use std::sync::Mutex;

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::groups::Group;
use super::world::World;
use crate::api::scaling::Enforcement;
use crate::decide::pool::{Budget, Division, present};
use crate::decide::situation::{PoolShare, Situation};

/// Turns after which what a member was seen with is no longer its need, only its count.
const TURNS: i64 = 3;

type Key = (String, String);

/// A member as it was seen in its last turn.
struct Seen {
    situation: Situation,
    /// The count it was granted then.
    granted: i32,
}

/// All members of all pools.
#[derive(Default)]
pub struct Pools {
    seen: Mutex<BTreeMap<Key, Seen>>,
}

impl Pools {
    /// The share of one member in its turn; `None` where it names no pool.
    pub fn share(&self, world: &World, situation: &Situation) -> Option<PoolShare> {
        let name = situation.spec.pool.as_ref()?;
        let pool = world.config.pools.get(name)?;
        let me = (situation.object.namespace.clone(), situation.object.name.clone());
        let others = members(world, name, pool).into_iter().filter(|(key, _)| *key != me).collect();
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Some(shared(&mut seen, name, pool.max_replicas, situation, me, &others))
    }
}

/// Every resource that takes part, with the count of its Deployment.
fn members(world: &World, name: &str, pool: &Budget) -> BTreeMap<Key, i32> {
    let mut found = BTreeMap::new();
    for scope in world.stores.scopes() {
        for resource in scope.claims.of(&Group::Pool(name.to_owned())) {
            let Ok(resource) = &resource.0 else { continue };
            let namespace = resource.namespace().unwrap_or_default();
            if resource.spec.pool.as_deref() != Some(name) || !pool.takes(&namespace) {
                continue;
            }
            let target = ObjectRef::new(&resource.spec.target_ref.name).within(&namespace);
            let count = scope.deployments.get(&target).and_then(|d| d.spec.as_ref()?.replicas).unwrap_or(0);
            found.insert((namespace, resource.name_any()), count);
        }
    }
    found
}

fn shared(
    seen: &mut BTreeMap<Key, Seen>,
    name: &str,
    budget: i32,
    situation: &Situation,
    me: Key,
    others: &BTreeMap<Key, i32>,
) -> PoolShare {
    seen.retain(|key, s| {
        *key == me || others.contains_key(key) || s.situation.spec.pool.as_deref() != Some(name)
    });
    let mut held = 0;
    let (mut asking, mut counts) = (vec![situation], vec![present(situation)]);
    for (key, count) in others {
        let acts = |s: &&Seen| s.situation.spec.enforcement == Enforcement::Act;
        match seen.get(key).filter(acts).filter(|s| fresh(&s.situation, situation)) {
            Some(s) => {
                asking.push(&s.situation);
                counts.push((*count).max(s.granted));
            }
            // Not seen yet, no longer, or only shown: it keeps what it has.
            None => held = i32::saturating_add(held, (*count).max(seen.get(key).map_or(0, |s| s.granted))),
        }
    }
    let mine = Division::new(name, budget, held, &asking).grant(&counts).swap_remove(0);
    let granted = mine.most.max(present(situation));
    seen.insert(me, Seen { situation: situation.clone(), granted });
    mine
}

fn fresh(theirs: &Situation, mine: &Situation) -> bool {
    let age = mine.now.duration_since(theirs.now).as_secs();
    age <= TURNS * i64::from(theirs.spec.interval_seconds) + 5
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::testing::Story;

    fn member(name: &str, replicas: i32, needs: i32) -> Situation {
        let mut s = Story::new().replicas(replicas).needs(needs).s;
        std::sync::Arc::make_mut(&mut s.object).name = name.into();
        s.spec.pool = Some("p".into());
        s.spec.enforcement = Enforcement::Act;
        s.spec.min_replicas = 1;
        s
    }

    fn key(s: &Situation) -> Key {
        (s.object.namespace.clone(), s.object.name.clone())
    }

    #[test]
    fn a_member_that_was_never_seen_keeps_its_count() {
        let a = member("a", 2, 9);
        let mut seen = BTreeMap::new();
        let others = BTreeMap::from([(("shop".to_owned(), "b".to_owned()), 5)]);
        let share = shared(&mut seen, "p", 10, &a, key(&a), &others);
        assert_eq!((share.most, share.short), (5, false));
    }

    #[test]
    fn two_turns_at_once_do_not_spend_the_same_replica() {
        let (a, b) = (member("a", 3, 8), member("b", 3, 8));
        let mut seen = BTreeMap::new();
        let both = |me: &Situation| {
            [&a, &b].into_iter().filter(|s| s.object.name != me.object.name).map(|s| (key(s), 3)).collect()
        };
        let first = shared(&mut seen, "p", 8, &a, key(&a), &both(&a)).most;
        let second = shared(&mut seen, "p", 8, &b, key(&b), &both(&b)).most;
        assert_eq!((first, second), (5, 3), "what was granted is held until the next turn");
        let again = shared(&mut seen, "p", 8, &a, key(&a), &both(&a)).most;
        assert_eq!(again, 4, "the division, once both are seen: 4 each");
    }

    #[test]
    fn who_is_deleted_frees_its_share() {
        let (a, b) = (member("a", 3, 8), member("b", 5, 5));
        let mut seen = BTreeMap::new();
        shared(&mut seen, "p", 8, &b, key(&b), &BTreeMap::new());
        let share = shared(&mut seen, "p", 8, &a, key(&a), &BTreeMap::new());
        assert_eq!(share.most, 8);
        assert_eq!(seen.len(), 1);
    }
}
