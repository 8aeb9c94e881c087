//! Segment's calls and names → ours.
//!
//! | sent | becomes |
//! |---|---|
//! | `track`, one of [`NAMES`] | that name |
//! | any other `track` | its own name in small letters, `Order Paid` as `order_paid` |
//! | `page`, `screen` | `page_view` |
//! | `identify` | `user_set` of the traits |
//! | `group` | `user_set` of `group_id` and `group_traits` |
//! | `alias` | `alias`, with the previous id among the ids |
//!
//! A group's traits stand under one key because a group has a name and a plan as
//! a user has. Where a name was changed the property `segment_event` keeps it.

use std::borrow::Cow;

use sluice_event::{Event, EventType, Reason, Text};

use super::Call;
use super::decode::Sent;
use crate::dialects::members::Members;
use crate::dialects::names;

/// Names of Segment's own specifications (mobile life cycle, e-commerce), in
/// small letters with `_` for spaces.
const NAMES: [(&str, &str); 11] = [
    ("application_opened", "app_launch"),
    ("application_foregrounded", "app_show"),
    ("application_backgrounded", "app_hide"),
    ("application_crashed", "error"),
    ("order_completed", "order"),
    ("product_clicked", "click"),
    ("promotion_clicked", "click"),
    ("promotion_viewed", "exposure"),
    ("product_shared", "share"),
    ("cart_shared", "share"),
    ("product_added_to_wishlist", "favorite"),
];

/// Names that are types too.
const TYPES: [(&str, EventType); 3] =
    [("error", EventType::Error), ("perf", EventType::Perf), ("request", EventType::Request)];

/// Maps one message; its id is composed already. `call` is the path's, where the
/// path is for one call.
pub(super) fn event<'b>(
    sent: Sent<'b>,
    call: Option<Call>,
    id: String,
) -> Result<Event<'b>, (Reason, String)> {
    let call = match call.or_else(|| Call::named(&sent.kind)) {
        Some(call) => call,
        None => {
            let detail = "type: must be track, page, screen, identify, group or alias";
            return Err((Reason::TypeUnknown, detail.to_owned()));
        }
    };
    let (name, r#type) = match call {
        Call::Track => track(&sent)?,
        Call::Page | Call::Screen => (Cow::Borrowed("page_view"), EventType::Track),
        Call::Identify | Call::Group => (Cow::Borrowed("user_set"), EventType::UserSet),
        Call::Alias => (Cow::Borrowed("alias"), EventType::Alias),
    };
    let properties = properties(&sent, call, &name)?;
    let Sent { context, place, bytes, .. } = sent;
    let own = match call {
        Call::Page | Call::Screen => place.page(&sent.name),
        _ => None,
    };
    let page = own.or_else(|| context.page.page(&Text::default()));
    let device_id = [sent.anonymous_id, context.device_id, sent.user_id.clone()];
    let device_id = device_id.into_iter().find(|id| !id.is_empty());
    let ids = match sent.previous_id.is_empty() {
        true => Vec::new(),
        false => vec![(Cow::Borrowed("previous_id"), sent.previous_id)],
    };
    Ok(Event {
        id: Cow::Owned(id),
        name,
        time_ms: sent.time_ms.or(sent.original_time_ms),
        device_id: device_id.unwrap_or_default(),
        r#type,
        user_id: sent.user_id,
        ids,
        session_id: context.session_id,
        seq: 0,
        page,
        scene: Text::default(),
        properties: properties.into(),
        bytes,
    })
}

/// The name of a `track` call.
fn track<'b>(sent: &Sent<'b>) -> Result<(Text<'b>, EventType), (Reason, String)> {
    if sent.event.is_empty() {
        return Err((Reason::NameMissing, "event: missing; it names what happened".to_owned()));
    }
    let made = names::by_rule(&sent.event);
    let plain = made.to_ascii_lowercase();
    let known = NAMES.iter().find(|(name, _)| *name == plain).map(|(_, known)| *known);
    let known = match known {
        // Coming back to the foreground is an opening too.
        Some("app_launch") if sent.from_background => Some("app_show"),
        known => known,
    };
    let name = match known {
        Some(known) => Cow::Borrowed(known),
        // A name that keeps our rule is somebody's own word: it stays.
        None if made == sent.event => sent.event.clone(),
        None => Cow::Owned(plain),
    };
    let r#type = TYPES.iter().find(|(known, _)| *known == name);
    Ok((name, r#type.map_or(EventType::Track, |(_, found)| *found)))
}

/// What is kept as properties; what is added stands before what was sent, so
/// that what was sent wins.
fn properties<'b>(
    sent: &Sent<'b>,
    call: Call,
    name: &str,
) -> Result<Cow<'b, [u8]>, (Reason, String)> {
    let mut members = Members::default();
    let rest = match call {
        Call::Track => {
            if name != sent.event {
                members.text("segment_event", &sent.event);
            }
            sent.properties
        }
        Call::Page | Call::Screen => {
            members.text("name", &sent.name);
            members.text("category", &sent.category);
            sent.properties
        }
        Call::Identify if sent.traits.is_empty() => sent.context.traits,
        Call::Identify => sent.traits,
        Call::Group => {
            if sent.group_id.is_empty() {
                let detail = "groupId: missing; it names the group".to_owned();
                return Err((Reason::FieldInvalid, detail));
            }
            members.text("group_id", &sent.group_id);
            if !sent.traits.is_empty() {
                members.value("group_traits", sent.traits);
            }
            ""
        }
        Call::Alias => "",
    };
    if members.is_empty() {
        return Ok(Cow::Borrowed(rest.as_bytes()));
    }
    members.object(rest);
    Ok(members.finish())
}
