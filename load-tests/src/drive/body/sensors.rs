//! What `sa-sdk-miniprogram` 1.22.7 posts with gzip on: `data_list=`, URL-encoded
//! base64 of gzip of a JSON list, `&gzip=1`. Members and presets are those of its
//! traffic.
//!
//! An event's id is made by the gateway of who, what, when and `_track_id`. The
//! SDK's is a number of nine digits or so out of a clock and chance; here it is
//! the event's number behind a one, so that it has a fixed width.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{BAD, custom, word};
use crate::population::Sent;

/// What stands before the twelve digits of an event's number.
pub const TRACK_ID: &[u8] = b"\"_track_id\":1";
/// What stands before the thirteen digits of the clock at sending, which the SDK
/// sets anew with every try.
pub const FLUSH_TIME: &[u8] = b"\"_flush_time\":";
const FIRST_TRACK_ID: u64 = 1_000_000_000_000;

const WORDS: [(&str, &str); 6] = [
    ("page_view", "$MPViewScreen"),
    ("click", "$MPClick"),
    ("app_show", "$MPShow"),
    ("app_hide", "$MPHide"),
    ("app_launch", "$MPLaunch"),
    ("share", "$MPShare"),
];

/// The list before it is compressed. The clock at sending is `_flush_time`.
pub fn list(events: &[Sent], clock_ms: i64) -> Value {
    let event = |(index, event): (usize, &Sent)| one(index as u64, event, clock_ms);
    events.iter().enumerate().map(event).collect()
}

fn one(index: u64, event: &Sent, clock_ms: i64) -> Value {
    let who = event.counted_user();
    let mut sent = json!({
        "distinct_id": who,
        "identities": {
            "$identity_mp_id": event.device, "$identity_anonymous_id": event.device,
        },
        "lib": { "$lib": "MiniProgram", "$lib_method": "code", "$lib_version": "1.22.7" },
        "properties": properties(event),
        "anonymous_id": event.device,
        "time": event.time_ms,
        "_flush_time": clock_ms,
    });
    if let Some(user) = &event.user {
        sent["login_id"] = json!(user);
        sent["identities"]["$identity_login_id"] = json!(user);
    }
    if event.name == BAD {
        // `appendProfile` and `incrementProfile` cannot be repeated safely.
        sent["type"] = json!("profile_increment");
    } else {
        sent["type"] = json!("track");
        sent["event"] = json!(word(&WORDS, event.name));
        sent["_track_id"] = json!(FIRST_TRACK_ID + index);
    }
    sent
}

fn properties(event: &Sent) -> Value {
    let mut properties: Map<String, Value> = custom(event);
    // The SDK takes texts, numbers, truths and lists of texts.
    properties.retain(|_, value| !value.is_object());
    let presets = json!({
        "$referrer": "直接打开", "$title": "商品详情", "$url_path": event.page,
        "$url_query": "from=list", "$url": format!("{}?from=list", event.page),
        "$lib": "MiniProgram", "$lib_version": "1.22.7", "$network_type": "WIFI",
        "$brand": "APPLE", "$manufacturer": "Apple", "$model": "iPhone 15 Pro<iPhone16,1>",
        "$screen_width": 393, "$screen_height": 852, "$os": "iOS", "$os_version": "17.5.1",
        "$mp_client_app_version": "8.0.50", "$mp_client_basic_library_version": "3.5.8",
        "$timezone_offset": -480, "$app_id": "wx0123456789abcdef", "$app_version": "1.2.3",
        "$latest_scene": "wx-1001", "$session_id": format!("s-{}", event.device),
        "$is_first_day": false,
    });
    if let Value::Object(presets) = presets {
        properties.extend(presets);
    }
    Value::Object(properties)
}

/// The form around the compressed list.
pub fn form(compressed: &[u8]) -> Bytes {
    let base64 = STANDARD.encode(compressed);
    let mut form = Vec::with_capacity(base64.len() + base64.len() / 8 + 32);
    form.extend_from_slice(b"data_list=");
    for byte in base64.bytes() {
        match byte {
            b'+' => form.extend_from_slice(b"%2B"),
            b'/' => form.extend_from_slice(b"%2F"),
            b'=' => form.extend_from_slice(b"%3D"),
            plain => form.push(plain),
        }
    }
    form.extend_from_slice(b"&gzip=1");
    form.into()
}
