//! What the stores should hold, by a plain fold over the log: event ids, not
//! keys; one loop, no batches.

use std::collections::HashSet;

use prost::Message;
use sluice_proto::v1::{BatchRecord, EventType};
use sluice_seams::key::DAY_MS;
use sluice_seams::{EventLog, LogRecord};

use super::log::Log;
use super::stores::{DocumentState, RowState};

/// The first copy of an event.
pub struct FirstCopy {
    pub id: String,
    pub offset: u64,
}

/// First copies of a partition that some store must take, in order.
pub fn firsts(records: &[LogRecord]) -> Vec<FirstCopy> {
    let mut seen = HashSet::new();
    let mut firsts = Vec::new();
    for record in records {
        let Ok(batch) = BatchRecord::decode(record.payload.clone()) else { continue };
        let Some(envelope) = batch.envelope else { continue };
        for event in batch.events {
            let (16, Some(inner)) = (event.key.len(), event.event) else { continue };
            if seen.insert((envelope.app_id.clone(), inner.id.clone())) {
                firsts.push(FirstCopy { id: inner.id, offset: record.offset });
            }
        }
    }
    firsts
}

/// The state of both stores after the whole log.
pub fn fold(log: &Log) -> (DocumentState, RowState) {
    let (mut documents, mut rows) = (DocumentState::default(), RowState::default());
    for partition in 0..log.partitions() {
        let mut seen = HashSet::new();
        for record in log.records(partition) {
            let Ok(batch) = BatchRecord::decode(record.payload) else { continue };
            let Some(envelope) = batch.envelope else { continue };
            for event in batch.events {
                let (16, Some(inner)) = (event.key.len(), event.event) else { continue };
                let (id, ms) = (inner.id.clone(), event.time_corrected);
                if !seen.insert(id.clone()) {
                    continue;
                }
                let user = match inner.user_id.as_str() {
                    "" => inner.device_id.clone(),
                    user => user.to_owned(),
                };
                documents.events.insert(id.clone(), (event.day, ms));
                let release = envelope.env.is_empty() || envelope.env == "release";
                let tracked = inner.r#type == EventType::Track as i32;
                if matches!(inner.name.as_str(), "follow" | "unfollow") && tracked {
                    documents.follows.insert(id.clone());
                }
                if release && tracked {
                    if matches!(inner.name.as_str(), "app_show" | "page_view") {
                        let day = ms.div_euclid(DAY_MS) as i32;
                        documents.visitors.insert((user.clone(), day));
                    }
                    let when = (ms, event.key.to_vec());
                    let held = documents.first.entry(user.clone()).or_insert(when.clone());
                    if when < *held {
                        *held = when;
                    }
                }
                rows.timeline.insert((user.clone(), ms, id.clone()));
                let span = rows.seen.entry(user.clone()).or_insert((ms, ms));
                *span = (span.0.min(ms), span.1.max(ms));
                if inner.r#type == EventType::UserSet as i32 {
                    let json: serde_json::Value =
                        serde_json::from_slice(&inner.properties).expect("an object");
                    for (name, value) in json.as_object().expect("an object") {
                        let change =
                            (user.clone(), name.clone(), ms, id.clone(), value.to_string());
                        rows.profile.insert(change);
                    }
                }
            }
        }
    }
    (documents, rows)
}
