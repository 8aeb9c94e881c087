//! What `@datarangers/sdk-mp` 2.15.1 posts to `/list/`: packets with `events`,
//! `user` and `header`, each event's `params` the text of an object. Members are
//! those of its traffic.
//!
//! An event's id is made by the gateway of app, device, session, name, time and
//! params; of these, the params hold the number. Nothing says when a packet was
//! sent, so that wrong clocks stay wrong.

use serde_json::{Value, json};

use super::{BAD, custom, word};
use crate::population::Sent;

const WORDS: [(&str, &str); 5] = [
    ("page_view", "predefine_pageview"),
    ("app_hide", "app_terminate"),
    ("share", "on_share"),
    ("click", "bav2b_click"),
    // Back from the background, by its params.
    ("app_show", "app_launch"),
];

/// One packet: a device's events.
pub fn packets(events: &[Sent], app_id: u64) -> Value {
    // Before login the SDK repeats the device.
    let user = events
        .first()
        .map(|event| json!({ "web_id": event.device, "user_unique_id": event.counted_user() }));
    let events: Vec<Value> = events.iter().map(one).collect();
    json!([{
        "events": events,
        "user": user,
        "header": {
            "app_id": app_id, "app_version": "1.2.3", "os_name": "ios",
            "os_version": "iOS 17.5.1", "device_model": "iPhone 15 Pro<iPhone16,1>",
            "device_brand": "Apple", "access": "wifi", "language": "zh_CN", "platform": "mp",
            "sdk_version": "2.15.1", "sdk_lib": "mp_common", "timezone": 8, "tz_offset": -28800,
            "resolution": "393x852", "screen_width": 393, "screen_height": 852,
            "custom": {
                "custom_platform": "jdMiniProduct", "mp_platform": "8",
                "miniprogram_appid": "wx0123456789abcdef", "miniprogram_version": "1.2.3",
                "miniprogram_env_version": "release", "mp_name": "demo", "mp_version": "1.2.3",
                "mp_platform_app_version": "8.0.50", "mp_platform_basic_version": "3.5.8",
            },
            "_sdk_version": "2.15.1", "_sdk_name": "@datarangers/sdk-mp", "is_connected": true,
        },
    }])
}

fn one(event: &Sent) -> Value {
    let mut params = custom(event);
    params.insert("$current_path".to_owned(), json!(event.page));
    params.insert("$current_query".to_owned(), json!("{\"from\":\"list\"}"));
    match event.name {
        "page_view" => {
            params.insert("path".to_owned(), json!(event.page));
            params.insert("title".to_owned(), json!("商品详情"));
            params.insert("query_from".to_owned(), json!("list"));
        }
        "app_launch" | "app_show" => {
            params.insert("scene".to_owned(), json!(1001));
            let again = u8::from(event.name == "app_show");
            params.insert("launch_type".to_owned(), json!(again));
        }
        _ => {}
    }
    // `profileIncrement` cannot be repeated safely.
    let name = if event.name == BAD { "__profile_increment" } else { word(&WORDS, event.name) };
    json!({
        "event": name,
        "params": Value::Object(params).to_string(),
        "local_time_ms": event.time_ms,
        "session_id": format!("s-{}", event.device),
    })
}
