//! Who was first, for a stretch of the log: synchronous, may block on `D`.
//!
//! Two ways to the same answer. [`resolve`] asks `D` in order and teaches it;
//! one caller a partition (GW-REPLY-3: copies count once). [`recall`] reads a stretch that was resolved before
//! and only looks up. An event is first iff `D` names its own position; that
//! holds after any crash and in any replay, where mere presence does not.
//!
//! `D` forgets after its window. In a recall, a key that `D` does not hold, or
//! holds at a *later* position than the event's own, was forgotten: its first
//! copy in the stretch read is first again, and [`Forgotten`] plays `D`'s part
//! for the copies behind it.

use std::sync::Arc;

use sluice_seams::{
    DedupePartition, EventDocument, First, LogRecord, Position, Seen, Sighting, StoreError,
};

use crate::forgotten::Forgotten;
use crate::record::{Bad, Decoded, decode};

/// One record of the log after `D` was asked: its first events.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub offset: u64,
    pub appended_at_ms: i64,
    /// Log bytes.
    pub bytes: usize,
    pub first: Vec<EventDocument>,
}

/// What could not be read, with where it stands.
#[derive(Debug)]
pub(crate) struct Undecodable {
    pub offset: u64,
    /// `None`: the whole record.
    pub index: Option<u32>,
    pub detail: String,
    pub app_id: String,
    pub event_id: String,
    pub payload: Vec<u8>,
}

/// What became of a stretch.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub records: Vec<Arc<Resolved>>,
    pub undecodable: Vec<Undecodable>,
    pub first: u64,
    pub duplicate: u64,
    pub reused: u64,
    /// Why it ends early: the record after the last one was not resolved.
    pub error: Option<StoreError>,
}

/// Asks `D` about each record in order.
pub(crate) fn resolve(
    partition: u32,
    records: Vec<LogRecord>,
    index: &mut dyn DedupePartition,
) -> Chunk {
    let mut verdicts = Vec::new();
    let mut sightings = Vec::new();
    run(partition, records, |record, decoded| {
        sightings.clear();
        sightings.extend(sight(record, decoded));
        verdicts.clear();
        index.resolve(record.appended_at_ms, &sightings, &mut verdicts)?;
        Ok(std::mem::take(&mut verdicts))
    })
}

/// Looks up each record of a stretch that was resolved before.
pub(crate) fn recall(
    partition: u32,
    records: Vec<LogRecord>,
    index: &dyn DedupePartition,
    forgotten: &mut Forgotten,
) -> Chunk {
    run(partition, records, |record, decoded| {
        forgotten.expire(record.appended_at_ms);
        sight(record, decoded)
            .map(|sighting| {
                let own = place(partition, &sighting);
                let held = index.get(sighting.key)?.filter(|first| first.position <= own);
                let held = held.or_else(|| forgotten.get(sighting.key));
                if held.is_none() {
                    let first = First {
                        position: own,
                        day: sighting.day,
                        fingerprint: sighting.fingerprint,
                    };
                    forgotten.insert(sighting.key, first, record.appended_at_ms);
                }
                Ok(Seen::judge(held, partition, &sighting))
            })
            .collect()
    })
}

fn sight(record: &LogRecord, decoded: &Decoded) -> impl Iterator<Item = Sighting> {
    decoded.events.iter().map(|whole| Sighting {
        key: whole.key,
        offset: record.offset,
        index: whole.index,
        day: sluice_seams::Day(whole.event.day),
        fingerprint: whole.event.fingerprint,
    })
}

fn place(partition: u32, sighting: &Sighting) -> Position {
    Position { partition, offset: sighting.offset, index: sighting.index }
}

fn run(
    partition: u32,
    records: Vec<LogRecord>,
    mut judge: impl FnMut(&LogRecord, &Decoded) -> Result<Vec<Seen>, StoreError>,
) -> Chunk {
    let mut chunk = Chunk::default();
    for record in records {
        let mut decoded = match decode(&record.payload) {
            Ok(decoded) => decoded,
            Err(detail) => {
                chunk.lost(&record, detail);
                continue;
            }
        };
        let verdicts = match judge(&record, &decoded) {
            Ok(verdicts) => verdicts,
            Err(error) => {
                chunk.error = Some(error);
                break;
            }
        };
        chunk.bad(record.offset, &mut decoded);
        chunk.take(partition, &record, decoded, verdicts);
    }
    chunk
}

// === impl Chunk ===

impl Chunk {
    fn take(&mut self, partition: u32, record: &LogRecord, mut decoded: Decoded, seen: Vec<Seen>) {
        let events = std::mem::take(&mut decoded.events);
        debug_assert_eq!(events.len(), seen.len(), "one verdict an event");
        let mut first = Vec::with_capacity(events.len());
        for (whole, seen) in events.into_iter().zip(seen) {
            match seen {
                Seen::First(day) => {
                    let position =
                        Position { partition, offset: record.offset, index: whole.index };
                    first.push(decoded.document(whole, position, day));
                }
                Seen::Duplicate(_) => self.duplicate += 1,
                Seen::Reused(_) => self.reused += 1,
            }
        }
        self.first += first.len() as u64;
        self.push(record, first);
    }

    fn push(&mut self, record: &LogRecord, first: Vec<EventDocument>) {
        self.records.push(Arc::new(Resolved {
            offset: record.offset,
            appended_at_ms: record.appended_at_ms,
            bytes: record.payload.len(),
            first,
        }));
    }

    fn lost(&mut self, record: &LogRecord, detail: String) {
        self.undecodable.push(Undecodable {
            offset: record.offset,
            index: None,
            detail,
            app_id: String::new(),
            event_id: String::new(),
            payload: record.payload.to_vec(),
        });
        self.push(record, Vec::new());
    }

    fn bad(&mut self, offset: u64, decoded: &mut Decoded) {
        for Bad { index, detail, event } in std::mem::take(&mut decoded.bad) {
            self.undecodable.push(Undecodable {
                offset,
                index: Some(index),
                detail: detail.to_owned(),
                app_id: decoded.envelope.app_id.clone(),
                event_id: event.event.as_ref().map(|event| event.id.clone()).unwrap_or_default(),
                payload: decoded.single(event),
            });
        }
    }
}
