//! The OpenTelemetry dialect: what makes exporters send again, what they send
//! again, gRPC, that both encodings read alike, and that no bytes panic.

mod common;
#[path = "otlp/messages.rs"]
mod messages;

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use common::{Answer, PATIENCE, Server, config, describe, start, start_with};
use messages::{
    Any, Kind, List, LogRecord, Map, Pair, Request, Resource, ResourceLogs, Response, Scope,
    ScopeLogs, as_json, record, request,
};
use proptest::prelude::*;
use prost::Message;
use serde_json::Value;
use sluice_event::{Limits, Parsed, Reason};
use sluice_wire::dialects::{Dialect, otlp::Otlp};
use sluice_wire::{Fallback, Head, Inflater, WireConfig};
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataValue;
use tonic::transport::Endpoint;
use tonic::{Code, Status};

const PROTOBUF: &str = "content-type: application/x-protobuf\r\nauthorization: Bearer key\r\n";
const JSON: &str = "content-type: application/json\r\nauthorization: Bearer key\r\n";
const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

async fn send(server: &Server, request: &Request) -> Answer {
    server.post("/v1/logs", PROTOBUF, &request.encode_to_vec()).await
}

fn ids(server: &Server) -> Vec<String> {
    let last = server.fake.last.lock();
    let events = last["events"].as_array().expect("a batch");
    events.iter().map(|event| event["id"].as_str().expect("an id").to_owned()).collect()
}

async fn call(
    server: &Server,
    path: &'static str,
    request: Request,
    gzip: bool,
    key: Option<&'static str>,
) -> Result<Response, Status> {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.addr())).expect("an address");
    let channel = endpoint.timeout(PATIENCE).connect().await.expect("listening");
    let mut client = tonic::client::Grpc::new(channel);
    if gzip {
        client = client.send_compressed(CompressionEncoding::Gzip);
    }
    client.ready().await.expect("ready");
    let codec = tonic_prost::ProstCodec::<Request, Response>::default();
    let mut request = tonic::Request::new(request);
    if let Some(key) = key {
        request.metadata_mut().insert("authorization", MetadataValue::from_static(key));
    }
    let path = http::uri::PathAndQuery::from_static(path);
    client.unary(request, path, codec).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_retry_regroups_and_is_still_the_same() {
    let server = start();
    assert_eq!(send(&server, &request(vec![record(1), record(2), record(3)])).await.status, 200);
    let first = ids(&server);
    let again = request(vec![record(3), record(1)]);
    let body = as_json(&again).to_string();
    assert_eq!(server.post("/v1/logs", JSON, body.as_bytes()).await.status, 200);
    assert_eq!(ids(&server), [first[2].clone(), first[0].clone()], "over JSON, in another order");
    call(&server, LOGS, again, true, Some("Bearer key")).await.expect("taken");
    assert_eq!(server.fake.seen.lock().len(), 3);
}

#[tokio::test]
async fn another_resource_or_scope_is_another_record() {
    let server = start();
    let pair = |value: &str| Pair {
        key: "host.name".to_owned(),
        value: Some(Any { kind: Some(Kind::Text(value.to_owned())) }),
    };
    let of = |host: &str, scope: &str| ResourceLogs {
        resource: Some(Resource { attributes: vec![pair(host)] }),
        scope_logs: vec![ScopeLogs {
            scope: Some(Scope { name: scope.to_owned(), ..Scope::default() }),
            log_records: vec![record(1)],
        }],
    };
    let logs = vec![of("a", "x"), of("b", "x"), of("a", "y"), of("a", "x")];
    assert_eq!(send(&server, &Request { resource_logs: logs }).await.status, 200);
    assert_eq!(server.fake.seen.lock().len(), 3);
}

