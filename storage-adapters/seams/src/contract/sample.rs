//! Small event documents for tests of every seam.

use std::sync::Arc;

use sluice_proto::v1::{Envelope, Event, RecordEvent};
use xxhash_rust::xxh3::xxh3_64;

use crate::key::AppHash;
use crate::{Day, EventDocument, Key, Position};

/// A document of event `id` of `app`, with `env = release` and `platform = jd`,
/// filed under the day of `time_ms` (corrected and raw time are equal); `user`
/// may be empty. `edit` changes whatever else matters to the test.
///
/// The position follows from the key, so that the same event has the same place.
pub fn document(
    app: &str,
    id: &str,
    name: &str,
    time_ms: i64,
    device: &str,
    user: &str,
    edit: impl FnOnce(&mut Event, &mut Envelope),
) -> EventDocument {
    let mut event = Event {
        id: id.to_owned(),
        name: name.to_owned(),
        time: time_ms,
        device_id: device.to_owned(),
        user_id: user.to_owned(),
        ..Event::default()
    };
    let mut envelope = Envelope {
        app_id: app.to_owned(),
        platform: "jd".to_owned(),
        env: "release".to_owned(),
        sent_at: time_ms,
        batch_id: "sample".to_owned(),
        ..Envelope::default()
    };
    edit(&mut event, &mut envelope);
    let hash = AppHash::of(app);
    let key = hash.key(id);
    let day = Day::of(time_ms);
    let content = format!("{}\0{}\0{}", event.name, event.time, event.device_id);
    EventDocument {
        key,
        position: Position {
            partition: hash.partition(device, 4),
            offset: key.0 as u64 & 0xffff_ffff,
            index: 0,
        },
        day,
        received_at_ms: time_ms,
        source: "native".into(),
        envelope: Arc::new(envelope),
        event: Arc::new(RecordEvent {
            key: key.to_bytes().to_vec().into(),
            event: Some(event),
            time_corrected: time_ms,
            day: day.0,
            fingerprint: xxh3_64(content.as_bytes()),
            flags: 0,
        }),
    }
}

/// A `page_view` of `path` without further fields.
pub fn page_view(app: &str, id: &str, time_ms: i64, device: &str, path: &str) -> EventDocument {
    document(app, id, "page_view", time_ms, device, "", |event, _| {
        event.page = Some(sluice_proto::v1::Page { path: path.to_owned(), ..Default::default() });
    })
}

/// Sets the JSON text of an event's `properties`.
pub fn properties(event: &mut Event, json: &str) {
    event.properties = json.as_bytes().to_vec().into();
}

/// The same document under another key: for tests that order by key.
pub fn with_key(mut document: EventDocument, key: Key) -> EventDocument {
    let mut event = (*document.event).clone();
    event.key = key.to_bytes().to_vec().into();
    document.event = Arc::new(event);
    document.key = key;
    document
}

/// The same document filed under another day than that of its corrected time.
pub fn filed_under(mut document: EventDocument, day: Day) -> EventDocument {
    let mut event = (*document.event).clone();
    event.day = day.0;
    document.event = Arc::new(event);
    document.day = day;
    document
}
