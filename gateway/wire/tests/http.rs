//! The native endpoints over HTTP/1.1: answers, limits and bad input.

mod common;

use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::{Fake, PATIENCE, batch, config, eventually, read_answer, start, start_with};
use flate2::Compression;
use flate2::write::GzEncoder;
use sluice_event::{Limits, Reason};
use sluice_wire::{Fallback, WireConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).and_then(|()| encoder.finish()).expect("in memory")
}

#[tokio::test]
async fn fates_are_listed_and_a_second_copy_is_a_duplicate() {
    let server = start();
    let first = server.events("", batch("a", 2).as_bytes()).await;
    assert_eq!(first.status, 200);
    assert_eq!(first.json()["accepted"], 2);
    let again = server.events("", batch("a", 3).as_bytes()).await.json();
    assert_eq!((&again["accepted"], &again["duplicates"]), (&1.into(), &2.into()));
    assert_eq!(again["results"][1]["outcome"], "duplicate");
    assert_eq!(again["server_time"], 1_795_190_400_123_i64);
}

#[tokio::test]
async fn every_encoding_and_media_type_that_is_promised() {
    let server = start();
    let plain = batch("a", 3);
    let zstd = zstd::bulk::compress(plain.as_bytes(), 1).expect("in memory");
    let twice = serde_json::to_string(&plain).expect("a string");
    let two = [gzip(&plain.as_bytes()[..50]), gzip(&plain.as_bytes()[50..])].concat();
    for (headers, body) in [
        ("content-type: application/json\r\n", plain.as_bytes()),
        ("content-type: application/json; charset=utf-8\r\n", plain.as_bytes()),
        ("content-type: text/plain\r\n", plain.as_bytes()),
        ("", twice.as_bytes()),
        ("content-encoding: gzip\r\n", &gzip(plain.as_bytes())),
        ("content-encoding: gzip\r\n", &two),
        ("content-encoding: zstd\r\n", &zstd),
    ] {
        let answer = server.events(headers, body).await;
        assert_eq!(answer.status, 200, "{headers} {answer:?}");
        let body = answer.json();
        assert_eq!(
            body["accepted"].as_u64().zip(body["duplicates"].as_u64()).map(|(a, d)| a + d),
            Some(3)
        );
    }
}

#[tokio::test]
async fn one_bad_event_does_not_fail_its_batch() {
    let server = start();
    let body = br#"{"events":[{"id":12345678901234567890,"name":"a","time":1,"device_id":"d"},
        {"id":"b","name":5,"time":1},{"id":"c","name":"x","time":1.5},7,
        {"id":"e","name":"x","time":1,"type":"nope"},{"id":"f","name":"x","properties":[]},
        {"id":"g","name":"x","time":1,"device_id":"d"}]}"#;
    let answer = server.events("", body).await.json();
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&1.into(), &6.into()));
    let reasons: Vec<_> = answer["results"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|r| r["reason"].as_str())
        .collect();
    let expected = [
        "id_invalid",
        "name_invalid",
        "time_invalid",
        "field_invalid",
        "type_unknown",
        "properties_invalid",
    ];
    assert_eq!(reasons, expected.map(Some));
    assert_eq!(answer["results"][1]["detail"], "events[1].name: expected a string, got a number");
}

