//! `/v1/batch` as `@segment/analytics-node` 3 posts it. `messageId` is the id;
//! the clock at sending is `sentAt`.

use serde_json::{Value, json};

use super::{BAD, custom, moment, without_nulls};
use crate::population::Sent;

/// The body.
pub fn batch(events: &[Sent], clock_ms: i64) -> Value {
    let messages: Vec<Value> = events.iter().map(one).collect();
    json!({ "batch": messages, "sentAt": moment(clock_ms) })
}

fn one(event: &Sent) -> Value {
    let mut properties = custom(event);
    let page = event.name == "page_view";
    if page {
        for (key, value) in
            [("path", &*event.page), ("search", "?from=list"), ("title", "商品详情")]
        {
            properties.insert(key.to_owned(), json!(value));
        }
    }
    let kind = match event.name {
        // No call of the API.
        BAD => "delete",
        _ if page => "page",
        _ => "track",
    };
    without_nulls(json!({
        "type": kind,
        "event": (!page).then_some(event.name),
        "name": page.then_some("商品详情"),
        "messageId": event.id,
        "anonymousId": event.device,
        "userId": event.user,
        "timestamp": moment(event.time_ms),
        "properties": properties,
        "context": {
            "library": { "name": "@segment/analytics-node", "version": "3.1.0" },
            "app": { "version": "1.2.3" },
            "device": { "manufacturer": "Apple", "model": "iPhone 15 Pro" },
            "os": { "name": "iOS", "version": "17.5.1" },
            "network": { "wifi": true, "cellular": false },
            "page": { "path": event.page, "search": "?from=list", "title": "商品详情" },
            "locale": "zh-CN",
            "timezone": "Asia/Shanghai",
            "platform": "jd",
            "sessionId": format!("s-{}", event.device),
        },
        "integrations": {},
    }))
}
