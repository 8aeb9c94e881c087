//! The fingerprint of an event: what a retry does not change.
//!
//! Two events with one id and different fingerprints are a reused id, not a
//! retry. Not in it: the id (it is in the key), the envelope (`sent_at`,
//! `attempt`, the network …, which a retry may change). Each field is hashed on
//! its own, seeded with the hash of those before it, so that text cannot move
//! from one field into the next unnoticed.

use sluice_event::Event;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The fingerprint of an event as sent. Stored beside every key: the same event
/// must have the same fingerprint in every version of the gateway.
pub fn fingerprint(event: &Event<'_>) -> u64 {
    let mut fixed = [0u8; 40];
    fixed[0..8].copy_from_slice(&event.time_ms.unwrap_or(i64::MIN).to_le_bytes());
    fixed[8..16].copy_from_slice(&event.seq.to_le_bytes());
    fixed[16..24].copy_from_slice(&xxh3_64(&event.properties).to_le_bytes());
    fixed[24..28].copy_from_slice(&(event.r#type as i32).to_le_bytes());
    fixed[28..32].copy_from_slice(&(event.ids.len() as u32).to_le_bytes());
    fixed[32] = u8::from(event.page.is_some());
    let mut hash = xxh3_64(&fixed);
    let mut add = |text: &str| hash = xxh3_64_with_seed(text.as_bytes(), hash);
    add(&event.name);
    add(&event.device_id);
    add(&event.user_id);
    add(&event.session_id);
    add(&event.scene);
    if let Some(page) = &event.page {
        add(&page.path);
        add(&page.query);
        add(&page.title);
        add(&page.referrer);
    }
    for (kind, id) in &event.ids {
        add(kind);
        add(id);
    }
    hash
}

#[cfg(test)]
mod tests {
    use sluice_event::EventType;
    use sluice_event::batch::Page;

    use super::*;

    fn event() -> Event<'static> {
        Event {
            id: "e-1".into(),
            name: "page_view".into(),
            time_ms: Some(1_795_190_400_000),
            device_id: "d-1".into(),
            r#type: EventType::Track,
            user_id: "u-1".into(),
            ids: vec![("openid".into(), "o-1".into())],
            session_id: "s-1".into(),
            seq: 7,
            page: Some(Page { path: "pages/index".into(), ..Page::default() }),
            scene: "1001".into(),
            properties: br#"{"a":1}"#[..].into(),
            bytes: 100,
        }
    }

    /// This value is stored beside keys: it must not change.
    #[test]
    fn is_pinned() {
        assert_eq!(format!("{:016x}", fingerprint(&event())), "3de1ae90ce023ea5");
    }

    #[test]
    fn a_retry_has_the_same_one() {
        let retry = Event { bytes: 90, ..event() };
        assert_eq!(fingerprint(&retry), fingerprint(&event()));
    }

    #[test]
    fn every_field_of_the_content_is_in_it() {
        let page = |page: Page<'static>| Event { page: Some(page), ..event() };
        let base = event().page.expect("has a page");
        let others = [
            Event { name: "page_leave".into(), ..event() },
            Event { time_ms: Some(1), ..event() },
            Event { device_id: "d-2".into(), ..event() },
            Event { r#type: EventType::Alias, ..event() },
            Event { user_id: "u-2".into(), ..event() },
            // The same bytes, cut elsewhere.
            Event { device_id: "d-1u".into(), user_id: "-1".into(), ..event() },
            Event { ids: Vec::new(), ..event() },
            Event { ids: vec![("openid".into(), "o-2".into())], ..event() },
            Event { ids: vec![("unionid".into(), "o-1".into())], ..event() },
            Event { session_id: "s-2".into(), ..event() },
            Event { seq: 8, ..event() },
            Event { page: None, ..event() },
            page(Page { path: "pages/other".into(), ..base.clone() }),
            page(Page { query: "q".into(), ..base.clone() }),
            page(Page { title: "t".into(), ..base.clone() }),
            page(Page { referrer: "r".into(), ..base.clone() }),
            Event { scene: "1002".into(), ..event() },
            Event { properties: br#"{"a":2}"#[..].into(), ..event() },
        ];
        let mut seen = std::collections::HashSet::from([fingerprint(&event())]);
        for other in others {
            assert!(seen.insert(fingerprint(&other)), "{other:?}");
        }
    }
}
