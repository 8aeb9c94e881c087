//! CloudEvents and Segment: answers for clients that see a status alone, and
//! mutated requests.

mod common;

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use common::{Answer, Server, start};
use sluice_event::Limits;
use sluice_wire::{Head, Inflater, dialects};

const CLOUD_EVENT: &str = r#"{"specversion":"1.0","id":"e-1","source":"/a","type":"order.paid","subject":"u","data":{"a":1}}"#;
const MESSAGE: &str = r#"{"messageId":"m-1","anonymousId":"d","event":"Order Paid","timestamp":"2026-11-20T18:48:43Z"}"#;

async fn cloud_event(server: &Server) -> Answer {
    let headers = "authorization: Bearer key\r\ncontent-type: application/cloudevents+json\r\n";
    server.post("/cloudevents", headers, CLOUD_EVENT.as_bytes()).await
}

async fn message(server: &Server) -> Answer {
    server.post("/v1/track", "authorization: Basic a2V5Og==\r\n", MESSAGE.as_bytes()).await
}

#[tokio::test]
async fn what_should_come_again_is_answered_503_with_a_wait() {
    let server = start();
    server.fake.broken.store(true, Ordering::SeqCst);
    for answer in [cloud_event(&server).await, message(&server).await] {
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("retry-after").as_deref(), Some("2"));
        assert_eq!(answer.json()["results"][0]["outcome"], "retry");
    }
    server.fake.broken.store(false, Ordering::SeqCst);
    server.fake.unready.store(true, Ordering::SeqCst);
    for answer in [cloud_event(&server).await, message(&server).await] {
        assert_eq!((answer.status, answer.reason().as_str()), (503, "overloaded"));
        assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
    }
    server.fake.unready.store(false, Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(cloud_event(&server).await.status, 200);
        let answer = message(&server).await;
        assert_eq!((answer.status, &answer.json()["success"]), (200, &true.into()));
    }
    assert_eq!(server.fake.seen.lock().len(), 2, "each counts once");
}

#[tokio::test]
async fn a_key_is_asked_for() {
    let server = start();
    for path in ["/cloudevents", "/v1/batch", "/v1/identify"] {
        let answer = server.post(path, "", b"{}").await;
        assert_eq!((answer.status, answer.reason().as_str()), (401, "key_missing"), "{path}");
        let answer = server.post(path, "authorization: Basic Ym9vOg==\r\n", b"{}").await;
        assert_eq!(answer.status, 401, "{path}");
    }
}

#[tokio::test]
async fn browsers_may_call() {
    let server = start();
    let ask = b"OPTIONS /cloudevents HTTP/1.1\r\nhost: x\r\n\r\n";
    let answer = server.raw(ask).await;
    assert_eq!(answer.status, 204);
    let allowed = answer.header("access-control-allow-headers").unwrap_or_default();
    assert!(allowed.contains("authorization"), "{allowed}");
}

/// A request of a vector: its head, its body.
fn requests(dialect: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk-spec/vectors").join(dialect);
    let mut requests = Vec::new();
    for entry in fs::read_dir(folder).expect("vectors") {
        let bytes = fs::read(entry.expect("readable").path()).expect("readable");
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
            requests.push((head, bytes[at + 4..].to_vec()));
        }
    }
    assert!(requests.len() > 20);
    requests
}

/// A head, as far as its lines can be headers.
fn head(text: &str) -> Head {
    let mut lines = text.split("\r\n");
    let path = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a path");
    let mut request = http::Request::post(path);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name = http::HeaderName::from_bytes(name.as_bytes());
        let value = http::HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            request = request.header(name, value);
        }
    }
    Head::new(request.body(()).expect("valid").into_parts().0, None)
}

/// Everything that a dialect does with a request; the ids it read.
fn exercise(head: &Head, body: &[u8]) -> usize {
    let (dialect, _) = dialects::find(head.parts.uri.path()).expect("claimed");
    let limits = Limits { inflated_bytes_max: 100_000, ..Limits::default() };
    dialect.presented(head);
    if dialect.check_head(head).is_err() {
        return 0;
    }
    let Ok(payload) = dialect.unwrap(head, body, &limits, &mut Inflater::default()) else {
        return 0;
    };
    dialect.decode(head, &payload, &limits).map_or(0, |batch| batch.events.len())
}

/// xorshift64: the same mutations in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }
}

#[test]
fn mutated_requests_never_panic() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let marks = *b"{}[]\",:\\0-eE\0\xff\x80%\x1f\x8b";
    for dialect in ["cloudevents", "segment"] {
        let mut read = 0;
        for (text, body) in requests(dialect) {
            let whole = head(&text);
            read += exercise(&whole, &body);
            for end in (0..body.len()).step_by(1 + body.len() / 400) {
                exercise(&whole, &body[..end]);
            }
            for _ in 0..400 {
                let mut mutated = body.clone();
                for _ in 0..=dice.roll(3) {
                    if !mutated.is_empty() {
                        let at = dice.roll(mutated.len());
                        mutated[at] = match dice.roll(3) {
                            0 => marks[dice.roll(marks.len())],
                            1 => dice.roll(256) as u8,
                            _ => mutated[at] ^ 1 << dice.roll(8),
                        };
                    }
                }
                exercise(&whole, &mutated);
            }
            let first_line = text.split("\r\n").next().unwrap_or_default().len();
            for _ in 0..100 {
                let mut mutated = text.clone().into_bytes();
                if mutated.len() > first_line {
                    let at = first_line + dice.roll(mutated.len() - first_line);
                    mutated[at] = dice.roll(256) as u8;
                }
                exercise(&head(&String::from_utf8_lossy(&mutated)), &body);
            }
        }
        assert!(read > 40, "{dialect}: {read} events were read unchanged");
    }
}
