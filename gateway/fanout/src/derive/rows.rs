//! What the row store is told: a timeline row for each first event of a user,
//! the changes of profiles, and when a user was first and last seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::AHashMap;
use bytes::Bytes;
use serde_json::value::RawValue;
use sluice_proto::v1::EventType;
use sluice_seams::row::Cell;
use sluice_seams::{EventDocument, ProfileChange, RowWrite, UserKey};

use super::{Derived, user_of};

/// Earliest and latest event of a user in a batch.
struct Span {
    earliest: (i64, usize),
    latest: (i64, usize),
}

/// Derives the writes of a batch. Events that name neither user nor device
/// belong to nobody's timeline.
pub(crate) fn derive(events: &[&EventDocument]) -> Derived<RowWrite> {
    let mut derived = Derived::with_capacity(events.len() + events.len() / 4);
    let mut spans: AHashMap<UserKey, Span> = AHashMap::new();
    for (at, &event) in events.iter().enumerate() {
        let Some(user) = user_of(event) else { continue };
        derived.push(at, RowWrite::Timeline(event.clone()));
        profile(at, event, &mut derived);
        let seen = (event.time_ms(), at);
        let span = spans.entry(user).or_insert(Span { earliest: seen, latest: seen });
        span.earliest = span.earliest.min(seen);
        span.latest = span.latest.max(seen);
    }
    let mut spans: Vec<_> = spans.into_values().collect();
    spans.sort_unstable_by_key(|span| span.earliest.1);
    for Span { earliest, latest } in spans {
        derived.push(earliest.1, seen(events[earliest.1]));
        if latest.0 != earliest.0 {
            derived.push(latest.1, seen(events[latest.1]));
        }
    }
    derived
}

fn seen(event: &EventDocument) -> RowWrite {
    RowWrite::Seen {
        app_id: event.app_id().into(),
        user: event.user().into(),
        time_ms: event.time_ms(),
    }
}

fn profile(at: usize, event: &EventDocument, derived: &mut Derived<RowWrite>) {
    let cell: fn(&RawValue) -> Cell = match event.inner().r#type() {
        EventType::UserSet => |value| Cell::Set(json(value)),
        EventType::UserSetOnce => |value| Cell::SetOnce(json(value)),
        EventType::UserUnset => |_| Cell::Unset,
        EventType::Track
        | EventType::Alias
        | EventType::Error
        | EventType::Perf
        | EventType::Request => return,
    };
    // Admission takes nothing but an object here; the timeline keeps the bytes.
    let properties: BTreeMap<String, &RawValue> =
        serde_json::from_slice(&event.inner().properties).unwrap_or_default();
    if properties.is_empty() {
        return;
    }
    let (app_id, user): (Arc<str>, Arc<str>) = (event.app_id().into(), event.user().into());
    for (name, value) in properties {
        let change = ProfileChange {
            app_id: Arc::clone(&app_id),
            user: Arc::clone(&user),
            time_ms: event.time_ms(),
            key: event.key,
            name: name.into(),
            cell: cell(value),
        };
        derived.push(at, RowWrite::Profile(change));
    }
}

fn json(value: &RawValue) -> Bytes {
    Bytes::copy_from_slice(value.get().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::document;

    fn change(id: &str, r#type: EventType, properties: &str) -> EventDocument {
        let mut event = document(id, "profile", "u", 7);
        let mut inner = (*event.event).clone();
        let fields = inner.event.as_mut().expect("whole");
        fields.r#type = r#type.into();
        fields.properties = properties.as_bytes().to_vec().into();
        event.event = inner.into();
        event
    }

    fn spell(events: &[EventDocument]) -> Vec<String> {
        let refs: Vec<_> = events.iter().collect();
        let derived = derive(&refs);
        assert_eq!(derived.writes.len(), derived.origins.len());
        derived
            .writes
            .iter()
            .zip(&derived.origins)
            .map(|(write, origin)| match write {
                RowWrite::Timeline(event) => format!("timeline {} {origin}", event.inner().id),
                RowWrite::Profile(change) => {
                    format!("{} {} {:?} {origin}", change.user, change.name, change.cell)
                }
                RowWrite::Seen { user, time_ms, .. } => format!("seen {user} {time_ms} {origin}"),
            })
            .collect()
    }

    #[test]
    fn a_row_each_and_the_span_once() {
        let events = [
            document("a", "x", "u", 5),
            document("b", "x", "u", 3),
            document("c", "x", "u", 9),
            document("n", "x", "", 9),
            document("d", "x", "w", 4),
        ];
        let expected = [
            "timeline a 0",
            "timeline b 1",
            "timeline c 2",
            "timeline d 4",
            "seen u 3 1",
            "seen u 9 2",
            "seen w 4 4",
        ];
        assert_eq!(spell(&events), expected);
    }

    #[test]
    fn profile_changes_keep_the_value_as_sent() {
        let events = [change("a", EventType::UserSet, r#"{"vip": 1.50, "tags":["x"]}"#)];
        assert_eq!(
            spell(&events)[1..3],
            [r#"u tags Set(b"[\"x\"]") 0"#, r#"u vip Set(b"1.50") 0"#]
        );
        let once = [change("b", EventType::UserSetOnce, r#"{"from":"ad"}"#)];
        assert_eq!(spell(&once)[1], r#"u from SetOnce(b"\"ad\"") 0"#);
        let unset = [change("c", EventType::UserUnset, r#"{"vip":null}"#)];
        assert_eq!(spell(&unset)[1], "u vip Unset 0");
    }

    #[test]
    fn properties_that_are_no_object_change_nothing() {
        for properties in ["", "[1]", "{", "3"] {
            let events = [change("a", EventType::UserSet, properties)];
            assert_eq!(spell(&events), ["timeline a 0", "seen u 7 0"]);
        }
    }
}