#[tokio::test]
async fn whatever_should_come_again_is_503_with_a_wait() {
    let config = WireConfig { body_rate_grace_ms: 200, ..config() };
    let server = start_with(config, Fallback::not_found());
    server.fake.broken.store(true, Ordering::SeqCst);
    let body = as_json(&request(vec![record(1)])).to_string();
    let answer = server.post("/v1/logs", JSON, body.as_bytes()).await;
    assert_eq!((answer.status, answer.header("retry-after").as_deref()), (503, Some("2")));
    assert_eq!(answer.json()["code"], 14);
    let answer = send(&server, &request(vec![record(1)])).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("content-type").as_deref(), Some("application/x-protobuf"));
    let status = call(&server, LOGS, request(vec![record(1)]), false, Some("Bearer key")).await;
    let status = status.expect_err("not durable");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.details().windows(9).any(|window| window == b"RetryInfo"));
    assert!(status.metadata().contains_key("google.rpc.retryinfo-bin"));
    server.fake.broken.store(false, Ordering::SeqCst);
    server.fake.unready.store(true, Ordering::SeqCst);
    assert_eq!(send(&server, &request(vec![record(1)])).await.status, 503, "unready");
    server.fake.unready.store(false, Ordering::SeqCst);
    let slow = format!("POST /v1/logs HTTP/1.1\r\nhost: x\r\n{JSON}content-length: 9\r\n\r\n{{");
    assert_eq!(server.raw(slow.as_bytes()).await.status, 503, "408 would lose it");
    assert_eq!(send(&server, &request(vec![record(1)])).await.status, 200, "it comes in later");
}

#[tokio::test]
async fn over_grpc() {
    let server = start();
    let mut records = vec![record(1), record(2)];
    let none = call(&server, LOGS, request(records.clone()), false, Some("Bearer key")).await;
    assert_eq!(none.expect("taken").partial_success, None);
    assert_eq!(server.fake.seen.lock().len(), 2);
    records[1].attributes = vec![Pair { key: "deep".to_owned(), value: Some(nested(3)) }];
    let reply = call(&server, LOGS, request(records), false, Some("bearer key")).await;
    let partial = reply.expect("taken").partial_success.expect("one was rejected");
    assert_eq!(partial.rejected_log_records, 1);
    assert!(partial.error_message.contains("properties_invalid"), "{partial:?}");
    let code = |answer: Result<Response, Status>| answer.expect_err("refused").code();
    let one = || request(vec![record(1)]);
    assert_eq!(code(call(&server, LOGS, one(), false, None).await), Code::Unauthenticated);
    assert_eq!(code(call(&server, TRACES, one(), false, None).await), Code::Unimplemented);
    let plain = server.post(LOGS, JSON, b"{}").await;
    assert_eq!(plain.header("grpc-status").as_deref(), Some("3"), "not gRPC: {plain:?}");
}

/// Exporters send 512 records at a time and collectors 8,192, and lose what is refused.
#[tokio::test]
async fn batches_of_collectors_are_taken() {
    let server = start();
    let many = |count: u64| request((0..count).map(record).collect());
    assert_eq!(send(&server, &many(8_192)).await.status, 200);
    assert_eq!(server.fake.seen.lock().len(), 8_192);
    assert_eq!(send(&server, &many(10_001)).await.status, 413);
    let refused = call(&server, LOGS, many(10_001), true, Some("Bearer key")).await;
    let refused = refused.expect_err("too many");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(!refused.metadata().contains_key("google.rpc.retryinfo-bin"), "is final");
    let bytes = vec![b' '; 8 * 1024 * 1024 + 6];
    assert_eq!(server.post("/v1/logs", JSON, &bytes).await.status, 413);
}

fn nested(levels: usize) -> Any {
    let mut value = Any { kind: Some(Kind::Int(1)) };
    for _ in 0..levels {
        value = Any { kind: Some(Kind::List(List { values: vec![value] })) };
    }
    value
}

fn head(media: &str) -> Head {
    let request = http::Request::post("/v1/logs").header("content-type", media);
    Head::new(request.body(()).expect("valid").into_parts().0, None)
}

