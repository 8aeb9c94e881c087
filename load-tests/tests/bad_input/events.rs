//! Events that are refused one by one: the good one beside them is taken.

use serde_json::{Value, json};

use crate::raw::{post, send};
use crate::{Target, now_ms};

/// One event's fields over a good event's, and the reason and detail it gets.
type Row = (Value, &'static str, &'static str);

fn rows() -> Vec<Row> {
    let text = |length: usize| "x".repeat(length);
    let wide: Value =
        (0..101).map(|n| (n.to_string(), json!(n))).collect::<serde_json::Map<_, _>>().into();
    let large: Value = (0..10)
        .map(|n| (n.to_string(), json!(text(7_000))))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let mut long_key = serde_json::Map::new();
    long_key.insert(text(129), json!(1));
    vec![
        (json!({"id": 12345}), "id_invalid", "id: expected a string, got a number"),
        (json!({"id": 1.5e300}), "id_invalid", "id: expected a string, got a number"),
        (json!({"id": ""}), "id_missing", "id: is required"),
        (json!({"id": null}), "id_missing", "id: is required"),
        (json!({"id": text(65)}), "id_invalid", "1-64 visible ASCII"),
        (json!({"id": "a b"}), "id_invalid", "1-64 visible ASCII"),
        (json!({"id": "a\0"}), "id_invalid", "1-64 visible ASCII"),
        (json!({"id": "商品"}), "id_invalid", "1-64 visible ASCII"),
        (json!({"name": ""}), "name_missing", "name: is required"),
        (json!({"name": 7}), "name_invalid", "name: expected a string, got a number"),
        (json!({"name": "1st"}), "name_invalid", "name: "),
        (json!({"name": text(129)}), "name_invalid", "name: "),
        (json!({"name": "a\0"}), "name_invalid", "name: "),
        (json!({"time": null}), "time_invalid", "time: is required"),
        (json!({"time": "now"}), "time_invalid", "time: expected an integer, got a string"),
        (json!({"time": 1.5}), "time_invalid", "time: expected an integer"),
        (json!({"device_id": ""}), "device_id_missing", "device_id: is required"),
        (json!({"device_id": text(129)}), "field_invalid", "device_id: "),
        (json!({"device_id": 5}), "field_invalid", "device_id: expected a string, got a number"),
        (json!({"user_id": text(256)}), "field_invalid", "user_id: "),
        (json!({"session_id": text(65)}), "field_invalid", "session_id: "),
        (json!({"type": "purchase"}), "type_unknown", "must be one of track, user_set"),
        (json!({"page": "home"}), "field_invalid", "page: expected an object, got a string"),
        (json!({"page": {"path": text(9_000)}}), "field_invalid", "page.path: "),
        (json!({"ids": [1]}), "field_invalid", "ids: expected an object, got an array"),
        (json!({"properties": [1]}), "properties_invalid", "expected an object, got an array"),
        (json!({"properties": wide}), "properties_invalid", "at most 100"),
        (json!({"properties": long_key}), "properties_invalid", "at most 128"),
        (json!({"properties": {"a": {"b": {"c": {}}}}}), "properties_invalid", "at most 3"),
        (json!({"properties": large}), "event_too_large", "65536"),
    ]
}

fn good(id: &str) -> Value {
    json!({"id": id, "name": "click", "time": now_ms(), "device_id": "d-events"})
}

pub async fn run(target: &Target<'_>) {
    let rows = rows();
    let mut events: Vec<Value> = Vec::new();
    for (number, (fields, ..)) in rows.iter().enumerate() {
        let mut event = good(&format!("row-{number}"));
        for (name, value) in fields.as_object().expect("fields") {
            event[name] = value.clone();
        }
        events.push(event);
    }
    events.extend([json!(7), json!(null), good("good-one")]);
    let body = json!({ "events": events }).to_string();
    for path in ["/v1/debug/validate", "/v1/events"] {
        let answer = send(&target.address, &post(path, &[], body.as_bytes())).await;
        let reply = answer.json();
        assert_eq!(answer.status, 200, "{path}: {reply}");
        let counts = (&reply["accepted"], &reply["rejected"], &reply["retry"]);
        assert_eq!(counts, (&json!(1), &json!(rows.len() + 2), &json!(0)), "{path}: {reply}");
        assert_rows(&rows, reply["results"].as_array().expect("results"));
    }
    truncated(target).await;
}

fn assert_rows(rows: &[Row], results: &[Value]) {
    let mut wrong = Vec::new();
    for (number, (fields, reason, detail)) in rows.iter().enumerate() {
        let found = &results[number];
        let place = format!("events[{number}].");
        let said = found["detail"].as_str().unwrap_or_default();
        let right = found["index"] == json!(number)
            && found["outcome"] == "rejected"
            && found["reason"] == *reason
            && (said.starts_with(&place) || said.starts_with(&format!("events[{number}]: ")))
            && said.contains(detail);
        if !right {
            let mut fields = fields.to_string();
            fields.truncate(80);
            wrong.push(format!("{fields}: wanted {reason} {detail}, got {found}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    for beyond in &results[rows.len()..] {
        assert_eq!(beyond["reason"], "field_invalid", "{beyond}");
    }
}

/// A long string is cut at a character's end and the event taken, with a flag.
async fn truncated(target: &Target<'_>) {
    let mut event = good("long-text");
    event["properties"] = json!({"note": "中".repeat(3_000), "nul": "a\0b"});
    let body = json!({ "events": [event] }).to_string();
    let answer = send(&target.address, &post("/v1/events", &[], body.as_bytes())).await;
    assert_eq!(answer.json()["accepted"], 1, "{:?}", answer.json());
    let found = target.ledger("long-text").await;
    let properties = &found["event"]["properties"];
    assert_eq!(properties["note"].as_str().map(str::len), Some(8_190), "{found}");
    assert_eq!(properties["nul"], "a\0b", "{found}");
    assert!(found["event"]["flags"].to_string().contains("truncated"), "{found}");
}
