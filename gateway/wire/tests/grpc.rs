//! gRPC through tonic's client, and HTTP/2 by hand where a client is rude.

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::{PATIENCE, Server, config, eventually, start, start_with};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sluice_proto::v1::collector_client::CollectorClient;
use sluice_proto::v1::{Batch, Event, Outcome};
use sluice_wire::{Fallback, WireConfig};
use tokio::net::TcpStream;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

async fn channel(server: &Server) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.addr())).expect("an address");
    endpoint.timeout(PATIENCE).connect().await.expect("listening")
}

fn keyed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", MetadataValue::from_static("Bearer key"));
    request
}

fn batch(batch_id: &str, ids: &[&str]) -> Batch {
    let events = ids.iter().map(|id| Event {
        id: (*id).to_owned(),
        name: "page_view".to_owned(),
        time: 1_795_190_400_000,
        device_id: "d".to_owned(),
        ..Event::default()
    });
    Batch { batch_id: batch_id.to_owned(), events: events.collect(), ..Batch::default() }
}

#[tokio::test]
async fn collect_answers_with_fates_or_a_status() {
    let server = start();
    let mut client = CollectorClient::new(channel(&server).await);
    let reply = client.collect(keyed(batch("b1", &["a", "b", "a"]))).await.expect("taken");
    let reply = reply.into_inner();
    assert_eq!((reply.batch_id.as_str(), reply.accepted, reply.duplicates), ("b1", 2, 1));
    assert_eq!(reply.results[0].outcome(), Outcome::Duplicate);

    let status = client.collect(Request::new(batch("", &[]))).await.expect_err("no key");
    assert_eq!(status.code(), Code::Unauthenticated);
    let many = batch("", &["x"; 501]);
    let status = client.collect(keyed(many)).await.expect_err("too many");
    assert_eq!(status.code(), Code::ResourceExhausted);
    let limited = Batch { app_id: "limited".to_owned(), ..Batch::default() };
    let status = client.collect(keyed(limited)).await.expect_err("limited");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.details().windows(9).any(|window| window == b"RetryInfo"));

    server.fake.broken.store(true, Ordering::SeqCst);
    let status = client.collect(keyed(batch("", &["n"]))).await.expect_err("not durable");
    assert_eq!(status.code(), Code::Unavailable);
}

