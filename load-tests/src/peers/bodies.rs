//! The same events in each form that a system takes: the bodies of one round.
//!
//! As `drive::forge` does it, a few hundred batches are written out once and each
//! body is a copy with ids of its own, so that making bodies is not what is
//! measured and no id was ever sent before.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::crowd::now_ms;
use crate::drive::body::{DIGITS, otlp};
use crate::drive::forge::put_digits;
use crate::population::{Population, Sent, body};

/// Events of a batch.
pub const BATCH_EVENTS: usize = 50;
/// Batches that are written out.
const STENCILS: usize = 128;

/// In which form a batch is handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One JSON object, as the SDKs of Sluice send it.
    Native,
    /// An event a line, JSON.
    Lines,
    /// OTLP/HTTP in JSON: a log record an event, its fields as attributes.
    Otlp,
    /// OTLP/HTTP in JSON: a log record an event, whose body is the event's JSON as text.
    OtlpText,
}

/// Bodies of one round.
pub struct Bodies {
    stencils: Vec<Stencil>,
}

struct Stencil {
    bytes: Vec<u8>,
    /// Where the number of an event stands, and which event of the batch.
    ids: Vec<(usize, u64)>,
}

// === impl Form ===

impl Form {
    /// Where Sluice and the Collector take it.
    pub fn path(self) -> &'static str {
        match self {
            Self::Native | Self::Lines => "/v1/events",
            Self::Otlp | Self::OtlpText => "/v1/logs",
        }
    }

    /// `content-type`.
    pub fn media(self) -> &'static str {
        match self {
            Self::Lines => "application/x-ndjson",
            Self::Native | Self::Otlp | Self::OtlpText => "application/json",
        }
    }

    fn write(self, events: &[Sent], now_ms: i64) -> String {
        match self {
            Self::Native => body(events, now_ms),
            Self::Lines => {
                let lines: Vec<String> = events.iter().map(|it| it.json().to_string()).collect();
                lines.join("\n")
            }
            Self::Otlp => logs(events, now_ms).to_string(),
            Self::OtlpText => as_text(logs(events, now_ms), events).to_string(),
        }
    }
}

/// An `ExportLogsServiceRequest`.
fn logs(events: &[Sent], now_ms: i64) -> Value {
    otlp::json(&otlp::request(events, now_ms))
}