fn decoded(media: &str, bytes: &[u8]) -> Result<Value, Reason> {
    let decoded = Otlp.decode(&head(media), bytes, &Limits::default());
    decoded.map(|batch| describe(&batch)).map_err(|refusal| refusal.reason)
}

#[test]
fn a_key_that_stands_twice_around_records_is_refused() {
    let twice = [
        r#"{"resourceLogs":[],"resourceLogs":[]}"#,
        r#"{"resourceLogs":[{"scopeLogs":[],"resource":{},"scopeLogs":[]}]}"#,
        r#"{"resourceLogs":[{"resource":{},"resource":null}]}"#,
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[],"logRecords":[]}]}]}"#,
        r#"{"resourceLogs":[{"scopeLogs":[{"scope":{},"scope":{}}]}]}"#,
    ];
    for body in twice {
        let refused = decoded("application/json", body.as_bytes());
        assert_eq!(refused.expect_err(body), Reason::BodyInvalid);
    }
}

#[test]
fn depth_is_bounded_in_both_encodings() {
    for (levels, fits) in [(2, true), (3, false), (5, false)] {
        let attributes = vec![Pair { key: "a".to_owned(), value: Some(nested(levels)) }];
        let request = request(vec![LogRecord { attributes, ..record(1) }]);
        let json = decoded("application/json", as_json(&request).to_string().as_bytes());
        let proto = decoded("application/x-protobuf", &request.encode_to_vec());
        assert_eq!(json, proto, "{levels}");
        assert_eq!(proto.expect("a batch")["events"][0].get("bad").is_none(), fits, "{levels}");
    }
    let deep = format!("{{\"resourceLogs\":{}", "[".repeat(100_000));
    assert_eq!(decoded("application/json", deep.as_bytes()), Err(Reason::BodyTooDeep));
    let mut deep = Vec::new();
    while deep.len() < 60_000 {
        let list = Any { kind: None }.encode_to_vec();
        assert!(list.is_empty());
        let mut outer = vec![0x2a];
        prost::encoding::encode_varint(
            deep.len() as u64 + 1 + varint_bytes(deep.len()),
            &mut outer,
        );
        outer.push(0x0a);
        prost::encoding::encode_varint(deep.len() as u64, &mut outer);
        outer.extend_from_slice(&deep);
        deep = outer;
    }
    let body = [vec![0x2a], prost_length(deep.len()), deep].concat();
    let logs = [vec![0x12], prost_length(body.len()), body].concat();
    let scope = [vec![0x12], prost_length(logs.len()), logs].concat();
    let all = [vec![0x0a], prost_length(scope.len()), scope].concat();
    let found = decoded("application/x-protobuf", &all).expect("a batch");
    assert_eq!(found["events"][0]["bad"]["reason"], "properties_invalid");
}

fn varint_bytes(value: usize) -> u64 {
    prost_length(value).len() as u64
}

fn prost_length(length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(length as u64, &mut bytes);
    bytes
}

/// Every vector's payload, inflated, with its media type.
fn payloads() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk-spec/vectors/otlp");
    let mut payloads = Vec::new();
    for entry in fs::read_dir(folder).expect("vectors") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|extension| extension != "http") {
            continue;
        }
        let bytes = fs::read(path).expect("readable");
        let at = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let text = String::from_utf8_lossy(&bytes[..at]).to_lowercase();
        if text.contains("chunked") || text.contains("/v1/traces") {
            continue;
        }
        let media =
            if text.contains("protobuf") { "application/x-protobuf" } else { "application/json" };
        let mut payload = bytes[at + 4..].to_vec();
        if text.contains("content-encoding: deflate") {
            let mut inflated = Vec::new();
            let encoding = sluice_wire::Encoding::Deflate;
            Inflater::default().inflate(encoding, &payload, &mut inflated, 1 << 20).expect("sound");
            payload = inflated;
        }
        payload.truncate(3_000);
        payloads.push((media.to_owned(), payload));
    }
    assert!(payloads.len() >= 20, "{}", payloads.len());
    payloads
}