#[tokio::test]
async fn bodies_that_are_no_batch() {
    let server = start();
    let deep = format!("{{\"events\":[],\"x\":{}", "[".repeat(100_000));
    let bomb = gzip(&vec![b' '; 64 << 20]);
    let cut = gzip(batch("a", 1).as_bytes());
    let many = batch("a", 501);
    let gz = "content-encoding: gzip\r\n";
    for (status, reason, headers, body) in [
        (400, "body_invalid", "", b"".as_slice()),
        (400, "body_invalid", "", b"[]"),
        (400, "body_invalid", "", b"{}"),
        (400, "body_invalid", "", b"{\"events\":[]} x"),
        (400, "body_invalid", "", b"{\"events\":[{\"id\":\"\xff\"}]}"),
        (400, "body_invalid", "", b"{\"app_id\":5,\"events\":[]}"),
        (400, "body_invalid", "", b"{\"events\":5}"),
        (400, "body_invalid", "", b"{\"events\":["),
        (400, "body_too_deep", "", deep.as_bytes()),
        (413, "inflated_too_large", gz, &bomb),
        (400, "encoding_invalid", gz, &cut[..cut.len() - 4]),
        (400, "encoding_invalid", gz, b"{\"events\":[]}"),
        (415, "encoding_unsupported", "content-encoding: br\r\n", b"{}"),
        (415, "content_type_unsupported", "content-type: image/png\r\n", b"{}"),
        (413, "too_many_events", "", many.as_bytes()),
        (400, "body_invalid", "content-type: application/x-protobuf\r\n", b"\xff\xff"),
    ] {
        let answer = server.events(headers, body).await;
        assert_eq!((answer.status, answer.reason().as_str()), (status, reason), "{answer:?}");
        assert_eq!(answer.header("retry-after"), None);
    }
    assert_eq!(server.fake.in_flight.load(Ordering::SeqCst), 0);
    assert_eq!(server.fake.refusals.lock().len(), 16);
    let empty = server.events("", b"{\"events\":[]}").await;
    assert_eq!((empty.status, &empty.json()["accepted"]), (200, &0.into()));
}