/// The request with the body of each record replaced by its event's JSON, as text
/// that nobody needs to read, and no attribute but the id.
fn as_text(mut request: Value, events: &[Sent]) -> Value {
    let records = request["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array_mut();
    for (record, event) in records.into_iter().flatten().zip(events) {
        record["body"] = json!({ "stringValue": event.json().to_string() });
        record["attributes"] =
            json!([{ "key": "log.record.uid", "value": { "stringValue": event.id } }]);
    }
    request
}

// === impl Bodies ===

impl Bodies {
    /// Bodies whose ids begin with `prefix`, followed by `-` and a number: event
    /// `i` of batch `b` has number `b × 50 + i`.
    pub fn new(form: Form, prefix: &str, seed: u64) -> Self {
        let mut population = Population::new(seed, prefix, 100_000, 200);
        let stencils = (0..STENCILS).map(|_| Stencil::new(form, prefix, &mut population));
        Self { stencils: stencils.collect() }
    }

    /// The body of a batch.
    pub fn make(&self, batch: u64) -> Bytes {
        let stencil = &self.stencils[batch as usize % self.stencils.len()];
        let mut bytes = stencil.bytes.clone();
        for &(at, index) in &stencil.ids {
            let number = batch * BATCH_EVENTS as u64 + index;
            put_digits(&mut bytes[at..at + DIGITS], number);
        }
        bytes.into()
    }

    /// Bytes of a body by its events, on average.
    pub fn event_bytes(&self) -> f64 {
        let all: usize = self.stencils.iter().map(|stencil| stencil.bytes.len()).sum();
        all as f64 / (self.stencils.len() * BATCH_EVENTS) as f64
    }
}

// === impl Stencil ===

impl Stencil {
    /// A batch of one device.
    fn new(form: Form, prefix: &str, population: &mut Population) -> Self {
        let now_ms = now_ms();
        let mut events = population.events(BATCH_EVENTS, now_ms);
        let (device, user) = (events[0].device.clone(), events[0].user.clone());
        for (index, event) in events.iter_mut().enumerate() {
            (event.device, event.user) = (device.clone(), user.clone());
            event.id = format!("{prefix}-{index:0DIGITS$}");
        }
        let text = form.write(&events, now_ms);
        let mark = format!("{prefix}-");
        let ids = text.match_indices(&mark).filter_map(|(at, _)| {
            let at = at + mark.len();
            Some((at, text.get(at..at + DIGITS)?.parse().ok()?))
        });
        Self { ids: ids.collect(), bytes: text.into_bytes() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::forge::number;

    fn made(form: Form, batch: u64) -> String {
        let body = Bodies::new(form, "pt", 7).make(batch);
        String::from_utf8(body.to_vec()).expect("UTF-8")
    }

    fn numbers<'v>(ids: impl Iterator<Item = &'v Value>) -> Vec<u64> {
        ids.map(|id| number("pt", id.as_str().expect("text")).expect("an id of ours")).collect()
    }

    fn records(text: &str) -> Vec<Value> {
        let body: Value = serde_json::from_str(text).expect("JSON");
        let records = &body["resourceLogs"][0]["scopeLogs"][0]["logRecords"];
        records.as_array().expect("records").clone()
    }

    fn attribute<'v>(record: &'v Value, name: &str) -> &'v Value {
        let attributes = record["attributes"].as_array().expect("attributes");
        let found = attributes.iter().find(|attribute| attribute["key"] == name);
        &found.unwrap_or_else(|| panic!("no {name}: {record}"))["value"]
    }

    #[test]
    fn a_native_batch_numbers_its_events() {
        let body: Value = serde_json::from_str(&made(Form::Native, 300)).expect("JSON");
        let events = body["events"].as_array().expect("events");
        let ids = numbers(events.iter().map(|event| &event["id"]));
        assert_eq!(ids, (15_000..15_050).collect::<Vec<u64>>());
        assert!(events.iter().all(|event| event["id"] == event["properties"]["eid"]));
        assert!(events.iter().all(|event| event["device_id"] == events[0]["device_id"]));
    }

    #[test]
    fn lines_are_the_events_of_the_native_batch() {
        let lines = made(Form::Lines, 3);
        let lines = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>();
        let lines = lines.expect("an event each");
        let native: Value = serde_json::from_str(&made(Form::Native, 3)).expect("JSON");
        let untimed = |event: &Value| {
            let mut event = event.clone();
            event["time"] = Value::Null;
            event
        };
        let events = native["events"].as_array().expect("events");
        let expected: Vec<Value> = events.iter().map(untimed).collect();
        assert_eq!(lines.iter().map(untimed).collect::<Vec<Value>>(), expected);
    }

    #[test]
    fn a_log_record_says_all_that_the_event_says() {
        let records = records(&made(Form::Otlp, 2));
        let text = |record, name| attribute(record, name)["stringValue"].clone();
        let ids: Vec<Value> = records.iter().map(|it| text(it, "log.record.uid")).collect();
        assert_eq!(numbers(ids.iter()), (100..150).collect::<Vec<u64>>());
        let record = &records[49];
        assert_eq!(text(record, "eid"), ids[49]);
        assert_eq!(text(record, "page.title"), "商品详情");
        assert_eq!(attribute(record, "price"), &json!({ "doubleValue": 12.5 }));
        assert!(attribute(record, "position")["intValue"].is_string(), "{record}");
        assert!(attribute(record, "vip")["boolValue"].is_boolean(), "{record}");
        let tags = [json!({ "stringValue": "a" }), json!({ "stringValue": "中文" })];
        assert_eq!(attribute(record, "tags"), &json!({ "arrayValue": { "values": tags } }));
        let ab = attribute(record, "ab")["kvlistValue"]["values"].as_array().expect("pairs");
        assert_eq!(ab[1], json!({ "key": "home", "value": { "stringValue": "B" } }));
        assert!(record["eventName"].is_string() && record["timeUnixNano"].is_string());
    }

    #[test]
    fn a_log_record_with_text_has_the_whole_event_in_it() {
        let records = records(&made(Form::OtlpText, 1));
        let event = |record: &Value| {
            let text = record["body"]["stringValue"].as_str().expect("text");
            serde_json::from_str::<Value>(text).expect("JSON")
        };
        let events: Vec<Value> = records.iter().map(event).collect();
        let ids = numbers(events.iter().map(|event| &event["id"]));
        assert_eq!(ids, (50..100).collect::<Vec<u64>>());
        let same = |(record, event): (&Value, &Value)| {
            attribute(record, "log.record.uid")["stringValue"] == event["id"]
        };
        assert!(records.iter().zip(&events).all(same));
    }

    #[test]
    fn bytes_of_an_event_are_those_of_the_body() {
        let bodies = Bodies::new(Form::Native, "pt", 7);
        let one = bodies.make(0).len() as f64 / BATCH_EVENTS as f64;
        assert!((bodies.event_bytes() / one - 1.0).abs() < 0.1, "{one}");
    }
}