/// Cut at every byte, and every byte changed in three ways.
#[test]
fn damaged_vectors_never_panic() {
    let limits = Limits::default();
    for (media, payload) in payloads() {
        let head = head(&media);
        for at in 0..payload.len() {
            Otlp.decode(&head, &payload[..at], &limits).ok();
            for mask in [0x01, 0x80, 0xff] {
                let mut changed = payload.clone();
                changed[at] ^= mask;
                if let Ok(batch) = Otlp.decode(&head, &changed, &limits) {
                    let is_event = |parsed: &&Parsed<'_>| matches!(parsed, Parsed::Event(_));
                    for parsed in batch.events.iter().filter(is_event) {
                        let Parsed::Event(event) = parsed else { continue };
                        assert!((1..=64).contains(&event.id.len()), "{event:?}");
                    }
                }
            }
        }
    }
}

fn values() -> impl Strategy<Value = Any> {
    let leaf = prop_oneof![
        Just(None),
        "\\PC{0,6}".prop_map(|text| Some(Kind::Text(text))),
        any::<bool>().prop_map(|truth| Some(Kind::Bool(truth))),
        any::<i64>().prop_map(|number| Some(Kind::Int(number))),
        any::<i32>().prop_map(|number| Some(Kind::Double(f64::from(number) / 8.0))),
        proptest::collection::vec(any::<u8>(), 0..5).prop_map(|bytes| Some(Kind::Bytes(bytes))),
    ];
    leaf.prop_map(|kind| Any { kind }).prop_recursive(3, 8, 3, |inner| {
        let pair = ("[a-z]{1,3}", proptest::option::of(inner.clone()));
        let pair = pair.prop_map(|(key, value)| Pair { key, value });
        prop_oneof![
            proptest::collection::vec(inner, 0..3)
                .prop_map(|values| Any { kind: Some(Kind::List(List { values })) }),
            proptest::collection::vec(pair, 0..3)
                .prop_map(|values| Any { kind: Some(Kind::Map(Map { values })) }),
        ]
    })
}

fn attributes() -> impl Strategy<Value = Vec<Pair>> {
    let names = prop_oneof!["[a-z.]{1,6}", "user.id", "event.name", "exception.type", "body"];
    let pair = (names, proptest::option::of(values()));
    proptest::collection::vec(pair.prop_map(|(key, value)| Pair { key, value }), 0..4)
}

prop_compose! {
    fn records()(
        time_unix_nano in any::<u64>(), observed_time_unix_nano in any::<u64>(),
        severity_number in 0..24_i32, severity_text in "[A-Z]{0,4}", flags in any::<u32>(),
        body in proptest::option::of(values()), attributes in attributes(),
        trace_id in proptest::collection::vec(any::<u8>(), 0..3), event_name in "[a-z. ]{0,5}",
    ) -> LogRecord {
        LogRecord {
            time_unix_nano, severity_number, severity_text, body, attributes, flags, trace_id,
            observed_time_unix_nano, event_name,
        }
    }
}

prop_compose! {
    fn requests()(
        records in proptest::collection::vec(records(), 0..4), attributes in attributes(),
        name in "[a-z]{0,3}", again in any::<bool>(),
    ) -> Request {
        let scope = Some(Scope { name, version: String::new() });
        let scope_logs = vec![ScopeLogs { scope, log_records: records }];
        let logs = ResourceLogs { resource: Some(Resource { attributes }), scope_logs };
        Request { resource_logs: vec![logs; 1 + usize::from(again)] }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn json_and_protobuf_of_one_request_are_equal(request in requests()) {
        let json = decoded("application/json", as_json(&request).to_string().as_bytes());
        let proto = decoded("application/x-protobuf", &request.encode_to_vec());
        prop_assert_eq!(json, proto);
    }
}
