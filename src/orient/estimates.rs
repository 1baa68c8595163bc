//! The estimates of one turn, by signal.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Estimate;
use crate::observe::reading::SignalName;

/// Estimates in the order of their signals' names; written as a map.
///
/// A list, because there are a handful of them and each turn makes new ones: a tree costs more to build than all that is
/// ever looked up in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Estimates(Vec<(SignalName, Estimate)>);

impl Estimates {
    /// None, with room for as many.
    pub(super) fn with_capacity(signals: usize) -> Self {
        Self(Vec::with_capacity(signals))
    }

    /// The signal's estimate, where there is one.
    #[must_use]
    pub fn get(&self, name: &SignalName) -> Option<&Estimate> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, estimate)| estimate)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &(SignalName, Estimate)> {
        self.0.iter()
    }

    /// Sets a signal's estimate.
    pub fn insert(&mut self, name: SignalName, estimate: Estimate) {
        // In the order of names from the start, as it mostly comes.
        if self.0.last().is_none_or(|(last, _)| *last < name) {
            self.0.push((name, estimate));
            return;
        }
        match self.0.binary_search_by(|(known, _)| known.cmp(&name)) {
            Ok(place) => self.0[place].1 = estimate,
            Err(place) => self.0.insert(place, (name, estimate)),
        }
    }

    /// Keeps those of the signals that pass.
    pub fn retain(&mut self, mut keep: impl FnMut(&SignalName) -> bool) {
        self.0.retain(|(name, _)| keep(name));
    }
}

impl FromIterator<(SignalName, Estimate)> for Estimates {
    fn from_iter<I: IntoIterator<Item = (SignalName, Estimate)>>(all: I) -> Self {
        let mut estimates = Self::default();
        all.into_iter().for_each(|(name, estimate)| estimates.insert(name, estimate));
        estimates
    }
}

impl Serialize for Estimates {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, estimate)| (name, estimate)))
    }
}

impl<'de> Deserialize<'de> for Estimates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(BTreeMap::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name() -> impl Strategy<Value = SignalName> {
        prop::sample::select(vec!["cpu", "latency", "errors", "a.first", "own", "zz"])
            .prop_map(SignalName::new)
    }

    proptest! {
        #[test]
        fn it_is_a_map_in_the_order_of_names(all in prop::collection::vec((name(), 0..9_u32), 0..12)) {
            let all: Vec<_> =
                all.into_iter().map(|(name, samples)| (name, Estimate { samples, ..Estimate::default() })).collect();
            let map: BTreeMap<SignalName, Estimate> = all.iter().cloned().collect();
            let mut list: Estimates = all.into_iter().collect();
            prop_assert!(list.iter().map(|(name, estimate)| (name, estimate)).eq(&map));
            let text = serde_json::to_string(&list).unwrap();
            prop_assert_eq!(&text, &serde_json::to_string(&map).unwrap());
            prop_assert_eq!(&serde_json::from_str::<Estimates>(&text).unwrap(), &list);
            for name in ["cpu", "own", "none"].map(SignalName::new) {
                prop_assert_eq!(list.get(&name), map.get(&name));
            }
            list.retain(|name| *name == SignalName::CPU);
            prop_assert_eq!(list.iter().count(), usize::from(map.contains_key(&SignalName::CPU)));
        }
    }
}
