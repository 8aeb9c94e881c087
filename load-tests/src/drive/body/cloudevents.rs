//! A batch of CloudEvents 1.0 in JSON, with the extension attributes that the
//! gateway knows. An event's id is made by the gateway of `source` and `id`.
//! Nothing says when a batch was sent, so that wrong clocks stay wrong.
//!
//! Source: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>.

use serde_json::{Value, json};

use super::{BAD, custom, moment, without_nulls};
use crate::population::Sent;

/// The list.
pub fn batch(events: &[Sent]) -> Value {
    events.iter().map(one).collect()
}

fn one(event: &Sent) -> Value {
    let bad = event.name == BAD;
    without_nulls(json!({
        // The version before the last has other rules.
        "specversion": if bad { "0.3" } else { "1.0" },
        "id": event.id,
        "source": "/jd/app/APPID01",
        "type": if bad { "page_view" } else { event.name },
        "time": moment(event.time_ms),
        "subject": event.user,
        "datacontenttype": "application/json",
        "deviceid": event.device,
        "userid": event.user,
        "sessionid": format!("s-{}", event.device),
        "page": event.page,
        "pagequery": "from=list",
        "pagetitle": "商品详情",
        "scene": "1001",
        "platform": "jd",
        "appversion": "1.2.3",
        "data": custom(event),
    }))
}
