//! Reading a record of the log: pure, never panics on what it finds.

use std::sync::Arc;

use prost::Message;
use sluice_proto::v1::{BatchRecord, Envelope, RecordEvent};
use sluice_seams::{Day, EventDocument, Key, Position};

/// A record whose envelope could be read.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub received_at_ms: i64,
    pub source: Arc<str>,
    pub envelope: Arc<Envelope>,
    pub events: Vec<Whole>,
    pub bad: Vec<Bad>,
}

/// An event that has an identity and fields.
#[derive(Debug)]
pub(crate) struct Whole {
    pub index: u32,
    pub key: Key,
    pub event: RecordEvent,
}

/// An event that has not.
#[derive(Debug)]
pub(crate) struct Bad {
    pub index: u32,
    pub detail: &'static str,
    pub event: RecordEvent,
}

/// Reads a payload; an error says what is wrong with the whole record.
pub(crate) fn decode(payload: &[u8]) -> Result<Decoded, String> {
    let record = BatchRecord::decode(payload)
        .map_err(|error| format!("not a sluice.v1.BatchRecord: {error}"))?;
    let envelope = record.envelope.ok_or("the record has no envelope")?;
    if envelope.app_id.is_empty() {
        return Err("the envelope has no app_id".to_owned());
    }
    let mut events = Vec::with_capacity(record.events.len());
    let mut bad = Vec::new();
    for (index, event) in (0u32..).zip(record.events) {
        let detail = match (Key::from_slice(&event.key), &event.event) {
            (Some(key), Some(_)) => {
                events.push(Whole { index, key, event });
                continue;
            }
            (None, _) => "the event's key is not 16 bytes",
            (_, None) => "the record's event has no event",
        };
        bad.push(Bad { index, detail, event });
    }
    Ok(Decoded {
        received_at_ms: record.received_at,
        source: record.source.into(),
        envelope: Arc::new(envelope),
        events,
        bad,
    })
}

impl Decoded {
    /// The document of one of its events.
    pub(crate) fn document(&self, whole: Whole, position: Position, day: Day) -> EventDocument {
        EventDocument {
            key: whole.key,
            position,
            day,
            received_at_ms: self.received_at_ms,
            source: Arc::clone(&self.source),
            envelope: Arc::clone(&self.envelope),
            event: Arc::new(whole.event),
        }
    }

    /// A record of this batch that holds one event only.
    pub(crate) fn single(&self, event: RecordEvent) -> Vec<u8> {
        BatchRecord {
            envelope: Some((*self.envelope).clone()),
            received_at: self.received_at_ms,
            source: self.source.to_string(),
            events: vec![event],
        }
        .encode_to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::record;

    #[test]
    fn reads_whole_events_and_names_bad_ones() {
        let mut sent = record("demo", &[("a", 1), ("b", 2), ("c", 3)]);
        sent.events[1].key = vec![1; 15].into();
        sent.events[2].event = None;
        let read = decode(&sent.encode_to_vec()).expect("readable");
        assert_eq!(read.events.iter().map(|whole| whole.index).collect::<Vec<_>>(), [0]);
        let bad: Vec<_> = read.bad.iter().map(|bad| (bad.index, bad.detail)).collect();
        assert_eq!(bad[0], (1, "the event's key is not 16 bytes"));
        assert_eq!(bad[1], (2, "the record's event has no event"));
    }

    #[test]
    fn refuses_what_is_no_record() {
        assert!(decode(&[0xff; 9]).expect_err("noise").contains("BatchRecord"));
        assert!(decode(&[]).expect_err("empty").contains("no envelope"));
        let mut nameless = record("demo", &[("a", 1)]);
        nameless.envelope.as_mut().expect("has one").app_id.clear();
        assert!(decode(&nameless.encode_to_vec()).expect_err("no app").contains("app_id"));
    }
}
