//! An event as readers see it. Empty fields are left out.

use jiff::civil::date;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use sluice_seams::document::type_name;
use sluice_seams::{Day, EventDocument, NamedField};

use crate::calendar::rfc3339;

/// Named fields that stand in an object of their own or are told otherwise.
const ELSEWHERE: &[NamedField] = &[NamedField::Type, NamedField::TzOffsetMin];

/// Renders an event; times in the given time zone.
pub fn render(document: &EventDocument, tz: &TimeZone) -> Value {
    let event = document.inner();
    let mut map = Map::new();
    map.insert("id".into(), json!(event.id));
    map.insert("time".into(), json!(rfc3339(document.time_ms(), tz)));
    map.insert("time_ms".into(), json!(document.time_ms()));
    map.insert("device_time_ms".into(), json!(event.time));
    map.insert("received_at_ms".into(), json!(document.received_at_ms));
    map.insert("type".into(), json!(type_name(event.r#type())));
    for field in NamedField::ALL.iter().filter(|field| !ELSEWHERE.contains(field)) {
        if let Some(value) = document.named(*field) {
            place(&mut map, field.name(), json!(value));
        }
    }
    if !event.ids.is_empty() {
        let ids: std::collections::BTreeMap<_, _> = event.ids.iter().collect();
        map.insert("ids".into(), json!(ids));
    }
    if event.seq > 0 {
        map.insert("seq".into(), json!(event.seq));
    }
    map.insert("tz_offset_min".into(), json!(document.envelope.tz_offset_min));
    if let Ok(properties @ Value::Object(_)) = serde_json::from_slice(&event.properties) {
        map.insert("properties".into(), properties);
    }
    let flags = flags(document.event.flags);
    if !flags.is_empty() {
        map.insert("flags".into(), json!(flags));
    }
    map.insert("day".into(), json!(day(document.day)));
    map.insert("position".into(), json!(document.position.to_string()));
    Value::Object(map)
}

/// A day as `2026-11-01`.
pub fn day(day: Day) -> String {
    let epoch = date(1970, 1, 1);
    let days = jiff::Span::new().try_days(day.0);
    days.and_then(|days| epoch.checked_add(days)).unwrap_or(epoch).to_string()
}

/// What the bits of `RecordEvent.flags` say.
fn flags(bits: u32) -> Vec<&'static str> {
    let words = [(1, "time_corrected"), (2, "property_truncated"), (4, "day_of_receipt")];
    words.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, word)| *word).collect()
}

/// Puts `page.path` at `{"page": {"path": …}}`.
fn place(map: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        None => drop(map.insert(name.to_owned(), value)),
        Some((outer, inner)) => {
            let outer = map.entry(outer).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(outer) = outer {
                outer.insert(inner.to_owned(), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_read_as_dates() {
        assert_eq!(day(Day(0)), "1970-01-01");
        assert_eq!(day(Day(-1)), "1969-12-31");
        assert_eq!(day(Day::of(1_795_190_400_000)), "2026-11-20");
        assert_eq!(day(Day(i32::MAX)), "1970-01-01");
    }

    #[test]
    fn flags_read_as_words() {
        assert_eq!(flags(5), ["time_corrected", "day_of_receipt"]);
        assert_eq!(flags(0), Vec::<&str>::new());
    }
}
