//! CloudEvents JSON (event format 1.0.2) → batch.
//!
//! Identity: `(source, id)` is unique by the specification and a retry sends
//! both again, so the event's id is made of these two alone.
//!
//! An attribute of a wrong type makes its event bad; broken JSON refuses the
//! request. Of a key that stands twice the last counts.

use std::borrow::Cow;

use sluice_event::limits::PROPERTIES_MAX;
use sluice_event::{Batch, Limits, Parsed, Reason, Refusal, Text};

use super::map;
use crate::dialects::identity::Identity;
use crate::dialects::native::json::utf8;
use crate::dialects::{too_large, too_many_events};
use crate::json::{Broken, Cursor, Value};

/// The version that is spoken.
const SPEC_VERSION: &str = "1.0";

/// The data of an event.
#[derive(Debug, Default)]
pub(super) enum Data<'b> {
    #[default]
    None,
    /// An object, as its JSON text.
    Members(&'b str),
    /// Another value, as its JSON text.
    Value(Cow<'b, str>),
    /// Bytes in base64, as JSON text.
    Base64(Cow<'b, str>),
}

/// One event as sent.
#[derive(Debug, Default)]
pub(super) struct Sent<'b> {
    pub spec_version: Text<'b>,
    pub id: Text<'b>,
    pub source: Text<'b>,
    pub kind: Text<'b>,
    pub subject: Text<'b>,
    pub time: Text<'b>,
    pub data_content_type: Text<'b>,
    pub data_schema: Text<'b>,
    /// Extension attributes, values as JSON text.
    pub extensions: Vec<(String, Cow<'b, str>)>,
    pub picked: map::Picked<'b>,
    pub data: Data<'b>,
    pub bytes: usize,
    wrong: Option<(Reason, String)>,
}

/// Reads a list of events, or a single one.
pub(super) fn decode<'b>(payload: &'b [u8], limits: &Limits) -> Result<Batch<'b>, Refusal> {
    let mut cursor = Cursor::new(utf8(payload)?);
    let mut batch = new_batch();
    match cursor.peek() {
        Some(b'{') => one(&mut cursor, &mut batch, limits)?,
        Some(b'[') => {
            let all = cursor.array(|cursor| {
                if batch.events.len() == limits.batch_events_max {
                    return Ok(false);
                }
                one(cursor, &mut batch, limits)?;
                Ok::<_, Broken>(true)
            })?;
            if !all {
                return Err(too_many_events(limits));
            }
        }
        _ => {
            let found = cursor.value()?.kind();
            let detail = format!("expected a CloudEvent or a list of them in JSON, got {found}");
            return Err(Refusal::new(Reason::BodyInvalid, detail));
        }
    }
    cursor.end()?;
    Ok(batch)
}

/// A batch to fill. `time` is optional in CloudEvents.
pub(super) fn new_batch<'b>() -> Batch<'b> {
    let mut batch = Batch::default();
    batch.envelope.time_of_receipt = true;
    batch
}

fn one<'b>(cursor: &mut Cursor<'b>, batch: &mut Batch<'b>, limits: &Limits) -> Result<(), Broken> {
    if cursor.peek() != Some(b'{') {
        let found = cursor.value()?.kind();
        let detail = format!("events[{}]: expected an object, got {found}", batch.events.len());
        let (id, reason) = (String::new(), Reason::FieldInvalid);
        batch.events.push(Parsed::Bad { id, reason, detail });
        return Ok(());
    }
    let start = cursor.at();
    let mut sent = Sent::default();
    cursor.object(|cursor, key| {
        cursor.peek();
        let start = cursor.at();
        let value = cursor.value()?;
        sent.member(key, value, cursor.since(start));
        Ok::<_, Broken>(())
    })?;
    sent.bytes = cursor.at() - start;
    add(batch, sent, limits);
    Ok(())
}

