//! Decoders: the two forms of a native batch agree, and no bytes make any of
//! them panic.

mod common;

use std::fs;
use std::path::Path;

use common::describe;
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};
use sluice_event::{Limits, Presented};
use sluice_proto::v1;
use sluice_wire::dialects::{self, native};
use sluice_wire::{Head, Inflater};

fn words() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,8}", "[ -~]{0,12}", "\\PC{0,6}"]
}

prop_compose! {
    fn events()(
        id in words(), name in words(), time in 1..i64::MAX, device_id in words(),
        kind in 0..8_i32, ids in proptest::collection::hash_map("[a-z]{1,4}", words(), 0..4),
        seq in any::<u64>(), path in proptest::option::of(words()), text in words(),
    ) -> v1::Event {
        let properties = json!({ "k": text, "n": seq }).to_string();
        v1::Event {
            id, name, time, device_id, r#type: kind, ids, seq, user_id: text.clone(),
            session_id: text.clone(), scene: text.clone(), properties: properties.into_bytes().into(),
            page: path.map(|path| v1::Page { path, query: text.clone(), title: text, ..Default::default() }),
        }
    }
}

prop_compose! {
    fn batches()(
        events in proptest::collection::vec(events(), 0..5), text in words(),
        tz_offset_min in any::<i32>(), sent_at in any::<i64>(), attempt in any::<u32>(),
    ) -> v1::Batch {
        v1::Batch {
            app_id: text.clone(), platform: text.clone(), host_app: text.clone(), env: text.clone(),
            app_version: text.clone(), batch_id: text.clone(), dropped: attempt.into(),
            sdk: Some(v1::Sdk { name: text.clone(), version: text.clone() }),
            device: Some(v1::Device { model: text.clone(), lang: text, ..Default::default() }),
            tz_offset_min, sent_at, attempt, events,
        }
    }
}

fn as_json(batch: &v1::Batch) -> String {
    let kinds =
        ["track", "user_set", "user_set_once", "user_unset", "alias", "error", "perf", "request"];
    let events = batch.events.iter().map(|event| {
        let properties: Value = serde_json::from_slice(&event.properties).expect("JSON");
        let page = event.page.as_ref().map(|page| {
            json!({
                "path": page.path, "query": page.query, "title": page.title,
            })
        });
        json!({
            "id": event.id, "name": event.name, "time": event.time, "device_id": event.device_id,
            "type": kinds[event.r#type as usize], "user_id": event.user_id, "ids": event.ids,
            "session_id": event.session_id, "seq": event.seq, "page": page, "scene": event.scene,
            "properties": properties,
        })
    });
    let (sdk, device) = (batch.sdk.clone().expect("set"), batch.device.clone().expect("set"));
    json!({
        "app_id": batch.app_id, "platform": batch.platform, "host_app": batch.host_app,
        "env": batch.env, "app_version": batch.app_version, "batch_id": batch.batch_id,
        "sdk": {"name": sdk.name, "version": sdk.version}, "dropped": batch.dropped,
        "device": {"model": device.model, "lang": device.lang}, "attempt": batch.attempt,
        "tz_offset_min": batch.tz_offset_min, "sent_at": batch.sent_at,
        "events": events.collect::<Vec<_>>(),
    })
    .to_string()
}

fn head(uri: &str, media: &str) -> Head {
    let request = http::Request::post(uri).header("content-type", media);
    Head::new(request.body(()).expect("valid").into_parts().0, None)
}

/// Everything that a dialect does with bytes from outside.
fn exercise(path: &str, media: &str, bytes: &[u8]) {
    let head = head(path, media);
    let (dialect, _) = dialects::find(head.parts.uri.path()).expect("claimed");
    let Presented { key, .. } = dialect.presented(&head);
    assert_eq!(key, None);
    dialect.presented_in_body(&head, bytes);
    let limits = Limits::default();
    let payload = dialect.unwrap(&head, bytes, &limits, &mut Inflater::default());
    if let Ok(payload) = payload {
        dialect.decode(&head, &payload, &limits).ok();
    }
}

fn exercise_all(bytes: &[u8]) {
    exercise("/v1/events", "application/json", bytes);
    exercise("/v1/events", "application/x-protobuf", bytes);
    exercise("/sluice.v1.Collector/Collect", "application/grpc", bytes);
    exercise("/sa?gzip=1", "text/plain", bytes);
    exercise("/sa", "text/plain", bytes);
    exercise("/list/", "application/json", bytes);
    exercise("/webid/", "application/json", bytes);
    exercise("/cloudevents", "application/cloudevents+json", bytes);
    exercise("/v1/batch", "application/json", bytes);
    exercise("/v1/page", "text/plain", bytes);
    exercise("/v1/logs", "application/json", bytes);
    exercise("/v1/logs", "application/x-protobuf", bytes);
    exercise(
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        "application/grpc",
        bytes,
    );
}

fn bodies_of_vectors() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk-spec/vectors");
    let mut bodies = Vec::new();
    for dialect in ["native", "sensors", "datarangers", "cloudevents", "segment", "otlp"] {
        for entry in fs::read_dir(folder.join(dialect)).expect("vectors") {
            let bytes = fs::read(entry.expect("readable").path()).expect("readable");
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                bodies.push(bytes[at + 4..].iter().copied().take(20_000).collect());
            }
        }
    }
    assert!(bodies.len() > 20);
    bodies
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn json_and_protobuf_of_one_batch_are_equal(batch in batches()) {
        let limits = Limits::default();
        let (text, bytes) = (as_json(&batch), batch.encode_to_vec());
        let from_json = native::json::decode(text.as_bytes(), &limits).expect("valid");
        let from_proto = native::proto::decode(&bytes, &limits).expect("valid");
        prop_assert_eq!(describe(&from_json), describe(&from_proto));
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        exercise_all(&bytes);
    }

    #[test]
    fn mutated_bodies_never_panic(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let bodies = bodies_of_vectors();
        let mut body = bodies[which.index(bodies.len())].clone();
        if !body.is_empty() {
            let at = at.index(body.len());
            body[at] = byte;
            if cut {
                body.truncate(at);
            }
        }
        exercise_all(&body);
    }
}

/// Four million empty events in eight megabytes must not become gigabytes.
#[test]
fn elements_are_counted_before_they_are_made() {
    let bomb = [0x6a, 0x00].repeat(4 << 20);
    let refusal = native::proto::decode(&bomb, &Limits::default()).expect_err("too many");
    assert_eq!(refusal.reason, sluice_event::Reason::TooManyEvents);
    let bomb = format!("{{\"events\":[{}1]}}", "1,".repeat(4 << 20));
    let refusal = native::json::decode(bomb.as_bytes(), &Limits::default()).expect_err("too many");
    assert_eq!(refusal.reason, sluice_event::Reason::TooManyEvents);
}
