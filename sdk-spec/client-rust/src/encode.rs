//! Events and batches as bytes. An event is encoded once, when it is queued, so
//! that each try sends the same (SDK-ID-3); a batch's own fields are made anew.

use bytes::Bytes;
use serde::Serialize;

use crate::event::Event;
use crate::transport::Transport;

/// The name that this client reports under (SDK-BATCH-5).
const SDK_NAME: &str = "sluice-client-rust";

/// What the batches of a client share. Empty: left out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    pub(crate) platform: String,
    pub(crate) host_app: String,
    pub(crate) env: String,
    pub(crate) app_version: String,
}

/// What a try says of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Try {
    /// The clock, now (SDK-TIME-2).
    pub(crate) sent_at_ms: i64,
    /// 1 at first (SDK-BATCH-6).
    pub(crate) attempt: u32,
    /// Events lost and not yet told of (SDK-QUEUE-3).
    pub(crate) dropped: u64,
}

#[derive(Serialize)]
struct Head<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    platform: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    host_app: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    env: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    app_version: &'a str,
    sdk: Sdk,
    sent_at: i64,
    attempt: u32,
    dropped: u64,
}

#[derive(Serialize)]
struct Sdk {
    name: &'static str,
    version: &'static str,
}

/// An event as it will be sent, and its bytes as JSON.
pub(crate) fn event(event: &Event, transport: Transport) -> (Bytes, usize) {
    // Texts, numbers and maps with text keys always have a JSON form.
    let text = serde_json::to_vec(event).unwrap_or_default();
    let bytes = text.len();
    match transport {
        Transport::Json => (text.into(), bytes),
        #[cfg(feature = "grpc")]
        Transport::Protobuf | Transport::Grpc => (proto::event(event).into(), bytes),
    }
}

/// A body: the batch's own fields, then the events as they are.
pub(crate) fn batch(origin: &Origin, this: Try, events: &[Bytes], transport: Transport) -> Bytes {
    match transport {
        Transport::Json => json(origin, this, events).into(),
        #[cfg(feature = "grpc")]
        Transport::Protobuf | Transport::Grpc => proto::batch(origin, this, events).into(),
    }
}

fn json(origin: &Origin, this: Try, events: &[Bytes]) -> Vec<u8> {
    let head = Head {
        platform: &origin.platform,
        host_app: &origin.host_app,
        env: &origin.env,
        app_version: &origin.app_version,
        sdk: Sdk { name: SDK_NAME, version: env!("CARGO_PKG_VERSION") },
        sent_at: this.sent_at_ms,
        attempt: this.attempt,
        dropped: this.dropped,
    };
    let mut body = serde_json::to_vec(&head).unwrap_or_default();
    body.pop();
    body.reserve(events.iter().map(|event| event.len() + 1).sum::<usize>() + 16);
    body.extend_from_slice(b",\"events\":[");
    for (index, event) in events.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(event);
    }
    body.extend_from_slice(b"]}");
    body
}

#[cfg(feature = "grpc")]
mod proto {
    //! Protobuf, by the types of `proto/sluice/v1`.

    use bytes::Bytes;
    use prost::Message;
    use prost::encoding::{WireType, encode_key, encode_varint};
    use sluice_proto::v1;

    use super::{Origin, SDK_NAME, Try};
    use crate::event::{Event, Kind};

    /// `Batch.events`.
    const EVENTS: u32 = 13;

