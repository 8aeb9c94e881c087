//! DataRangers vocabulary → ours.
//!
//! | sent | becomes |
//! |---|---|
//! | `app_launch` | `app_launch`; with `launch_type` 1 (back from the background) or 2 (another user) `app_show` |
//! | `app_terminate` | `app_hide` |
//! | `predefine_pageview` `predefine_pageview_hide` | `page_view` `page_leave` |
//! | `on_share` `on_addtofavorites` `bav2b_click` | `share` `favorite` `click` |
//! | `on_error` `on_unhandled_rejection` | `error`, of type error |
//! | `__profile_set`, `_set_once`, `_unset` | `user_set`, `user_set_once`, `user_unset` |
//! | `__profile_increment`, `__profile_append` | refused |
//! | any other | its own name, by our rule for names; where that makes it another, the name as sent is the property `datarangers_event` |
//!
//! Increments and appends are refused because applying one twice differs from
//! applying it once. All params are kept as sent; what is mapped is copied out.

use std::borrow::Cow;

use sluice_event::batch::Page;
use sluice_event::{Event, EventType, Reason, Text};

use super::decode::Sent;
use super::header::{Header, User};
use crate::dialects::identity::Identity;
use crate::dialects::names::with_name_as_sent;
use crate::json::{Broken, Cursor, Value};

const NAMES: [(&str, &str, EventType); 12] = [
    ("app_launch", "app_launch", EventType::Track),
    ("app_terminate", "app_hide", EventType::Track),
    ("predefine_pageview", "page_view", EventType::Track),
    ("predefine_pageview_hide", "page_leave", EventType::Track),
    ("on_share", "share", EventType::Track),
    ("on_addtofavorites", "favorite", EventType::Track),
    ("bav2b_click", "click", EventType::Track),
    ("on_error", "error", EventType::Error),
    ("on_unhandled_rejection", "error", EventType::Error),
    ("__profile_set", "user_set", EventType::UserSet),
    ("__profile_set_once", "user_set_once", EventType::UserSetOnce),
    ("__profile_unset", "user_unset", EventType::UserUnset),
];

/// Params that the SDK adds where they are missing when it composes a packet
/// (`compose` and `evtParams` in its source), not when the event happens.
const AT_SENDING: [&str; 4] =
    ["$current_path", "$current_query", "$user_unique_id_type", "_staging_flag"];

/// Events that say by their own params which page they are of.
const OF_THEIR_PAGE: [&str; 4] =
    ["app_launch", "app_terminate", "predefine_pageview", "predefine_pageview_hide"];

/// Events that name a page of their own where no current one is known.
const OF_A_PAGE: [&str; 3] = ["on_share", "on_addtofavorites", "bav2b_click"];

/// The params that are mapped.
#[derive(Debug, Default)]
pub(super) struct Picked {
    path: String,
    /// `page_path`, `exit_page`, `url_path`, `page_key`: as each event calls it.
    own_path: String,
    current_path: String,
    current_query: String,
    /// The members of `query_*`, as a query.
    query: String,
    title: String,
    refer_path: String,
    scene: String,
    session_id: String,
    launch_type: String,
}

fn add_pair(query: &mut String, key: &str, value: &Value<'_>) {
    let value = match value {
        Value::Text(text) => text,
        Value::Number(digits) => *digits,
        _ => return,
    };
    if !query.is_empty() {
        query.push('&');
    }
    for part in [key, "=", value] {
        query.push_str(part);
    }
}

/// `{"a":"1","b":"2"}` as `a=1&b=2`; empty where it is no object.
fn joined(object: &str) -> String {
    let (mut cursor, mut query) = (Cursor::new(object), String::new());
    let walked = cursor.object(|cursor, key| {
        add_pair(&mut query, key, &cursor.value()?);
        Ok::<_, Broken>(())
    });
    walked.map(|()| query).unwrap_or_default()
}

// === impl Picked ===

