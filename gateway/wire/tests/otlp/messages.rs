//! OTLP's messages as far as logs need them, to send with: written from the
//! published field numbers, so that the gateway's reader is checked against
//! another one's writer.

use prost::{Message, Oneof};
use serde_json::{Value, json};

#[derive(Clone, PartialEq, Message)]
pub struct Request {
    #[prost(message, repeated, tag = "1")]
    pub resource_logs: Vec<ResourceLogs>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub scope_logs: Vec<ScopeLogs>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<Pair>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ScopeLogs {
    #[prost(message, optional, tag = "1")]
    pub scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    pub log_records: Vec<LogRecord>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Scope {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub version: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct LogRecord {
    #[prost(fixed64, tag = "1")]
    pub time_unix_nano: u64,
    #[prost(int32, tag = "2")]
    pub severity_number: i32,
    #[prost(string, tag = "3")]
    pub severity_text: String,
    #[prost(message, optional, tag = "5")]
    pub body: Option<Any>,
    #[prost(message, repeated, tag = "6")]
    pub attributes: Vec<Pair>,
    #[prost(fixed32, tag = "8")]
    pub flags: u32,
    #[prost(bytes = "vec", tag = "9")]
    pub trace_id: Vec<u8>,
    #[prost(fixed64, tag = "11")]
    pub observed_time_unix_nano: u64,
    #[prost(string, tag = "12")]
    pub event_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Pair {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<Any>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Any {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Kind {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    List(List),
    #[prost(message, tag = "6")]
    Map(Map),
    #[prost(bytes, tag = "7")]
    Bytes(Vec<u8>),
}

#[derive(Clone, PartialEq, Message)]
pub struct List {
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Map {
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<Pair>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Response {
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
pub struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub rejected_log_records: i64,
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// A request with these records, of one resource and scope.
pub fn request(log_records: Vec<LogRecord>) -> Request {
    let scope_logs = vec![ScopeLogs { scope: None, log_records }];
    Request { resource_logs: vec![ResourceLogs { resource: None, scope_logs }] }
}

/// A record that differs from others by its number alone.
pub fn record(number: u64) -> LogRecord {
    LogRecord {
        time_unix_nano: 1_795_190_400_000_000_000 + number,
        event_name: "order.paid".to_owned(),
        ..LogRecord::default()
    }
}

fn any(value: &Option<Any>) -> Value {
    use base64::Engine;
    let Some(Any { kind: Some(kind) }) = value else { return json!({}) };
    match kind {
        Kind::Text(text) => json!({ "stringValue": text }),
        Kind::Bool(truth) => json!({ "boolValue": truth }),
        Kind::Int(number) => json!({ "intValue": number.to_string() }),
        Kind::Double(number) => json!({ "doubleValue": number }),
        Kind::Bytes(bytes) => {
            json!({ "bytesValue": base64::engine::general_purpose::STANDARD.encode(bytes) })
        }
        Kind::List(list) => {
            let values: Vec<_> =
                list.values.iter().map(|value| any(&Some(value.clone()))).collect();
            json!({ "arrayValue": { "values": values } })
        }
        Kind::Map(map) => json!({ "kvlistValue": { "values": pairs(&map.values) } }),
    }
}

fn pairs(pairs: &[Pair]) -> Vec<Value> {
    pairs.iter().map(|pair| json!({"key": pair.key, "value": any(&pair.value)})).collect()
}

/// The request in OTLP's JSON.
pub fn as_json(request: &Request) -> Value {
    let record = |record: &LogRecord| {
        let trace_id: String = record.trace_id.iter().map(|byte| format!("{byte:02X}")).collect();
        json!({
            "timeUnixNano": record.time_unix_nano.to_string(),
            "observedTimeUnixNano": record.observed_time_unix_nano,
            "severityNumber": record.severity_number, "severityText": record.severity_text,
            "body": record.body.as_ref().map(|body| any(&Some(body.clone()))),
            "attributes": pairs(&record.attributes), "flags": record.flags, "traceId": trace_id,
            "eventName": record.event_name,
        })
    };
    let scope = |logs: &ScopeLogs| {
        let scope = logs.scope.clone().unwrap_or_default();
        let records: Vec<_> = logs.log_records.iter().map(record).collect();
        json!({"scope": {"name": scope.name, "version": scope.version}, "logRecords": records})
    };
    let resource = |logs: &ResourceLogs| {
        let resource = logs.resource.clone().unwrap_or_default();
        let scopes: Vec<_> = logs.scope_logs.iter().map(scope).collect();
        json!({"scopeLogs": scopes, "resource": {"attributes": pairs(&resource.attributes)}})
    };
    json!({"resourceLogs": request.resource_logs.iter().map(resource).collect::<Vec<_>>()})
}
