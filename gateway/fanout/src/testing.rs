//! Events for unit tests.

use sluice_proto::v1::{BatchRecord, Envelope, Event, RecordEvent};
use sluice_seams::key::AppHash;
use sluice_seams::{Day, EventDocument, Position};

/// A record of `(event id, corrected time)`, all of device `u`.
pub(crate) fn record(app_id: &str, events: &[(&str, i64)]) -> BatchRecord {
    BatchRecord {
        envelope: Some(Envelope { app_id: app_id.to_owned(), ..Envelope::default() }),
        received_at: 1_000,
        source: "native".to_owned(),
        events: events.iter().map(|(id, ms)| event(app_id, id, "x", "u", *ms)).collect(),
    }
}

/// A document of app `demo`.
pub(crate) fn document(id: &str, name: &str, device: &str, time_ms: i64) -> EventDocument {
    EventDocument {
        key: AppHash::of("demo").key(id),
        position: Position { partition: 0, offset: 0, index: 0 },
        day: Day::of(time_ms),
        received_at_ms: 1_000,
        source: "native".into(),
        envelope: Envelope { app_id: "demo".to_owned(), ..Envelope::default() }.into(),
        event: event("demo", id, name, device, time_ms).into(),
    }
}

fn event(app_id: &str, id: &str, name: &str, device: &str, time_ms: i64) -> RecordEvent {
    RecordEvent {
        key: AppHash::of(app_id).key(id).to_bytes().to_vec().into(),
        event: Some(Event {
            id: id.to_owned(),
            name: name.to_owned(),
            device_id: device.to_owned(),
            time: time_ms,
            ..Event::default()
        }),
        time_corrected: time_ms,
        day: Day::of(time_ms).0,
        fingerprint: 7,
        flags: 0,
    }
}