    pub(super) fn event(event: &Event) -> Vec<u8> {
        let kind = match event.kind {
            Kind::Track => v1::EventType::Track,
            Kind::UserSet => v1::EventType::UserSet,
            Kind::UserSetOnce => v1::EventType::UserSetOnce,
            Kind::UserUnset => v1::EventType::UserUnset,
            Kind::Alias => v1::EventType::Alias,
            Kind::Error => v1::EventType::Error,
            Kind::Perf => v1::EventType::Perf,
            Kind::Request => v1::EventType::Request,
        };
        let properties = if event.properties.is_empty() {
            Vec::new()
        } else {
            serde_json::to_vec(&event.properties).unwrap_or_default()
        };
        let page = event.page.as_ref().map(|page| v1::Page {
            path: page.path.clone(),
            query: page.query.clone(),
            title: page.title.clone(),
            referrer: page.referrer.clone(),
        });
        let event = v1::Event {
            id: event.id.clone(),
            name: event.name.clone(),
            time: event.time_ms.unwrap_or_default(),
            device_id: event.device_id.clone(),
            r#type: kind.into(),
            user_id: event.user_id.clone(),
            ids: event.ids.clone().into_iter().collect(),
            session_id: event.session_id.clone(),
            seq: event.seq,
            page,
            scene: event.scene.clone(),
            properties: properties.into(),
        };
        event.encode_to_vec()
    }

    pub(super) fn batch(origin: &Origin, this: Try, events: &[Bytes]) -> Vec<u8> {
        let head = v1::Batch {
            platform: origin.platform.clone(),
            host_app: origin.host_app.clone(),
            env: origin.env.clone(),
            app_version: origin.app_version.clone(),
            sdk: Some(v1::Sdk {
                name: SDK_NAME.to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            }),
            sent_at: this.sent_at_ms,
            attempt: this.attempt,
            dropped: this.dropped,
            ..v1::Batch::default()
        };
        let mut body = head.encode_to_vec();
        body.reserve(events.iter().map(|event| event.len() + 6).sum());
        for event in events {
            encode_key(EVENTS, WireType::LengthDelimited, &mut body);
            encode_varint(event.len() as u64, &mut body);
            body.extend_from_slice(event);
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::{Kind, Page};

    fn sample() -> Event {
        Event::new("order")
            .id("o-1")
            .time_ms(1_795_190_400_000)
            .device_id("d")
            .kind(Kind::Perf)
            .user_id("u")
            .identity("openid", "x")
            .session("s", 7)
            .page(Page { path: "p".into(), ..Page::default() })
            .scene("1001")
            .property("n", 1)
    }

    const TRY: Try = Try { sent_at_ms: 1_795_190_400_123, attempt: 2, dropped: 3 };

    #[test]
    fn json_as_the_contract_has_it() {
        let (body, bytes) = event(&sample(), Transport::Json);
        assert_eq!(body.len(), bytes);
        let origin = Origin { platform: "server".into(), ..Origin::default() };
        let (bare, _) = event(&Event::new("a"), Transport::Json);
        let body = batch(&origin, TRY, &[body, bare], Transport::Json);
        let found: Value = serde_json::from_slice(&body).expect("JSON");
        let expected = json!({
            "platform": "server", "sdk": {"name": SDK_NAME, "version": env!("CARGO_PKG_VERSION")},
            "sent_at": 1_795_190_400_123_i64, "attempt": 2, "dropped": 3,
            "events": [
                {"id": "o-1", "name": "order", "time": 1_795_190_400_000_i64, "device_id": "d",
                 "type": "perf", "user_id": "u", "ids": {"openid": "x"}, "session_id": "s",
                 "seq": 7, "page": {"path": "p"}, "scene": "1001", "properties": {"n": 1}},
                {"id": "", "name": "a", "time": null},
            ],
        });
        assert_eq!(found, expected);
    }

    #[cfg(feature = "grpc")]
    #[test]
    fn protobuf_reads_as_one_message() {
        use prost::Message;
        let (body, _) = event(&sample(), Transport::Grpc);
        let bytes = batch(&Origin::default(), TRY, &[body.clone(), body], Transport::Grpc);
        let found = sluice_proto::v1::Batch::decode(bytes).expect("a batch");
        assert_eq!((found.events.len(), found.attempt, found.dropped), (2, 2, 3));
        let event = &found.events[1];
        assert_eq!((event.id.as_str(), event.seq, event.time), ("o-1", 7, 1_795_190_400_000));
        assert_eq!(event.ids["openid"], "x");
        assert_eq!(&event.properties[..], b"{\"n\":1}");
    }
}