#[tokio::test]
async fn compressed_messages_and_the_size_limit() {
    let server = start();
    let client = CollectorClient::new(channel(&server).await);
    let mut gzip = client.clone().send_compressed(CompressionEncoding::Gzip);
    let reply = gzip.collect(keyed(batch("", &["a"]))).await.expect("taken").into_inner();
    assert_eq!(reply.accepted, 1);
    let mut huge = batch("", &["b"]);
    huge.events[0].properties = vec![b' '; 64 << 20].into();
    let status = gzip.collect(keyed(huge.clone())).await.expect_err("a bomb");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().starts_with("inflated_too_large"), "{status:?}");
    huge.events[0].properties.truncate(9 << 20);
    let status = client.clone().collect(keyed(huge)).await.expect_err("too large");
    assert_eq!(status.code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_stream_goes_on_after_a_refused_batch() {
    let server = start();
    let mut client = CollectorClient::new(channel(&server).await);
    let limited =
        Batch { app_id: "limited".to_owned(), batch_id: "b2".to_owned(), ..Batch::default() };
    let batches = vec![batch("b1", &["a"]), limited, batch("b3", &["b"])];
    let call = client.collect_stream(keyed(tokio_stream::iter(batches))).await.expect("begun");
    let mut replies = call.into_inner();
    let mut found = Vec::new();
    while let Some(reply) = replies.message().await.expect("no error") {
        let error = reply.error.map(|error| error.reason).unwrap_or_default();
        found.push((reply.batch_id, reply.accepted, error));
    }
    found.sort();
    let expected = [("b1", 1, ""), ("b2", 0, "rate_limited"), ("b3", 1, "")];
    assert_eq!(found, expected.map(|(id, n, error)| (id.to_owned(), n, error.to_owned())));
}

#[tokio::test]
async fn a_stream_is_bounded_in_flight_and_ends_with_the_drain() {
    let config = WireConfig { stream_batches_in_flight_max: 2, ..config() };
    let server = start_with(config, Fallback::not_found());
    server.fake.append_ms.store(400, Ordering::SeqCst);
    let mut client = CollectorClient::new(channel(&server).await);
    let (send, receive) = tokio::sync::mpsc::channel(8);
    for id in ["a", "b", "c", "d"] {
        send.send(batch(id, &[id])).await.expect("room");
    }
    let stream = tokio_stream::wrappers::ReceiverStream::new(receive);
    let mut replies = client.collect_stream(keyed(stream)).await.expect("begun").into_inner();
    let fake = Arc::clone(&server.fake);
    eventually("two in work", || fake.batches.load(Ordering::SeqCst) == 2).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(fake.batches.load(Ordering::SeqCst), 2, "more in work than allowed");
    let drain = tokio::spawn(server.handle.drain(PATIENCE));
    let mut answered = 0;
    let status = loop {
        match replies.message().await {
            Ok(Some(reply)) => answered += reply.accepted,
            Ok(None) => panic!("ended as if all had been read"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(answered as usize, fake.batches.load(Ordering::SeqCst), "one went unanswered");
    drop((send, replies, client));
    let drained = drain.await.expect("no panic");
    assert_eq!((drained.connections_cut, drained.batches_pending), (0, 0));
}

#[tokio::test]
async fn a_stream_without_a_key_and_one_that_says_nothing() {
    let config = WireConfig { stream_idle_ms: 200, ..config() };
    let server = start_with(config, Fallback::not_found());
    let mut client = CollectorClient::new(channel(&server).await);
    let none = tokio_stream::pending::<Batch>();
    let status = client.collect_stream(none).await.expect_err("no key");
    assert_eq!(status.code(), Code::Unauthenticated);
    let silent = keyed(tokio_stream::pending::<Batch>());
    let mut replies = client.collect_stream(silent).await.expect("begun").into_inner();
    let status = replies.message().await.expect_err("idle");
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn health_tells_the_truth() {
    let server = start();
    let mut client = HealthClient::new(channel(&server).await);
    let ask = |service: &str| HealthCheckRequest { service: service.to_owned() };
    let reply = client.check(ask("sluice.v1.Collector")).await.expect("known").into_inner();
    assert_eq!(reply.status(), ServingStatus::Serving);
    server.fake.unready.store(true, Ordering::SeqCst);
    let reply = client.check(ask("")).await.expect("known").into_inner();
    assert_eq!(reply.status(), ServingStatus::NotServing);
    let status = client.check(ask("other")).await.expect_err("unknown");
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn reflection_lists_the_collector() {
    let server = start();
    let mut client = ServerReflectionClient::new(channel(&server).await);
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let call = client.server_reflection_info(tokio_stream::once(list)).await.expect("begun");
    let reply = call.into_inner().message().await.expect("no error").expect("an answer");
    let Some(MessageResponse::ListServicesResponse(list)) = reply.message_response else {
        panic!("no list: {reply:?}");
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&"sluice.v1.Collector"), "{names:?}");
    assert!(names.contains(&"grpc.health.v1.Health"), "{names:?}");
}

#[tokio::test]
async fn an_unknown_method_is_unimplemented() {
    let server = start();
    let mut grpc = tonic::client::Grpc::new(channel(&server).await);
    grpc.ready().await.expect("ready");
    let codec = tonic_prost::ProstCodec::<Batch, Batch>::default();
    let path = http::uri::PathAndQuery::from_static("/sluice.v1.Collector/Nothing");
    let called = grpc.unary(Request::new(Batch::default()), path, codec).await;
    assert_eq!(called.expect_err("no such method").code(), Code::Unimplemented);
}

#[tokio::test]
async fn http2_serves_json_and_survives_a_reset_flood() {
    let server = start();
    let stream = TcpStream::connect(server.addr()).await.expect("listening");
    let executor = TokioExecutor::new();
    let io = TokioIo::new(stream);
    type Full = http_body_util::Full<bytes::Bytes>;
    let (sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full>(executor, io).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let request = |body: String| {
        let request = http::Request::post(format!("http://{}/v1/events", server.addr()));
        request.header("x-sluice-key", "key").body(Full::from(body)).expect("valid")
    };
    let mut first = sender.clone();
    let answer = first.send_request(request(common::batch("h", 1))).await.expect("answered");
    assert_eq!(answer.status(), 200);
    let body = answer.into_body().collect().await.expect("whole").to_bytes();
    assert!(body.starts_with(b"{\"accepted\":1"));
    // Requests begun and dropped at once: each drop is a RST_STREAM.
    server.fake.append_ms.store(50, Ordering::SeqCst);
    for round in 0..2_000 {
        let mut sender = sender.clone();
        if sender.ready().await.is_err() {
            break;
        }
        let call = sender.send_request(request(common::batch(&format!("f{round}"), 1)));
        tokio::time::timeout(Duration::from_micros(50), call).await.ok();
    }
    drop((first, sender));
    connection.abort();
    let fake = &server.fake;
    eventually("all released", || fake.in_flight.load(Ordering::SeqCst) == 0).await;
    assert_eq!(server.events("", common::batch("after", 1).as_bytes()).await.status, 200);
}
