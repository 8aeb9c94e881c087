//! Sensors vocabulary → ours.
//!
//! | sent | becomes |
//! |---|---|
//! | `$MPLaunch` `$MPShow` `$MPHide` | `app_launch` `app_show` `app_hide` |
//! | `$MPViewScreen` `$MPPageLeave` | `page_view` `page_leave` |
//! | `$MPShare` `$MPAddFavorites` `$MPClick` | `share` `favorite` `click` |
//! | `$AppCrashed` `$MPError` | `error`, of type error |
//! | any other `track` | its own name, by our rule for names; where that makes it another, the name as sent is the property `sensors_event` |
//! | `track_signup`, `track_id_bind` | its own name, of type alias |
//! | `profile_set`, `_set_once`, `_unset` | `user_set`, `user_set_once`, `user_unset` |
//! | `profile_increment`, `_append`, `_delete`; `item_*`; encrypted | refused |
//!
//! Increments and appends are refused because applying one twice differs from
//! applying it once, and a delete because it depends on order.

use std::borrow::Cow;

use sluice_event::batch::Page;
use sluice_event::{Envelope, Event, EventType, Reason, Text};

use super::decode::Sent;
use crate::dialects::names::with_name_as_sent;
use crate::json::Value;

const NAMES: [(&str, &str, EventType); 10] = [
    ("$MPLaunch", "app_launch", EventType::Track),
    ("$MPShow", "app_show", EventType::Track),
    ("$MPHide", "app_hide", EventType::Track),
    ("$MPViewScreen", "page_view", EventType::Track),
    ("$MPPageLeave", "page_leave", EventType::Track),
    ("$MPShare", "share", EventType::Track),
    ("$MPAddFavorites", "favorite", EventType::Track),
    ("$MPClick", "click", EventType::Track),
    ("$AppCrashed", "error", EventType::Error),
    ("$MPError", "error", EventType::Error),
];

/// `$lib` of the SDKs for mini programs, by host.
const PLATFORMS: [(&str, &str); 7] = [
    ("MiniProgram", "wx"),
    ("AlipayMini", "my"),
    ("BaiduMini", "swan"),
    ("BytedanceMini", "tt"),
    ("QQMini", "qq"),
    ("KuaishouMini", "ks"),
    ("JDMini", "jd"),
];

/// The preset properties that are mapped.
#[derive(Debug, Default)]
pub(super) struct Picked<'b> {
    url_path: Text<'b>,
    url_query: Text<'b>,
    title: Text<'b>,
    referrer: Text<'b>,
    scene: Text<'b>,
    latest_scene: Text<'b>,
    session_id: Text<'b>,
    model: Text<'b>,
    brand: Text<'b>,
    os: Text<'b>,
    os_version: Text<'b>,
    network: Text<'b>,
    screen_width: Text<'b>,
    screen_height: Text<'b>,
    app_version: Text<'b>,
    app_id: Text<'b>,
    timezone_offset: Option<i32>,
    /// The server SDKs say so where `distinct_id` is a login id.
    is_login_id: bool,
}

// === impl Picked ===

impl<'b> Picked<'b> {
    /// Keeps the value of a preset property if it is one that is mapped.
    pub(super) fn pick(&mut self, key: &str, value: Value<'b>) {
        let slot = match key {
            "$url_path" => &mut self.url_path,
            "$url_query" => &mut self.url_query,
            "$title" => &mut self.title,
            "$referrer" => &mut self.referrer,
            "$scene" => &mut self.scene,
            "$latest_scene" => &mut self.latest_scene,
            "$session_id" | "$event_session_id" => &mut self.session_id,
            "$model" => &mut self.model,
            "$brand" => &mut self.brand,
            "$os" => &mut self.os,
            "$os_version" => &mut self.os_version,
            "$network_type" => &mut self.network,
            "$screen_width" => &mut self.screen_width,
            "$screen_height" => &mut self.screen_height,
            "$app_version" => &mut self.app_version,
            "$app_id" => &mut self.app_id,
            "$is_login_id" => {
                self.is_login_id = value == Value::Bool(true);
                return;
            }
            "$timezone_offset" => {
                if let Value::Number(digits) = value {
                    self.timezone_offset = digits.parse().ok();
                }
                return;
            }
            _ => return,
        };
        match value {
            Value::Text(text) => *slot = text,
            Value::Number(digits) => *slot = Cow::Borrowed(digits),
            _ => {}
        }
    }
}

/// Fills what is still empty in the envelope from an event.
pub(super) fn envelope<'b>(envelope: &mut Envelope<'b>, sent: &Sent<'b>) {
    fn fill<'b>(slot: &mut Text<'b>, value: &Text<'b>) {
        if slot.is_empty() {
            slot.clone_from(value);
        }
    }
    let picked = &sent.picked;
    if envelope.sent_at_ms == 0 {
        envelope.sent_at_ms = sent.flush_time_ms;
    }
    fill(&mut envelope.sdk_name, &sent.lib);
    fill(&mut envelope.sdk_version, &sent.lib_version);
    fill(&mut envelope.app_version, &picked.app_version);
    fill(&mut envelope.host_app, &picked.app_id);
    fill(&mut envelope.device.model, &picked.model);
    fill(&mut envelope.device.brand, &picked.brand);
    fill(&mut envelope.device.os, &picked.os);
    fill(&mut envelope.device.os_version, &picked.os_version);
    fill(&mut envelope.device.network, &picked.network);
    if envelope.device.screen.is_empty() && !picked.screen_width.is_empty() {
        let screen = format!("{}x{}", picked.screen_width, picked.screen_height);
        envelope.device.screen = Cow::Owned(screen);
    }
    if envelope.tz_offset_min == 0 {
        // JavaScript's sign: minutes from local time to UTC.
        envelope.tz_offset_min = picked.timezone_offset.unwrap_or(0).saturating_neg();
    }
    if envelope.platform.is_empty() {
        envelope.platform = Cow::Borrowed(platform(sent));
    }
}

