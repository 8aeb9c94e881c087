//! Decoding, per batch of 50 events of about 457 bytes: divide by 50 for an
//! event. From the body as it came to the batch as the collector gets it.

use std::hint::black_box;
use std::io::Write;

use base64::Engine;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use serde_json::json;
use sluice_event::Limits;
use sluice_proto::v1;
use sluice_wire::{Encoding, Head, Inflater, dialects};

const EVENTS: usize = 50;

fn native_json() -> Vec<u8> {
    let events: Vec<_> = (0..EVENTS)
        .map(|index| {
            json!({
                "id": format!("01935a7e-0000-7000-8000-{index:012}"), "name": "page_view",
                "time": 1_795_200_084_000_i64 + index as i64, "device_id": "1795200084154-2559499",
                "user_id": "user-42", "session_id": "s-0123456789", "seq": index,
                "page": {"path": "pages/index/index", "query": "sku=100012043978", "title": "首页"},
                "scene": "1001",
                "properties": {"sku": "100012043978", "price": 12.5, "qty": 2, "vip": true,
                    "tags": ["a", "中文"], "at": "2026-11-20 18:41:27.132"},
            })
        })
        .collect();
    let batch = json!({"platform": "jd", "sent_at": 1_795_200_084_500_i64, "events": events});
    serde_json::to_vec(&batch).expect("JSON")
}

fn native_proto(text: &[u8]) -> Vec<u8> {
    let batch: serde_json::Value = serde_json::from_slice(text).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let events = batch["events"].as_array().expect("a list").iter().map(|event| v1::Event {
        id: text(&event["id"]),
        name: text(&event["name"]),
        time: event["time"].as_i64().expect("a number"),
        device_id: text(&event["device_id"]),
        user_id: text(&event["user_id"]),
        session_id: text(&event["session_id"]),
        seq: event["seq"].as_u64().expect("a number"),
        page: Some(v1::Page {
            path: text(&event["page"]["path"]),
            query: text(&event["page"]["query"]),
            title: text(&event["page"]["title"]),
            referrer: String::new(),
        }),
        scene: text(&event["scene"]),
        properties: event["properties"].to_string().into_bytes().into(),
        ..Default::default()
    });
    v1::Batch { platform: "jd".to_owned(), events: events.collect(), ..Default::default() }
        .encode_to_vec()
}

fn sensors() -> Vec<u8> {
    let events: Vec<_> = (0..EVENTS)
        .map(|index| {
            json!({
                "distinct_id": "1795200084154-2559499-0cd37d5dc2e5a98-63108090",
                "anonymous_id": "1795200084154-2559499-0cd37d5dc2e5a98-63108090",
                "lib": {"$lib": "MiniProgram", "$lib_version": "1.22.7"},
                "properties": {"$title": "首页", "$url_path": "pages/index/index",
                    "$network_type": "WIFI", "$brand": "APPLE", "$model": "iPhone 15 Pro",
                    "$app_version": "1.2.3", "$latest_scene": "wx-1001", "$is_first_day": true},
                "type": "track", "event": "$MPViewScreen", "_track_id": 971_754_162 + index,
                "time": 1_795_200_084_165_i64, "_flush_time": 1_795_200_084_163_i64,
            })
        })
        .collect();
    let text = serde_json::to_vec(&events).expect("JSON");
    let data = base64::engine::general_purpose::STANDARD.encode(text);
    let data = data.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("data_list={data}").into_bytes()
}

fn run(
    bench: &mut Criterion,
    name: &str,
    path: &str,
    media: &str,
    encoding: Encoding,
    body: &[u8],
) {
    let request = http::Request::post(path).header("content-type", media);
    let head = Head::new(request.body(()).expect("valid").into_parts().0, None);
    let (dialect, _) = dialects::find(path).expect("claimed");
    let (limits, mut inflater, mut inflated) = (Limits::default(), Inflater::default(), Vec::new());
    let mut group = bench.benchmark_group("decode");
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            let body = if encoding == Encoding::Identity {
                body
            } else {
                inflated.clear();
                inflater
                    .inflate(encoding, body, &mut inflated, limits.inflated_bytes_max)
                    .expect("valid");
                &inflated
            };
            let payload = dialect.unwrap(&head, body, &limits, &mut inflater).expect("valid");
            let batch = dialect.decode(&head, &payload, &limits).expect("valid");
            assert_eq!(batch.events.len(), EVENTS);
            black_box(&batch);
        });
    });
    group.finish();
}

fn decode(bench: &mut Criterion) {
    let text = native_json();
    eprintln!("native JSON: {} bytes an event", text.len() / EVENTS);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let gzip = encoder.write_all(&text).and_then(|()| encoder.finish()).expect("in memory");
    let (plain, events) = (Encoding::Identity, "/v1/events");
    run(bench, "native_json", events, "application/json", plain, &text);
    run(bench, "native_json_gzip", events, "application/json", Encoding::Gzip, &gzip);
    let proto = native_proto(&text);
    run(bench, "native_protobuf", events, "application/x-protobuf", plain, &proto);
    run(bench, "sensors", "/sa", "text/plain", plain, &sensors());
}

criterion_group!(benches, decode);
criterion_main!(benches);
