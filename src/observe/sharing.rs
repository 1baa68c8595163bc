//! One question asked once: the same query of the same source at the same evaluation time has one answer.
//!
//! ```text
//!  asker ─┬─► under way ─────► joins it ─┐
//!         ├─► just answered ─────────────┼─► Arc<Answer>
//!         └─► new ───────────► the source ┘
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use jiff::Timestamp;

use super::answer::Answer;
use super::source::{Fault, Source};

/// Seconds for which an answer is kept: the turns of one second do not all run at once.
const KEPT_SECONDS: i64 = 1;
/// Answers kept at once.
const KEPT: usize = 1024;
/// An answer of more series than this is not kept.
const SERIES: usize = 16;

type Outcome = Result<Arc<Answer>, Fault>;
type Flight = BoxFuture<'static, Outcome>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: String,
    query: String,
    at: Timestamp,
}

enum Slot {
    /// Weak, so that a question whose askers all left ends instead of holding its place at the source.
    Asked(WeakShared<Flight>),
    Answered(Arc<Answer>),
}

/// Questions under way and just answered. A failure is never kept.
#[derive(Default)]
pub(super) struct Sharing {
    slots: Mutex<HashMap<Key, Slot>>,
}

impl Sharing {
    /// Asks, or takes part in the answer that somebody else asked for.
    pub(super) async fn ask(
        &self,
        name: &str,
        source: &Arc<dyn Source>,
        query: &str,
        at: Timestamp,
    ) -> Outcome {
        let key = Key { source: name.to_owned(), query: query.to_owned(), at };
        let flight = match self.join(&key, source) {
            Ok(answer) => return Ok(answer),
            Err(flight) => flight,
        };
        let outcome = flight.await;
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        match &outcome {
            Ok(answer) if few(answer) => slots.insert(key, Slot::Answered(answer.clone())),
            Ok(_) | Err(_) => slots.remove(&key),
        };
        outcome
    }

    fn join(&self, key: &Key, source: &Arc<dyn Source>) -> Result<Arc<Answer>, Shared<Flight>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        match slots.get(key) {
            Some(Slot::Answered(answer)) => return Ok(answer.clone()),
            Some(Slot::Asked(weak)) => {
                if let Some(flight) = weak.upgrade() {
                    return Err(flight);
                }
            }
            None => {}
        }
        slots.retain(|other, slot| match slot {
            Slot::Asked(weak) => weak.upgrade().is_some(),
            Slot::Answered(_) => key.at.duration_since(other.at).as_secs().abs() <= KEPT_SECONDS,
        });
        if slots.len() >= KEPT {
            slots.retain(|_, slot| matches!(slot, Slot::Asked(_)));
        }
        let (source, query, at) = (source.clone(), key.query.clone(), key.at);
        let flight = async move { source.instant(&query, at).await.map(Arc::new) }.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            slots.insert(key.clone(), Slot::Asked(weak));
        }
        Err(flight)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.lock().unwrap().len()
    }
}

fn few(answer: &Answer) -> bool {
    match answer {
        Answer::Vector(all) => all.len() <= SERIES,
        Answer::Other => true,
    }
}