/// Judges one event and adds it to the batch.
pub(super) fn add<'b>(batch: &mut Batch<'b>, sent: Sent<'b>, limits: &Limits) {
    let place = format!("events[{}]", batch.events.len());
    let id = sent.identity();
    let bad = |id: String, reason, detail| Parsed::Bad { id, reason, detail };
    let parsed = if sent.bytes > limits.event_bytes_max {
        let detail = too_large(&place, sent.bytes, limits);
        bad(id.unwrap_or_default(), Reason::EventTooLarge, detail)
    } else {
        match sent.check().and(id.clone().ok_or_else(no_id)) {
            Ok(id) => {
                map::envelope(&mut batch.envelope, &sent);
                match map::event(sent, id.clone()) {
                    Ok(event) => Parsed::Event(event),
                    Err((reason, detail)) => bad(id, reason, format!("{place}.{detail}")),
                }
            }
            Err((reason, detail)) => {
                bad(id.unwrap_or_default(), reason, format!("{place}.{detail}"))
            }
        }
    };
    batch.events.push(parsed);
}

fn no_id() -> (Reason, String) {
    (Reason::IdMissing, "id: missing; `source` and `id` together name an event".to_owned())
}

// === impl Sent ===

impl<'b> Sent<'b> {
    /// Takes a member of an event in JSON; `raw` is the value's text.
    fn member(&mut self, key: &str, value: Value<'b>, raw: &'b str) {
        match (key, &value) {
            ("data" | "data_base64", Value::Null) => {}
            ("data", Value::Object(object)) => self.data = Data::Members(object),
            ("data", _) => self.data = Data::Value(Cow::Borrowed(raw)),
            ("data_base64", Value::Text(_)) => self.data = Data::Base64(Cow::Borrowed(raw)),
            ("data_base64", other) => {
                let detail = format!("data_base64: expected a string, got {}", other.kind());
                self.wrong(Reason::FieldInvalid, detail);
            }
            _ => self.attribute(key, value, Cow::Borrowed(raw)),
        }
    }

    /// Takes a context attribute; `raw` is its value as JSON text.
    pub(super) fn attribute(&mut self, name: &str, value: Value<'b>, raw: Cow<'b, str>) {
        let slot = match name {
            "specversion" => &mut self.spec_version,
            "id" => &mut self.id,
            "source" => &mut self.source,
            "type" => &mut self.kind,
            "subject" => &mut self.subject,
            "time" => &mut self.time,
            "datacontenttype" => &mut self.data_content_type,
            "dataschema" => &mut self.data_schema,
            _ => {
                if value != Value::Null {
                    self.extension(name, value, raw);
                }
                return;
            }
        };
        match value {
            Value::Text(text) => *slot = text,
            Value::Null => {}
            other => {
                let detail = format!("{name}: expected a string, got {}", other.kind());
                self.wrong(Reason::FieldInvalid, detail);
            }
        }
    }

    fn extension(&mut self, name: &str, value: Value<'b>, raw: Cow<'b, str>) {
        if self.extensions.len() == PROPERTIES_MAX {
            let detail = format!("more than {PROPERTIES_MAX} extension attributes");
            return self.wrong(Reason::PropertiesInvalid, detail);
        }
        self.picked.pick(name, value);
        self.extensions.push((name.to_owned(), raw));
    }

    fn wrong(&mut self, reason: Reason, detail: String) {
        self.wrong.get_or_insert((reason, detail));
    }

    /// `ce-` and 128 bits in hex; `None` without a source or an id.
    fn identity(&self) -> Option<String> {
        if self.source.is_empty() || self.id.is_empty() {
            return None;
        }
        let mut identity = Identity::new();
        identity.part(self.source.as_bytes());
        identity.part(self.id.as_bytes());
        Some(identity.id("ce"))
    }

    /// What the specification demands of the context.
    fn check(&self) -> Result<(), (Reason, String)> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        let version = &*self.spec_version;
        if version.is_empty() {
            let detail = "specversion: missing; must be 1.0, or this is no CloudEvent";
            return Err((Reason::FieldInvalid, detail.to_owned()));
        }
        if version != SPEC_VERSION {
            let detail = "specversion: must be 1.0; other versions are not taken";
            return Err((Reason::EventUnsupported, detail.to_owned()));
        }
        if self.source.is_empty() && !self.id.is_empty() {
            let detail = "source: missing; `source` and `id` together name an event";
            return Err((Reason::FieldInvalid, detail.to_owned()));
        }
        if self.kind.is_empty() {
            return Err((Reason::NameMissing, "type: missing; it names the event".to_owned()));
        }
        Ok(())
    }
}
