//! CloudEvents attributes → ours.
//!
//! | attribute | becomes |
//! |---|---|
//! | `type` | the name; where it breaks our rule, a name made of it, and `ce_type` |
//! | `type` `user_set` `alias` `error` … | of that type too |
//! | `time` | the time; without one, the time of receipt |
//! | extension `userid`, else `subject` | user id |
//! | extension `deviceid`, else the user id | device id |
//! | extensions `sessionid` `scene` | session id, scene |
//! | extensions `page` `pagequery` `pagetitle` `referrer` | the page |
//! | extensions `openid` `unionid` | ids |
//! | extensions `platform` `hostapp` `env` `appversion` | of the whole batch: its first event that has it |
//! | extensions, `source` as `ce_source`, `dataschema` as `ce_dataschema` | properties |
//! | members of `data`; other data as `data`, `data_base64` | properties; these win |

use std::borrow::Cow;

use sluice_event::batch::Page;
use sluice_event::{Envelope, Event, EventType, Reason, Text};

use super::binary::is_json;
use super::decode::{Data, Sent};
use crate::dialects::members::Members;
use crate::dialects::names;
use crate::dialects::native::json::TYPES;
use crate::dialects::time::rfc3339_ms;
use crate::json::Value;

/// The extension attributes that are mapped.
#[derive(Debug, Default)]
pub(super) struct Picked<'b> {
    device_id: Text<'b>,
    user_id: Text<'b>,
    session_id: Text<'b>,
    openid: Text<'b>,
    unionid: Text<'b>,
    scene: Text<'b>,
    page: Page<'b>,
    platform: Text<'b>,
    host_app: Text<'b>,
    env: Text<'b>,
    app_version: Text<'b>,
}

// === impl Picked ===

impl<'b> Picked<'b> {
    /// Keeps the value of an extension attribute if it is one that is mapped.
    pub(super) fn pick(&mut self, name: &str, value: Value<'b>) {
        let slot = match name {
            "deviceid" => &mut self.device_id,
            "userid" => &mut self.user_id,
            "sessionid" => &mut self.session_id,
            "openid" => &mut self.openid,
            "unionid" => &mut self.unionid,
            "scene" => &mut self.scene,
            "page" => &mut self.page.path,
            "pagequery" => &mut self.page.query,
            "pagetitle" => &mut self.page.title,
            "referrer" => &mut self.page.referrer,
            "platform" => &mut self.platform,
            "hostapp" => &mut self.host_app,
            "env" => &mut self.env,
            "appversion" => &mut self.app_version,
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
    let picked = &sent.picked;
    for (slot, value) in [
        (&mut envelope.platform, &picked.platform),
        (&mut envelope.host_app, &picked.host_app),
        (&mut envelope.env, &picked.env),
        (&mut envelope.app_version, &picked.app_version),
    ] {
        if slot.is_empty() {
            slot.clone_from(value);
        }
    }
}

/// Maps one event; its id is composed already.
pub(super) fn event<'b>(sent: Sent<'b>, id: String) -> Result<Event<'b>, (Reason, String)> {
    let time_ms = match rfc3339_ms(&sent.time) {
        _ if sent.time.is_empty() => None,
        Some(time_ms) => Some(time_ms),
        None => {
            let detail = "time: must be RFC 3339 with an offset, as in 2026-11-20T18:48:43.217Z";
            return Err((Reason::TimeInvalid, detail.to_owned()));
        }
    };
    let r#type = TYPES.iter().find(|(name, _)| *name == sent.kind);
    let r#type = r#type.map_or(EventType::Track, |(_, found)| *found);
    let properties = properties(&sent);
    let Sent { kind, subject, picked, bytes, .. } = sent;
    let name = match kind {
        Cow::Borrowed(kind) => names::by_rule(kind),
        Cow::Owned(kind) => Cow::Owned(names::by_rule(&kind).into_owned()),
    };
    let user_id = if picked.user_id.is_empty() { subject } else { picked.user_id };
    let device_id = if picked.device_id.is_empty() { user_id.clone() } else { picked.device_id };
    let ids = [("openid", picked.openid), ("unionid", picked.unionid)];
    let ids = ids.into_iter().filter(|(_, id)| !id.is_empty());
    Ok(Event {
        id: Cow::Owned(id),
        name,
        time_ms,
        device_id,
        r#type,
        user_id,
        ids: ids.map(|(key, id)| (Cow::Borrowed(key), id)).collect(),
        session_id: picked.session_id,
        seq: 0,
        page: Some(picked.page).filter(|page| *page != Page::default()),
        scene: picked.scene,
        properties: properties.into(),
        bytes,
    })
}

/// The context before the data, so that the data's members win.
fn properties<'b>(sent: &Sent<'b>) -> Cow<'b, [u8]> {
    let mut members = Members::default();
    members.text("ce_source", &sent.source);
    if !names::keeps_rule(&sent.kind) {
        members.text("ce_type", &sent.kind);
    }
    members.text("ce_dataschema", &sent.data_schema);
    if !is_json(&sent.data_content_type) {
        members.text("ce_datacontenttype", &sent.data_content_type);
    }
    if !sent.picked.user_id.is_empty() {
        members.text("ce_subject", &sent.subject);
    }
    for (name, value) in &sent.extensions {
        members.value(name, value);
    }
    match &sent.data {
        Data::None => {}
        Data::Members(object) => members.object(object),
        Data::Value(value) => members.value("data", value),
        Data::Base64(text) => members.value("data_base64", text),
    }
    members.finish()
}
