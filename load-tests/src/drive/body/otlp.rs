//! Log records of OpenTelemetry (OTLP 1.9), each an event that names itself by
//! `log.record.uid`. Nothing says when a request was sent, so that wrong clocks
//! stay wrong. The only bad record that an exporter can send is one of another
//! time: here a month ago.
//!
//! Source: `opentelemetry/proto/logs/v1/logs.proto` and
//! `opentelemetry/proto/common/v1/common.proto`.

use prost::{Message, Oneof};
use serde_json::{Value, json};

use super::{BAD, custom, word};
use crate::population::Sent;

const NANOS_PER_MS: u64 = 1_000_000;
const MONTH_MS: i64 = 30 * 86_400_000;
/// `SEVERITY_NUMBER_INFO`.
const INFO: i32 = 9;

const WORDS: [(&str, &str); 5] = [
    ("page_view", "app.screen.view"),
    ("click", "app.widget.click"),
    ("app_show", "app.foreground"),
    ("app_hide", "app.background"),
    ("app_launch", "app.launch"),
];

/// `ExportLogsServiceRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_logs: Vec<ResourceLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_logs: Vec<ScopeLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeLogs {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    log_records: Vec<LogRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct LogRecord {
    #[prost(fixed64, tag = "1")]
    time_unix_nano: u64,
    #[prost(int32, tag = "2")]
    severity_number: i32,
    #[prost(string, tag = "3")]
    severity_text: String,
    #[prost(message, optional, tag = "5")]
    body: Option<Any>,
    #[prost(message, repeated, tag = "6")]
    attributes: Vec<KeyValue>,
    #[prost(fixed64, tag = "11")]
    observed_time_unix_nano: u64,
    #[prost(string, tag = "12")]
    event_name: String,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Any>,
}

