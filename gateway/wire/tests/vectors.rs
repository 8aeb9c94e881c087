//! Every golden vector of `sdk-spec/vectors`: the bytes go in twice by a raw
//! socket; events and reply must be those written down, and the second time
//! every event that was read must be a duplicate.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{Answer, start};
use serde_json::{Value, json};

fn folder(dialect: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk-spec/vectors").join(dialect)
}

fn reply(answer: &Answer) -> Value {
    let is_protobuf = answer.header("content-type").is_some_and(|it| it.ends_with("protobuf"));
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| {
        if is_protobuf {
            return STANDARD.encode(&answer.body).into();
        }
        assert!(answer.body.is_empty() || answer.body.starts_with(b"GIF89a"), "{answer:?}");
        String::from_utf8_lossy(&answer.body[..answer.body.len().min(6)]).into_owned().into()
    });
    if let Value::Object(members) = &mut body {
        members.remove("server_time");
        mask_web_id(members.get_mut("web_id"));
    }
    json!({"status": answer.status, "body": body})
}

/// Web ids are new each time: only their form can be told beforehand.
fn mask_web_id(found: Option<&mut Value>) {
    if let Some(web_id) = found {
        let text = web_id.as_str().unwrap_or_default();
        if text.len() == 19 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            *web_id = "<19 digits>".into();
        }
    }
}

async fn check(dialect: &str) -> usize {
    let mut inputs: Vec<_> = fs::read_dir(folder(dialect))
        .expect("vectors")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "http"))
        .collect();
    inputs.sort();
    let mut differing = Vec::new();
    for input in &inputs {
        let server = start();
        let bytes = fs::read(input).expect("readable");
        let expected = fs::read(input.with_extension("json")).unwrap_or_default();
        let expected: Value = serde_json::from_slice(&expected).unwrap_or_default();
        let first = server.raw(&bytes).await;
        let mut found = std::mem::take(&mut *server.fake.last.lock());
        if found.is_null() {
            found = json!({});
        }
        mask_web_id(found.pointer_mut("/envelope/batch_id"));
        found["dialect"] = dialect.into();
        found["received_at"] = expected["received_at"].clone();
        found["reply"] = reply(&first);
        let wrong = format!(
            "{}: found\n{}\n",
            input.display(),
            serde_json::to_string_pretty(&found).expect("JSON")
        );
        if found != expected {
            differing.push(wrong);
            continue;
        }
        let seen = server.fake.seen.lock().len();
        let second = server.raw(&bytes).await;
        assert_eq!(second.status, first.status, "{wrong}");
        assert_eq!(server.fake.seen.lock().len(), seen, "an id changed: {wrong}");
        let batches = if found.get("events").is_some() { 2 } else { 0 };
        assert_eq!(server.fake.batches.load(Ordering::SeqCst), batches, "{wrong}");
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    inputs.len()
}

#[tokio::test]
async fn native() {
    assert!(check("native").await >= 8);
}

#[tokio::test]
async fn sensors() {
    assert!(check("sensors").await >= 20);
}

#[tokio::test]
async fn datarangers() {
    assert!(check("datarangers").await >= 8);
}

#[tokio::test]
async fn cloudevents() {
    assert!(check("cloudevents").await >= 20);
}

#[tokio::test]
async fn segment() {
    assert!(check("segment").await >= 20);
}

#[tokio::test]
async fn otlp() {
    assert!(check("otlp").await >= 25);
}
