//! What is in a topic, whoever wrote it: ids of events, and whether each that was
//! acknowledged is there once.

use std::collections::HashMap;

use prost::Message;
use serde::Deserialize;

use super::bodies::BATCH_EVENTS;
use crate::check::readback::{payloads, record};
use crate::drive::body::otlp;
use crate::drive::forge::number;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// A record of Sluice's log.
    Records,
    /// One event in JSON.
    Event,
    /// A batch in JSON, as it came.
    Batch,
    /// An `ExportLogsServiceRequest` in protobuf.
    Logs,
}

/// The rounds of one system, each with how often every event was seen.
#[derive(Debug, Default)]
pub struct Rounds {
    seen: HashMap<String, Vec<u8>>,
    strangers: u64,
}

#[derive(Deserialize)]
struct Event {
    id: String,
}

#[derive(Deserialize)]
struct Batch {
    events: Vec<Event>,
}

// === impl Carried ===

impl Carried {
    /// Calls `see` with the id of each event of a message.
    fn ids(self, payload: &[u8], see: &mut impl FnMut(&str)) -> Result<(), String> {
        let wrong =
            |error: &dyn std::fmt::Display| format!("a message that is no {self:?}: {error}");
        match self {
            Self::Records => return record(payload, &mut |event| see(&event.id)),
            Self::Event => {
                let event: Event =
                    serde_json::from_slice(payload).map_err(|error| wrong(&error))?;
                see(&event.id);
            }
            Self::Batch => {
                let batch: Batch =
                    serde_json::from_slice(payload).map_err(|error| wrong(&error))?;
                batch.events.iter().for_each(|event| see(&event.id));
            }
            Self::Logs => {
                let logs = otlp::Request::decode(payload).map_err(|error| wrong(&error))?;
                for uid in logs.uids() {
                    see(uid.ok_or_else(|| wrong(&"a log record has no id"))?);
                }
            }
        }
        Ok(())
    }
}

// === impl Rounds ===

impl Rounds {
    /// A round begins, all of whose batches are to be acknowledged.
    pub fn begin(&mut self, prefix: &str, batches: u64) {
        self.seen.insert(prefix.to_owned(), vec![0; batches as usize * BATCH_EVENTS]);
    }

    fn see(&mut self, id: &str) {
        let place = id.split_once('-').and_then(|(prefix, _)| {
            let number = number(prefix, id)?;
            self.seen.get_mut(prefix)?.get_mut(usize::try_from(number).ok()?)
        });
        match place {
            Some(count) => *count = count.saturating_add(1),
            None => self.strangers += 1,
        }
    }

    /// Reads a topic that nobody else wrote to; blocks for that. Events that are
    /// there, where each of all rounds is there exactly once.
    ///
    /// # Errors
    /// What cannot be read, or what is missing, repeated or made up.
    pub fn read(mut self, carried: Carried, brokers: &str, topic: &str) -> Result<u64, String> {
        payloads(brokers, topic, &mut |payload| carried.ids(payload, &mut |id| self.see(id)))?;
        self.judge()
    }

    fn judge(&self) -> Result<u64, String> {
        let counts = || self.seen.values().flatten();
        let lost = counts().filter(|count| **count == 0).count();
        let repeated = counts().filter(|count| **count > 1).count();
        match lost + repeated + self.strangers as usize {
            0 => Ok(counts().count() as u64),
            _ => Err(format!(
                "read back: {lost} acknowledged events lost, {repeated} there more than once, \
                 {} there that nobody sent",
                self.strangers
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crowd::now_ms;
    use crate::population::Population;

    fn ids(carried: Carried, payload: &[u8]) -> Result<Vec<String>, String> {
        let mut ids = Vec::new();
        carried.ids(payload, &mut |id| ids.push(id.to_owned()))?;
        Ok(ids)
    }

    #[test]
    fn every_form_tells_its_ids() {
        let event = br#"{"id":"p-1","name":"click"}"#;
        assert_eq!(ids(Carried::Event, event), Ok(vec!["p-1".to_owned()]));
        let batch = br#"{"sdk":{},"events":[{"id":"p-1"},{"id":"p-2"}]}"#;
        assert_eq!(ids(Carried::Batch, batch), Ok(vec!["p-1".to_owned(), "p-2".to_owned()]));
        let events = Population::new(7, "p", 10, 10).events(2, now_ms());
        let logs = otlp::request(&events, now_ms()).encode_to_vec();
        assert_eq!(ids(Carried::Logs, &logs), Ok(vec!["p-0".to_owned(), "p-1".to_owned()]));
        for carried in [Carried::Records, Carried::Event, Carried::Batch, Carried::Logs] {
            assert!(ids(carried, b"\xff{").is_err(), "{carried:?}");
        }
        // A request of one log record without a field.
        let nameless = [0x0a, 4, 0x12, 2, 0x12, 0];
        assert!(ids(Carried::Logs, &nameless).expect_err("nameless").contains("no id"));
    }

    #[test]
    fn each_must_be_there_once() {
        let judged = |ids: &[&str], dropped: usize| {
            let mut rounds = Rounds::default();
            rounds.begin("pa", 1);
            rounds.begin("pb", 1);
            let prefixes = ["pa", "pb"].into_iter();
            let all = prefixes.flat_map(|prefix| (0..50).map(move |n| format!("{prefix}-{n:012}")));
            all.skip(dropped).for_each(|id| rounds.see(&id));
            ids.iter().for_each(|id| rounds.see(id));
            rounds.judge()
        };
        assert_eq!(judged(&[], 0), Ok(100));
        assert!(judged(&[], 1).expect_err("lost").contains("1 acknowledged events lost"));
        assert!(judged(&["pa-000000000000"], 0).expect_err("twice").contains("1 there more"));
        for stranger in ["pc-000000000000", "pa-000000000050", "pa", "pa-x"] {
            let error = judged(&[stranger], 0).expect_err(stranger);
            assert!(error.contains("1 there that nobody sent"), "{error}");
        }
    }
}