/// The host: the scene's prefix (`wx-1001`) where it names one, since one build
/// of the SDK can run in several hosts; else the SDK's own name.
fn platform(sent: &Sent<'_>) -> &'static str {
    let by = |known: &str, lib: bool| {
        let mut all = PLATFORMS.iter();
        let found = all.find(|(name, host)| if lib { *name == known } else { *host == known });
        found.map(|(_, host)| *host)
    };
    let scene =
        if sent.picked.scene.is_empty() { &sent.picked.latest_scene } else { &sent.picked.scene };
    let prefix = scene.split_once('-').and_then(|(prefix, _)| by(prefix, false));
    prefix.or_else(|| by(&sent.lib, true)).unwrap_or_default()
}

/// Maps one event; its id is composed already.
pub(super) fn event<'b>(sent: Sent<'b>, id: &str) -> Result<Event<'b>, (Reason, String)> {
    let (name, r#type) = name_and_type(&sent)?;
    let identity = |key: &str| {
        let mut all = sent.identities.iter();
        all.find(|(known, _)| known == key).map(|(_, id)| id.clone()).unwrap_or_default()
    };
    fn first<'b, const N: usize>(candidates: [Text<'b>; N]) -> Text<'b> {
        candidates.into_iter().find(|candidate| !candidate.is_empty()).unwrap_or_default()
    }
    // At signup the server SDKs name the device as the id of before.
    let before = if sent.kind == "track_signup" { sent.original_id.clone() } else { "".into() };
    let device_id = first([
        sent.anonymous_id.clone(),
        identity("$identity_mp_id"),
        identity("$identity_anonymous_id"),
        before,
        sent.distinct_id.clone(),
    ]);
    let is_user = sent.picked.is_login_id || sent.distinct_id != device_id;
    let distinct = if is_user { sent.distinct_id.clone() } else { Text::default() };
    let user_id = first([sent.login_id.clone(), identity("$identity_login_id"), distinct]);
    let ids = sent.identities.iter().filter_map(|(key, id)| {
        let key = key.strip_prefix("$identity_").unwrap_or(key);
        let key = key
            .strip_prefix("mp_")
            .filter(|key| key.ends_with("id") && *key != "id")
            .unwrap_or(key);
        let known = matches!(key, "login_id" | "anonymous_id" | "mp_id") || id.is_empty();
        (!known).then(|| (Text::Owned(key.to_owned()), id.clone()))
    });
    let ids = ids.collect();
    let Sent { picked, properties, time_ms, bytes, .. } = sent;
    let page = Page {
        path: picked.url_path,
        query: picked.url_query,
        title: picked.title,
        referrer: picked.referrer,
    };
    let (name, properties) = with_name_as_sent(name, properties, "sensors_event");
    Ok(Event {
        id: Text::Owned(id.to_owned()),
        name,
        time_ms,
        device_id,
        r#type,
        user_id,
        ids,
        session_id: picked.session_id,
        seq: 0,
        page: Some(page).filter(|page| *page != Page::default()),
        scene: if picked.scene.is_empty() { picked.latest_scene } else { picked.scene },
        properties: properties.into(),
        bytes,
    })
}

fn name_and_type<'b>(sent: &Sent<'b>) -> Result<(Text<'b>, EventType), (Reason, String)> {
    let unsupported = |detail: &str| Err((Reason::EventUnsupported, detail.to_owned()));
    let profile = |name, r#type| Ok((Cow::Borrowed(name), r#type));
    match &*sent.kind {
        "track" => {
            let known = NAMES.iter().find(|(name, ..)| *name == sent.event);
            Ok(match known {
                Some((_, name, r#type)) => (Cow::Borrowed(*name), *r#type),
                None => (sent.event.clone(), EventType::Track),
            })
        }
        "track_signup" | "track_id_bind" => Ok((sent.event.clone(), EventType::Alias)),
        "track_id_unbind" => Ok((sent.event.clone(), EventType::Track)),
        "profile_set" => profile("user_set", EventType::UserSet),
        "profile_set_once" => profile("user_set_once", EventType::UserSetOnce),
        "profile_unset" => profile("user_unset", EventType::UserUnset),
        "profile_increment" | "profile_append" => {
            unsupported("type: increments and appends cannot be repeated safely; use profile_set")
        }
        "profile_delete" => unsupported("type: profile_delete is not taken; use profile_unset"),
        "item_set" | "item_delete" => unsupported("type: items are not taken"),
        "" => Err((Reason::TypeUnknown, "type: missing".to_owned())),
        _ => {
            let detail = "type: must be track, track_signup, track_id_bind, track_id_unbind, \
                          profile_set, profile_set_once or profile_unset";
            Err((Reason::TypeUnknown, detail.to_owned()))
        }
    }
}