#[tokio::test]
async fn keys_come_before_bodies() {
    let server = start();
    let head = "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n";
    let answer = server.raw(format!("{head}\r\n").as_bytes()).await;
    assert_eq!((answer.status, answer.reason().as_str()), (401, "key_missing"));
    let answer = server.raw(format!("{head}x-sluice-key: no\r\n\r\n").as_bytes()).await;
    assert_eq!((answer.status, answer.reason().as_str()), (401, "key_unknown"));
    let answer = server.post("/v1/events?key=key", "", b"{\"events\":[]}").await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn too_large_by_claim_and_by_bytes() {
    let server = start();
    *server.fake.limits.lock() = Limits { wire_bytes_max: 1_000, ..Limits::default() };
    let head = "POST /v1/events HTTP/1.1\r\nhost: x\r\nx-sluice-key: key\r\n";
    let claimed = server.raw(format!("{head}content-length: 1001\r\n\r\n").as_bytes()).await;
    assert_eq!((claimed.status, claimed.reason().as_str()), (413, "body_too_large"));
    assert_eq!(claimed.json()["error"]["limit"], 1_000);
    let mut chunked = format!("{head}transfer-encoding: chunked\r\n\r\n").into_bytes();
    for _ in 0..300 {
        chunked.extend_from_slice(b"1000\r\n");
        chunked.extend_from_slice(&[b'a'; 0x1000]);
        chunked.extend_from_slice(b"\r\n");
    }
    let streamed = server.raw(&chunked).await;
    assert_eq!((streamed.status, streamed.reason().as_str()), (413, "body_too_large"));
}

#[tokio::test]
async fn chunked_bodies_are_taken() {
    let server = start();
    let body = batch("c", 1);
    let (one, two) = body.split_at(20);
    let request = format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\nx-sluice-key: key\r\ntransfer-encoding: chunked\r\n\r\n\
         {:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
        one.len(),
        two.len()
    );
    assert_eq!(server.raw(request.as_bytes()).await.json()["accepted"], 1);
}

#[tokio::test]
async fn a_slow_body_gets_408() {
    let config = WireConfig { body_rate_grace_ms: 200, ..config() };
    let server = start_with(config, Fallback::not_found());
    let head =
        "POST /v1/events HTTP/1.1\r\nhost: x\r\nx-sluice-key: key\r\ncontent-length: 99\r\n\r\n{";
    let answer = server.raw(head.as_bytes()).await;
    assert_eq!((answer.status, answer.reason().as_str()), (408, "body_too_slow"));
    assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_connection_that_says_nothing_or_half_a_head_is_closed() {
    let config = WireConfig { header_timeout_ms: 200, ..config() };
    let server = start_with(config, Fallback::not_found());
    for start in ["", "P", "PRI * HTTP/2.0", "POST /v1/events HTTP/1.1\r\nhost:"] {
        let answer = server.raw(start.as_bytes()).await;
        assert!(matches!(answer.status, 0 | 408), "{start}: {answer:?}");
    }
    let handle = &server.handle;
    eventually("all closed", || handle.connections_open() == 0).await;
}

#[tokio::test]
async fn heads_are_bounded() {
    let config = WireConfig { header_bytes_max: 8_192, ..config() };
    let server = start_with(config, Fallback::not_found());
    let long = "a".repeat(9_000);
    let request = format!("GET /v1/config HTTP/1.1\r\nhost: x\r\nx-long: {long}\r\n\r\n");
    assert_eq!(server.raw(request.as_bytes()).await.status, 431);
    let many = "x: y\r\n".repeat(200);
    let request = format!("GET /v1/config HTTP/1.1\r\nhost: x\r\n{many}\r\n");
    assert_eq!(server.raw(request.as_bytes()).await.status, 431);
}

#[tokio::test]
async fn at_the_connection_limit_newcomers_wait() {
    let config = WireConfig { connections_max: 2, ..config() };
    let server = start_with(config, Fallback::not_found());
    let one = TcpStream::connect(server.addr()).await.expect("listening");
    let _two = TcpStream::connect(server.addr()).await.expect("listening");
    let handle = &server.handle;
    eventually("both accepted", || handle.connections_open() == 2).await;
    let mut third = TcpStream::connect(server.addr()).await.expect("in the backlog");
    third.write_all(b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("taken");
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(300), third.read(&mut byte)).await;
    assert!(early.is_err(), "served over the limit");
    assert_eq!(server.handle.connections_open(), 2);
    drop(one);
    assert_eq!(read_answer(&mut third).await.status, 404);
}

#[tokio::test]
async fn one_address_has_its_own_limit() {
    let config = WireConfig { connections_per_ip_max: Some(1), ..config() };
    let server = start_with(config, Fallback::not_found());
    let _one = TcpStream::connect(server.addr()).await.expect("listening");
    let handle = &server.handle;
    eventually("accepted", || handle.connections_open() == 1).await;
    assert_eq!(server.raw(b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n").await.status, 0);
}

#[tokio::test]
async fn nothing_durable_unready_and_rate_limited() {
    let server = start();
    server.fake.broken.store(true, Ordering::SeqCst);
    let answer = server.events("", batch("a", 2).as_bytes()).await;
    assert_eq!((answer.status, answer.reason().as_str()), (503, "log_unavailable"));
    assert_eq!(answer.header("retry-after").as_deref(), Some("2"));
    assert_eq!(answer.json()["retry"], 2);
    let answer = server.events("", br#"{"app_id":"limited","events":[]}"#).await;
    assert_eq!((answer.status, answer.header("retry-after").as_deref()), (429, Some("3")));
    server.fake.unready.store(true, Ordering::SeqCst);
    let answer = server.events("", batch("a", 2).as_bytes()).await;
    assert_eq!((answer.status, answer.reason().as_str()), (503, "overloaded"));
    let expected = [Reason::RateLimited, Reason::Overloaded];
    assert_eq!(*server.fake.refusals.lock(), expected);
}

#[tokio::test]
async fn a_client_that_leaves_does_not_stop_its_batch() {
    let server = start();
    server.fake.append_ms.store(300, Ordering::SeqCst);
    let body = batch("a", 1);
    let request = format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\nx-sluice-key: key\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(server.addr()).await.expect("listening");
    stream.write_all(request.as_bytes()).await.expect("taken");
    let fake: &Fake = &server.fake;
    eventually("handed over", || fake.batches.load(Ordering::SeqCst) == 1).await;
    drop(stream);
    eventually("finished", || fake.finished.load(Ordering::SeqCst) == 1).await;
    eventually("released", || fake.in_flight.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn validate_stores_nothing() {
    let server = start();
    for _ in 0..2 {
        let headers = "x-sluice-key: key\r\n";
        let answer = server.post("/v1/debug/validate", headers, batch("a", 2).as_bytes()).await;
        assert_eq!((answer.status, &answer.json()["accepted"]), (200, &2.into()));
    }
    assert_eq!(server.fake.batches.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn sdk_config_has_an_etag() {
    let server = start();
    let get = |extra: &str| {
        format!("GET /v1/config?key=key HTTP/1.1\r\nhost: x\r\n{extra}\r\n").into_bytes()
    };
    let answer = server.raw(&get("")).await;
    assert_eq!((answer.status, &answer.json()["enabled"]), (200, &true.into()));
    let etag = answer.header("etag").expect("an etag");
    let again = server.raw(&get(&format!("if-none-match: \"x\", W/{etag}\r\n"))).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    let other = server.raw(&get("if-none-match: \"x\"\r\n")).await;
    assert_eq!(other.status, 200);
}

#[tokio::test]
async fn cors_methods_and_request_ids() {
    let server = start();
    let preflight = b"OPTIONS /v1/events HTTP/1.1\r\nhost: x\r\norigin: https://a.example\r\n\
        access-control-request-method: POST\r\n\r\n";
    let answer = server.raw(preflight).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin").as_deref(), Some("*"));
    assert_eq!(answer.header("access-control-max-age").as_deref(), Some("86400"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    let answer =
        server.raw(b"GET /v1/events HTTP/1.1\r\nhost: x\r\nx-request-id: r.1\r\n\r\n").await;
    assert_eq!((answer.status, answer.header("allow").as_deref()), (405, Some("POST, OPTIONS")));
    assert_eq!(answer.header("x-request-id").as_deref(), Some("r.1"));
    assert_eq!(answer.header("access-control-allow-origin").as_deref(), Some("*"));
    let odd = b"GET /nowhere HTTP/1.1\r\nhost: x\r\nx-request-id: a b\r\n\r\n";
    let answer = server.raw(odd).await;
    assert_eq!((answer.status, answer.reason().as_str()), (404, "not_found"));
    assert_eq!(answer.header("x-request-id").map(|id| id.len()), Some(32));
}

#[tokio::test]
async fn an_axum_router_is_a_fallback() {
    let echo = |id: axum::Extension<sluice_wire::RequestId>, body: String| async move {
        format!("{} {body}", id.0.0)
    };
    let router = axum::Router::new().route("/echo", axum::routing::post(echo));
    let config = WireConfig { fallback_body_bytes_max: 10, ..config() };
    let server = start_with(config, Fallback::new(router));
    let answer = server.post("/echo", "x-request-id: r\r\n", b"text").await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"r text".as_slice()));
    let answer = server.post("/echo", "", b"longer than ten").await;
    assert_eq!((answer.status, answer.reason().as_str()), (413, "body_too_large"));
    assert!(server.registry.encode().expect("text").contains("route=\"fallback\",status=\"200\""));
}

#[tokio::test]
async fn drain_finishes_requests_and_says_what_it_cut() {
    let server = start();
    server.fake.append_ms.store(300, Ordering::SeqCst);
    let addr = server.addr();
    let idle = TcpStream::connect(addr).await.expect("listening");
    let mut busy = TcpStream::connect(addr).await.expect("listening");
    let body = batch("a", 1);
    let head = "POST /v1/events HTTP/1.1\r\nhost: x\r\nx-sluice-key: key\r\n";
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    busy.write_all(request.as_bytes()).await.expect("taken");
    let fake = std::sync::Arc::clone(&server.fake);
    eventually("handed over", || fake.batches.load(Ordering::SeqCst) == 1).await;
    let drain = tokio::spawn(server.handle.drain(PATIENCE));
    let answer = read_answer(&mut busy).await;
    assert_eq!((answer.status, answer.header("connection").as_deref()), (200, Some("close")));
    let drained = drain.await.expect("no panic");
    assert_eq!((drained.connections_cut, drained.batches_pending), (0, 0));
    drop(idle);
    assert!(TcpStream::connect(addr).await.is_err(), "still listening");
}

#[tokio::test]
async fn drain_cuts_at_its_deadline() {
    let server = start();
    let mut slow = TcpStream::connect(server.addr()).await.expect("listening");
    let head =
        "POST /v1/events HTTP/1.1\r\nhost: x\r\nx-sluice-key: key\r\ncontent-length: 9\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.expect("taken");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let drained = server.handle.drain(Duration::from_millis(200)).await;
    assert_eq!(drained.connections_cut, 1);
    assert_eq!(read_answer(&mut slow).await.status, 0);
}