/// `AnyValue`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(oneof = "Is", tags = "1, 2, 3, 4, 5, 6")]
    is: Option<Is>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Is {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Truth(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    List(List),
    #[prost(message, tag = "6")]
    Map(Pairs),
}

#[derive(Clone, PartialEq, Message)]
struct List {
    #[prost(message, repeated, tag = "1")]
    values: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Pairs {
    #[prost(message, repeated, tag = "1")]
    values: Vec<KeyValue>,
}

/// The request of one device.
pub fn request(events: &[Sent], clock_ms: i64) -> Request {
    let resource = Resource {
        attributes: pairs([
            ("service.name", "mini-shop"),
            ("service.version", "1.2.3"),
            ("deployment.environment.name", "production"),
            ("telemetry.sdk.name", "opentelemetry"),
            ("telemetry.sdk.language", "webjs"),
            ("telemetry.sdk.version", "2.2.0"),
            ("device.manufacturer", "Apple"),
            ("device.model.name", "iPhone 15 Pro"),
            ("os.name", "iOS"),
            ("os.version", "17.5.1"),
            ("network.connection.type", "wifi"),
            ("sluice.platform", "jd"),
        ]),
    };
    let scope = Scope { name: "load-tests".to_owned(), version: "1".to_owned() };
    let log_records = events.iter().map(|event| record(event, clock_ms)).collect();
    let scope_logs = vec![ScopeLogs { scope: Some(scope), log_records }];
    Request { resource_logs: vec![ResourceLogs { resource: Some(resource), scope_logs }] }
}

fn record(event: &Sent, clock_ms: i64) -> LogRecord {
    let bad = event.name == BAD;
    let mut attributes = pairs([
        ("log.record.uid", &event.id),
        ("device.id", &event.device),
        ("session.id", &format!("s-{}", event.device)),
        ("page.path", &event.page),
        ("page.query", "from=list"),
        ("page.title", "商品详情"),
        ("scene", "1001"),
    ]);
    if let Some(user) = &event.user {
        attributes.extend(pairs([("user.id", user)]));
    }
    let custom = custom(event);
    attributes.extend(custom.into_iter().map(|(key, value)| KeyValue::of(&key, Any::of(value))));
    LogRecord {
        time_unix_nano: nanos(event.time_ms - if bad { MONTH_MS } else { 0 }),
        observed_time_unix_nano: nanos(clock_ms),
        severity_number: INFO,
        severity_text: "INFO".to_owned(),
        event_name: if bad { "page_view" } else { word(&WORDS, event.name) }.to_owned(),
        body: Some(Any::text("a mini program's event")),
        attributes,
    }
}

fn nanos(time_ms: i64) -> u64 {
    u64::try_from(time_ms).unwrap_or_default() * NANOS_PER_MS
}

fn pairs<const N: usize>(texts: [(&str, &str); N]) -> Vec<KeyValue> {
    texts.into_iter().map(|(key, text)| KeyValue::of(key, Any::text(text))).collect()
}

// === impl Request ===

impl Request {
    /// `log.record.uid` of each record; absent where it has none.
    pub(crate) fn uids(&self) -> impl Iterator<Item = Option<&str>> {
        let scopes = self.resource_logs.iter().flat_map(|logs| &logs.scope_logs);
        scopes.flat_map(|logs| &logs.log_records).map(|record| {
            let uid = record.attributes.iter().find(|pair| pair.key == "log.record.uid")?;
            match &uid.value.as_ref()?.is {
                Some(Is::Text(text)) => Some(&**text),
                _ => None,
            }
        })
    }
}

// === impl KeyValue ===

impl KeyValue {
    fn of(key: &str, value: Any) -> Self {
        Self { key: key.to_owned(), value: Some(value) }
    }
}

// === impl Any ===

impl Any {
    fn text(text: &str) -> Self {
        Self { is: Some(Is::Text(text.to_owned())) }
    }

    fn of(value: Value) -> Self {
        let is = match value {
            Value::Null => None,
            Value::Bool(truth) => Some(Is::Truth(truth)),
            Value::Number(number) => Some(match number.as_i64() {
                Some(number) => Is::Int(number),
                None => Is::Double(number.as_f64().unwrap_or_default()),
            }),
            Value::String(text) => Some(Is::Text(text)),
            Value::Array(values) => {
                Some(Is::List(List { values: values.into_iter().map(Self::of).collect() }))
            }
            Value::Object(members) => {
                let pair = |(key, value): (String, Value)| KeyValue::of(&key, Self::of(value));
                Some(Is::Map(Pairs { values: members.into_iter().map(pair).collect() }))
            }
        };
        Self { is }
    }
}

/// The same in JSON: integers of 64 bits are texts, names in lowerCamelCase.
pub fn json(request: &Request) -> Value {
    let logs = |logs: &ResourceLogs| {
        let resource = logs.resource.as_ref();
        let resource = resource.map(|it| json!({ "attributes": list(&it.attributes) }));
        let scopes: Vec<Value> = logs.scope_logs.iter().map(scope_json).collect();
        json!({ "resource": resource, "scopeLogs": scopes })
    };
    let logs: Vec<Value> = request.resource_logs.iter().map(logs).collect();
    json!({ "resourceLogs": logs })
}

fn scope_json(logs: &ScopeLogs) -> Value {
    let scope = logs.scope.as_ref().map(|it| json!({ "name": it.name, "version": it.version }));
    let record = |record: &LogRecord| {
        json!({
            "timeUnixNano": record.time_unix_nano.to_string(),
            "observedTimeUnixNano": record.observed_time_unix_nano.to_string(),
            "severityNumber": record.severity_number,
            "severityText": record.severity_text,
            "eventName": record.event_name,
            "body": record.body.as_ref().map(any),
            "attributes": list(&record.attributes),
        })
    };
    let records: Vec<Value> = logs.log_records.iter().map(record).collect();
    json!({ "scope": scope, "logRecords": records })
}

fn list(pairs: &[KeyValue]) -> Value {
    let pair = |pair: &KeyValue| json!({ "key": pair.key, "value": pair.value.as_ref().map(any) });
    pairs.iter().map(pair).collect()
}

fn any(value: &Any) -> Value {
    match &value.is {
        None => json!({}),
        Some(Is::Text(text)) => json!({ "stringValue": text }),
        Some(Is::Truth(truth)) => json!({ "boolValue": truth }),
        Some(Is::Int(number)) => json!({ "intValue": number.to_string() }),
        Some(Is::Double(number)) => json!({ "doubleValue": number }),
        Some(Is::List(list)) => {
            let values: Vec<Value> = list.values.iter().map(any).collect();
            json!({ "arrayValue": { "values": values } })
        }
        Some(Is::Map(pairs)) => json!({ "kvlistValue": { "values": list(&pairs.values) } }),
    }
}