impl Picked {
    /// Walks over the params once: keeps what is mapped, and adds to the
    /// identity what a retry does not change.
    pub(super) fn read(params: &str, identity: &mut Identity) -> Result<Self, Broken> {
        let mut picked = Self::default();
        if params.is_empty() {
            return Ok(picked);
        }
        let mut cursor = Cursor::new(params);
        cursor.object(|cursor, key| {
            cursor.peek();
            let start = cursor.at();
            let value = cursor.value()?;
            if !AT_SENDING.contains(&key) {
                identity.part(key.as_bytes());
                identity.part(cursor.since(start).as_bytes());
            }
            picked.pick(key, &value);
            Ok::<_, Broken>(())
        })?;
        cursor.end()?;
        Ok(picked)
    }

    fn pick(&mut self, key: &str, value: &Value<'_>) {
        let slot = match key {
            "path" => &mut self.path,
            "page_path" | "exit_page" | "url_path" | "page_key" => &mut self.own_path,
            "$current_path" => &mut self.current_path,
            "$current_query" => &mut self.current_query,
            "title" => &mut self.title,
            "refer_path" => &mut self.refer_path,
            "scene" => &mut self.scene,
            "session_id" => &mut self.session_id,
            "launch_type" => &mut self.launch_type,
            _ => {
                if let Some(key) = key.strip_prefix("query_") {
                    add_pair(&mut self.query, key, value);
                }
                return;
            }
        };
        match value {
            Value::Text(text) => text.as_ref().clone_into(slot),
            Value::Number(digits) => (*digits).clone_into(slot),
            _ => {}
        }
    }

    /// Names alone do not make a param of an app's own event mean anything:
    /// only the SDK's events are asked for their path, title and scene.
    fn page(&mut self, event: &str) -> Option<Page<'static>> {
        let take = std::mem::take::<String>;
        let first = |one: String, other: String| if one.is_empty() { other } else { one };
        let (own, current) = (take(&mut self.own_path), take(&mut self.current_path));
        let page = if OF_THEIR_PAGE.contains(&event) {
            let path = first(first(take(&mut self.path), own), current);
            let viewed = event.starts_with("predefine_");
            let (title, referrer) = (take(&mut self.title), take(&mut self.refer_path));
            let (title, referrer) = if viewed { (title, referrer) } else { Default::default() };
            Page {
                path: Cow::Owned(path),
                query: Cow::Owned(take(&mut self.query)),
                title: Cow::Owned(title),
                referrer: Cow::Owned(referrer),
            }
        } else {
            let own = if OF_A_PAGE.contains(&event) { own } else { String::new() };
            Page {
                path: Cow::Owned(first(current, own)),
                query: Cow::Owned(joined(&self.current_query)),
                ..Page::default()
            }
        };
        Some(page).filter(|page| *page != Page::default())
    }
}

/// Maps one event; its id is composed already.
pub(super) fn event<'b>(
    sent: Sent<'b>,
    mut picked: Picked,
    user: &User<'b>,
    header: &Header<'b>,
    id: &str,
) -> Result<Event<'b>, (Reason, String)> {
    let (name, r#type) = name_and_type(&sent.name, &picked)?;
    let page = picked.page(&sent.name);
    let scene = if OF_THEIR_PAGE.contains(&&*sent.name) { picked.scene } else { String::new() };
    let ids = [("openid", &header.openid), ("unionid", &header.unionid)];
    let ids = ids.into_iter().filter(|(_, id)| !id.is_empty());
    let ids = ids.map(|(key, id)| (Cow::Borrowed(key), id.clone())).collect();
    let session_id =
        if sent.session_id.is_empty() { Cow::Owned(picked.session_id) } else { sent.session_id };
    let properties = match sent.params {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    };
    let (name, properties) = match name {
        Some(name) => (Cow::Borrowed(name), properties),
        None => with_name_as_sent(sent.name, properties, "datarangers_event"),
    };
    Ok(Event {
        id: Text::Owned(id.to_owned()),
        name,
        time_ms: sent.time_ms,
        device_id: user.device_id().clone(),
        r#type,
        user_id: user.user_id(),
        ids,
        session_id,
        seq: 0,
        page,
        scene: Cow::Owned(scene),
        properties: properties.into(),
        bytes: sent.bytes,
    })
}

