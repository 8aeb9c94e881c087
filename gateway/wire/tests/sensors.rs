//! The Sensors dialect's acknowledgement and identity: what makes that SDK
//! keep a batch, and what it sends again.

mod common;

use std::sync::atomic::Ordering;

use common::{Answer, Server, config, start, start_with};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use sluice_event::Reason;
use sluice_wire::{Fallback, WireConfig};
use tokio::net::TcpStream;

fn event(time: i64, flush: i64, track_id: Option<u64>) -> Value {
    let mut event = json!({
        "distinct_id": "d", "anonymous_id": "d", "type": "track", "event": "$MPShow",
        "time": time, "_flush_time": flush, "properties": {"a": {"_flush_time": 1}},
    });
    if let Some(track_id) = track_id {
        event["_track_id"] = track_id.into();
    }
    event
}

async fn send(server: &Server, events: &[Value]) -> Answer {
    server.post("/sa?project=default", "", &serde_json::to_vec(events).expect("JSON")).await
}

fn ids(server: &Server) -> Vec<String> {
    let last = server.fake.last.lock();
    let events = last["events"].as_array().expect("a batch");
    events.iter().map(|event| event["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn a_retry_regroups_and_flushes_later_and_is_still_the_same() {
    let server = start();
    for track_id in [None, Some(7)] {
        let [one, two] = [event(1, 10, track_id), event(2, 10, track_id)];
        assert_eq!(send(&server, &[one, two]).await.status, 200);
        let first = ids(&server);
        assert_ne!(first[0], first[1], "two events, one id");
        assert_eq!(send(&server, &[event(2, 99, track_id)]).await.status, 200);
        assert_eq!(ids(&server), first[1..]);
    }
    assert_eq!(server.fake.seen.lock().len(), 4);
}

#[tokio::test]
async fn the_same_event_of_another_project_is_another() {
    let server = start();
    send(&server, &[event(1, 1, Some(1))]).await;
    let first = ids(&server);
    let body = serde_json::to_vec(&event(1, 1, Some(1))).expect("JSON");
    server.post("/sa?project=other", "", &body).await;
    assert_ne!(ids(&server), first);
}

#[tokio::test]
async fn an_event_of_another_project_than_the_url_names_is_refused() {
    let server = start();
    let mut events = [event(1, 1, Some(1)), event(2, 1, Some(2)), event(3, 1, Some(3))];
    events[0]["project"] = "default".into();
    events[1]["project"] = "other".into();
    assert_eq!(send(&server, &events).await.status, 200);
    let last = server.fake.last.lock();
    let reasons: Vec<_> = (0..3).map(|n| &last["events"][n]["bad"]["reason"]).collect();
    assert_eq!(reasons, [&Value::Null, &json!("app_mismatch"), &Value::Null]);
}

#[tokio::test]
async fn names_that_we_have_no_room_for_are_kept_beside() {
    let server = start();
    let mut sent = event(1, 1, None);
    sent["event"] = "_paid".into();
    assert_eq!(send(&server, &[sent]).await.status, 200);
    let last = server.fake.last.lock();
    assert_eq!(last["events"][0]["name"], "event__paid");
    assert_eq!(last["events"][0]["properties"]["sensors_event"], "_paid");
}

#[tokio::test]
async fn encrypted_events_count_one_by_one_and_within_the_limit() {
    let server = start();
    let sealed = |count: usize| json!({"ekey": "k", "payloads": vec!["x"; count]});
    assert_eq!(send(&server, &[sealed(499), event(1, 1, None)]).await.status, 200);
    let last = server.fake.last.lock().take();
    assert_eq!(last["events"].as_array().map(Vec::len), Some(500));
    assert_eq!(last["events"][498]["bad"]["reason"], "event_unsupported");
    assert_eq!(send(&server, &[sealed(500), event(1, 1, None)]).await.status, 413);
    assert_eq!(send(&server, &[sealed(501)]).await.status, 413);
}

#[tokio::test]
async fn whatever_should_come_again_gets_no_answer() {
    let config = WireConfig { body_rate_grace_ms: 200, ..config() };
    let server = start_with(config, Fallback::not_found());
    server.fake.broken.store(true, Ordering::SeqCst);
    assert_eq!(send(&server, &[event(1, 1, None)]).await.status, 0, "nothing durable");
    server.fake.broken.store(false, Ordering::SeqCst);
    server.fake.unready.store(true, Ordering::SeqCst);
    assert_eq!(send(&server, &[event(1, 1, None)]).await.status, 0, "unready");
    server.fake.unready.store(false, Ordering::SeqCst);
    let slow = b"POST /sa HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n[";
    assert_eq!(server.raw(slow).await.status, 0, "too slow");
    assert_eq!(*server.fake.refusals.lock(), [Reason::Overloaded, Reason::BodyTooSlow]);
    let metrics = server.registry.encode().expect("text");
    assert!(
        metrics.contains("sluice_wire_requests_total{route=\"/sa\",status=\"0\"} 3"),
        "{metrics}"
    );
    assert_eq!(send(&server, &[event(1, 1, None)]).await.status, 200, "it all comes in later");
}

#[tokio::test]
async fn what_is_final_gets_its_status() {
    let server = start();
    let unknown = server.post("/sa?project=unknown", "", b"[]").await;
    assert_eq!(unknown.status, 401);
    assert_eq!(server.post("/sa", "", b"data_list=%%%").await.status, 400);
    let many: Vec<_> = (0..501).map(|time| event(time, 0, None)).collect();
    assert_eq!(send(&server, &many).await.status, 413);
    let deep = format!("[{{\"x\":{}", "[".repeat(10_000));
    let deep = server.post("/sa", "", deep.as_bytes()).await;
    assert_eq!((deep.status, deep.reason().as_str()), (400, "body_too_deep"));
}

#[tokio::test]
async fn over_http2_only_the_stream_is_reset() {
    let server = start();
    let stream = TcpStream::connect(server.addr()).await.expect("listening");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full<bytes::Bytes>>(
            TokioExecutor::new(),
            TokioIo::new(stream),
        )
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    let uri = format!("http://{}/sa", server.addr());
    let request = || {
        let body = serde_json::to_vec(&event(1, 1, None)).expect("JSON");
        http::Request::post(&uri).body(Full::from(body)).expect("valid")
    };
    server.fake.broken.store(true, Ordering::SeqCst);
    assert!(sender.send_request(request()).await.is_err(), "answered");
    server.fake.broken.store(false, Ordering::SeqCst);
    let answer = sender.send_request(request()).await.expect("the connection lives");
    assert_eq!(answer.status(), 200);
}
