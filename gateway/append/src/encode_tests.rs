//! What is written by hand is what the generated types write.

use std::collections::HashMap;

use proptest::prelude::*;
use prost::Message as _;
use sluice_event::EventType;
use sluice_proto::v1;

use super::*;

fn page() -> impl Strategy<Value = Page<'static>> {
    [".{0,12}"; 4].prop_map(|[path, query, title, referrer]| Page {
        path: path.into(),
        query: query.into(),
        title: title.into(),
        referrer: referrer.into(),
    })
}

fn any_event() -> impl Strategy<Value = Event<'static>> {
    let texts = [".{0,20}"; 6];
    let ids = prop::collection::btree_map(".{0,5}", ".{0,9}", 0..4);
    let kinds = prop::sample::select(vec![
        EventType::Track,
        EventType::UserSet,
        EventType::Alias,
        EventType::Request,
    ]);
    let numbers = (prop::option::of(any::<i64>()), any::<u64>());
    let properties = prop::collection::vec(any::<u8>(), 0..300);
    (texts, ids, kinds, numbers, prop::option::of(page()), properties).prop_map(
        |(
            [id, name, device_id, user_id, session_id, scene],
            ids,
            kind,
            (time_ms, seq),
            page,
            p,
        )| {
            Event {
                id: id.into(),
                name: name.into(),
                time_ms,
                device_id: device_id.into(),
                r#type: kind,
                user_id: user_id.into(),
                ids: ids.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
                session_id: session_id.into(),
                seq,
                page,
                scene: scene.into(),
                properties: p.into(),
                bytes: 0,
            }
        },
    )
}

fn any_envelope() -> impl Strategy<Value = Envelope<'static>> {
    let numbers = (any::<i32>(), any::<i64>(), any::<u32>(), any::<u64>());
    ([".{0,8}"; 7], [".{0,3}"; 7], numbers).prop_map(|(texts, device, numbers)| {
        let [platform, host_app, env, app_version, sdk_name, sdk_version, batch_id] = texts;
        let [model, brand, os, os_version, screen, network, lang] = device;
        Envelope {
            app_id: "as sent, not as verified".into(),
            platform: platform.into(),
            host_app: host_app.into(),
            env: env.into(),
            app_version: app_version.into(),
            sdk_name: sdk_name.into(),
            sdk_version: sdk_version.into(),
            device: Device {
                model: model.into(),
                brand: brand.into(),
                os: os.into(),
                os_version: os_version.into(),
                screen: screen.into(),
                network: network.into(),
                lang: lang.into(),
            },
            tz_offset_min: numbers.0,
            sent_at_ms: numbers.1,
            batch_id: batch_id.into(),
            attempt: numbers.2,
            dropped: numbers.3,
            time_of_receipt: false,
        }
    })
}

fn generated_envelope(app_id: &str, from: &Envelope<'_>) -> v1::Envelope {
    let device = v1::Device {
        model: from.device.model.to_string(),
        brand: from.device.brand.to_string(),
        os: from.device.os.to_string(),
        os_version: from.device.os_version.to_string(),
        screen: from.device.screen.to_string(),
        network: from.device.network.to_string(),
        lang: from.device.lang.to_string(),
    };
    let sdk = v1::Sdk { name: from.sdk_name.to_string(), version: from.sdk_version.to_string() };
    v1::Envelope {
        app_id: app_id.to_owned(),
        platform: from.platform.to_string(),
        host_app: from.host_app.to_string(),
        env: if from.env.is_empty() { "release".to_owned() } else { from.env.to_string() },
        app_version: from.app_version.to_string(),
        sdk: (sdk != v1::Sdk::default()).then_some(sdk),
        device: (device != v1::Device::default()).then_some(device),
        tz_offset_min: from.tz_offset_min,
        sent_at: from.sent_at_ms,
        batch_id: from.batch_id.to_string(),
        attempt: from.attempt,
        dropped: from.dropped,
    }
}

fn generated_event(from: &Event<'_>) -> v1::Event {
    v1::Event {
        id: from.id.to_string(),
        name: from.name.to_string(),
        time: from.time_ms.unwrap_or(0),
        device_id: from.device_id.to_string(),
        r#type: from.r#type as i32,
        user_id: from.user_id.to_string(),
        ids: from
            .ids
            .iter()
            .map(|(a, b)| (a.to_string(), b.to_string()))
            .collect::<HashMap<_, _>>(),
        session_id: from.session_id.to_string(),
        seq: from.seq,
        page: from.page.as_ref().map(|page| v1::Page {
            path: page.path.to_string(),
            query: page.query.to_string(),
            title: page.title.to_string(),
            referrer: page.referrer.to_string(),
        }),
        scene: from.scene.to_string(),
        properties: from.properties.to_vec().into(),
    }
}

proptest! {
    #[test]
    fn equals_the_generated_encoding(
        envelope in any_envelope(),
        events in prop::collection::vec((any_event(), any::<u128>(), any::<[u64; 2]>()), 0..4),
        received_at_ms in any::<i64>(),
    ) {
        let mut bytes = Vec::new();
        let source = "native";
        head(&Head { app_id: "shop", envelope: &envelope, received_at_ms, source }, &mut bytes);
        let mut record = v1::BatchRecord {
            envelope: Some(generated_envelope("shop", &envelope)),
            received_at: received_at_ms,
            source: source.to_owned(),
            events: Vec::new(),
        };
        for (from, key, [time, fingerprint]) in &events {
            let (day, flags) = (*time as i32, (*time >> 32) as u32);
            event(
                &Recorded {
                    event: from,
                    key: key.to_be_bytes(),
                    time_corrected_ms: *time as i64,
                    day,
                    fingerprint: *fingerprint,
                    flags,
                },
                &mut bytes,
            );
            record.events.push(v1::RecordEvent {
                key: key.to_be_bytes().to_vec().into(),
                event: Some(generated_event(from)),
                time_corrected: *time as i64,
                day,
                fingerprint: *fingerprint,
                flags,
            });
        }
        let decoded = v1::BatchRecord::decode(&bytes[..]).expect("is a record");
        prop_assert_eq!(&decoded, &record);
        // A map has no order of its own: with at most one entry the bytes are the same too.
        if events.iter().all(|(event, ..)| event.ids.len() < 2) {
            prop_assert_eq!(&bytes[..], &record.encode_to_vec()[..]);
        } else {
            prop_assert_eq!(bytes.len(), record.encoded_len());
        }
    }
}