/// Our name where it is another.
fn name_and_type(
    sent: &str,
    picked: &Picked,
) -> Result<(Option<&'static str>, EventType), (Reason, String)> {
    if matches!(sent, "__profile_increment" | "__profile_append") {
        let detail = ".event: increments and appends cannot be repeated safely; use profileSet";
        return Err((Reason::EventUnsupported, detail.to_owned()));
    }
    if sent == "app_launch" && matches!(&*picked.launch_type, "1" | "2") {
        return Ok((Some("app_show"), EventType::Track));
    }
    let known = NAMES.iter().find(|(name, ..)| *name == sent);
    Ok(known.map_or((None, EventType::Track), |(_, name, r#type)| (Some(*name), *r#type)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(name: &str, params: &str) -> Event<'static> {
        let sent = Sent {
            name: Cow::Owned(name.to_owned()),
            params: Cow::Owned(params.to_owned()),
            ..Sent::default()
        };
        let picked = Picked::read(params, &mut Identity::new()).expect(params);
        event(sent, picked, &User::default(), &Header::default(), "x").expect(name)
    }

    #[test]
    fn a_launch_from_the_background_is_a_show() {
        for (launch_type, expected) in [("0", "app_launch"), ("1", "app_show"), ("2", "app_show")] {
            let params = format!(r#"{{"launch_type":{launch_type}}}"#);
            assert_eq!(mapped("app_launch", &params).name, expected);
        }
        assert_eq!(mapped("app_launch", "{}").name, "app_launch");
        assert_eq!(mapped("order", r#"{"launch_type":1}"#).name, "order");
    }

    #[test]
    fn names_that_we_have_no_room_for_are_kept_beside() {
        let event = mapped("2 paid", r#"{"n":1}"#);
        assert_eq!(event.name, "event_2_paid");
        assert_eq!(*event.properties, *br#"{"datarangers_event":"2 paid","n":1}"#);
    }

    #[test]
    fn pages() {
        let page = |name, params: &str| {
            let page = mapped(name, params).page.unwrap_or_default();
            [page.path, page.query, page.title, page.referrer].join("|")
        };
        let all = r#"{"path":"p","page_path":"o","title":"t","refer_path":"r","query_a":"1",
            "query_b":2,"query_c":[],"$current_path":"c","$current_query":"{\"x\":\"é\"}"}"#;
        assert_eq!(page("predefine_pageview", all), "p|a=1&b=2|t|r");
        assert_eq!(page("app_launch", all), "p|a=1&b=2||");
        assert_eq!(page("app_terminate", r#"{"exit_page":"e","$current_path":"c"}"#), "e|||");
        assert_eq!(page("on_share", all), "c|x=é||");
        assert_eq!(page("on_share", r#"{"path":"p?a","page_path":"p"}"#), "p|||");
        assert_eq!(page("order", all), "c|x=é||");
        assert_eq!(page("order", r#"{"path":"p","title":"t","page_path":"o"}"#), "|||");
        assert_eq!(page("order", r#"{"$current_query":"[1"}"#), "|||");
    }

    #[test]
    fn scenes_are_of_the_sdk_and_sessions_of_either_place() {
        assert_eq!(mapped("app_launch", r#"{"scene":1001}"#).scene, "1001");
        assert_eq!(mapped("order", r#"{"scene":1001}"#).scene, "");
        assert_eq!(mapped("on_error", r#"{"session_id":"s"}"#).session_id, "s");
        assert_eq!(mapped("on_error", "{}").r#type, EventType::Error);
    }
}
