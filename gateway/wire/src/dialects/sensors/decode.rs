//! Sensors JSON → batch.
//!
//! Identity: the SDK gives no usable event id, so it is composed from what a
//! retry does not change: `(project, distinct_id, type, event, time, _track_id)`,
//! or, without `_track_id`, the event's members as sent less `_flush_time`.
//! `_flush_time` changes with every try and a retry regroups batches, so
//! neither the request nor the body can take part.
//!
//! The clock at sending is the `_flush_time` of the first event that has one.
//! All properties are kept as sent; what is mapped is copied out of them.

use std::borrow::Cow;

use sluice_event::limits::IDS_MAX;
use sluice_event::{Batch, Limits, Parsed, Reason, Refusal, Text};

use super::map;
use crate::dialects::identity::Identity;
use crate::dialects::native::json::utf8;
use crate::dialects::{too_large, too_many_events};
use crate::json::{Broken, Cursor, Value};

const ENCRYPTED: &str = "encrypted events cannot be read; turn the SDK's encryption off";

/// One event as sent.
#[derive(Debug, Default)]
pub(super) struct Sent<'b> {
    pub distinct_id: Text<'b>,
    pub anonymous_id: Text<'b>,
    pub login_id: Text<'b>,
    pub original_id: Text<'b>,
    pub identities: Vec<(Text<'b>, Text<'b>)>,
    pub lib: Text<'b>,
    pub lib_version: Text<'b>,
    pub kind: Text<'b>,
    pub event: Text<'b>,
    pub track_id: Text<'b>,
    pub time_ms: Option<i64>,
    pub flush_time_ms: i64,
    pub properties: Cow<'b, [u8]>,
    pub picked: map::Picked<'b>,
    pub bytes: usize,
    /// The server SDKs can name one for each event.
    project: Text<'b>,
    /// Events that the SDK encrypted: nothing else can be read.
    encrypted: usize,
    wrong: Option<(Reason, String)>,
}

/// Reads a list of events, or a single one.
pub(super) fn decode<'b>(
    project: &str,
    payload: &'b [u8],
    limits: &Limits,
) -> Result<Batch<'b>, Refusal> {
    let mut cursor = Cursor::new(utf8(payload)?);
    let mut batch = Batch::default();
    match cursor.peek() {
        Some(b'{') => {
            if !one(&mut cursor, &mut batch, project, limits)? {
                return Err(too_many_events(limits));
            }
        }
        Some(b'[') => {
            if !cursor.array(|cursor| one(cursor, &mut batch, project, limits))? {
                return Err(too_many_events(limits));
            }
        }
        _ => {
            let found = cursor.value()?.kind();
            let detail = format!("expected a JSON list of events, got {found}");
            return Err(Refusal::new(Reason::BodyInvalid, detail));
        }
    }
    cursor.end()?;
    Ok(batch)
}

/// Reads one element: an event, or an envelope of encrypted ones. `false`: there
/// is no room for it.
fn one<'b>(
    cursor: &mut Cursor<'b>,
    batch: &mut Batch<'b>,
    project: &str,
    limits: &Limits,
) -> Result<bool, Broken> {
    let index = batch.events.len();
    if index == limits.batch_events_max {
        return Ok(false);
    }
    let bad = |id: &str, reason, detail: String| Parsed::Bad { id: id.to_owned(), reason, detail };
    if cursor.peek() != Some(b'{') {
        let found = cursor.value()?.kind();
        let detail = format!("data_list[{index}]: expected an object, got {found}");
        batch.events.push(bad("", Reason::FieldInvalid, detail));
        return Ok(true);
    }
    let start = cursor.at();
    let mut sent = Sent::default();
    cursor.object(|cursor, key| sent.field(cursor, key))?;
    let text = cursor.since(start);
    sent.bytes = text.len();
    let id = identity(project, &sent, text)?;
    let place = format_args!("data_list[{index}]");
    if sent.encrypted > 0 {
        if sent.encrypted > limits.batch_events_max - index {
            return Ok(false);
        }
        let detail = format!("{place}.payload: {ENCRYPTED}");
        let refused = bad(&id, Reason::EventUnsupported, detail);
        batch.events.extend(std::iter::repeat_n(refused, sent.encrypted));
        return Ok(true);
    }
    let parsed = if !sent.project.is_empty() && sent.project != project {
        let detail = format!("{place}.project: is not the one of the server URL (`?project=`)");
        bad(&id, Reason::AppMismatch, detail)
    } else if sent.bytes > limits.event_bytes_max {
        bad(&id, Reason::EventTooLarge, too_large(&place.to_string(), sent.bytes, limits))
    } else if let Some((reason, detail)) = &sent.wrong {
        bad(&id, *reason, format!("{place}.{detail}"))
    } else {
        map::envelope(&mut batch.envelope, &sent);
        match map::event(sent, &id) {
            Ok(event) => Parsed::Event(event),
            Err((reason, detail)) => bad(&id, reason, format!("{place}.{detail}")),
        }
    };
    batch.events.push(parsed);
    Ok(true)
}

/// The event's id.
fn identity(project: &str, sent: &Sent<'_>, text: &str) -> Result<String, Broken> {
    let mut identity = Identity::new();
    identity.part(project.as_bytes());
    if sent.track_id.is_empty() {
        let mut cursor = Cursor::new(text);
        cursor.object(|cursor, key| {
            cursor.peek();
            let start = cursor.at();
            cursor.skip()?;
            if key != "_flush_time" {
                identity.part(key.as_bytes());
                identity.part(cursor.since(start).as_bytes());
            }
            Ok::<_, Broken>(())
        })?;
    } else {
        let time = sent.time_ms.unwrap_or(0).to_le_bytes();
        for text in [&sent.distinct_id, &sent.kind, &sent.event] {
            identity.part(text.as_bytes());
        }
        identity.part(&time);
        identity.part(sent.track_id.as_bytes());
    }
    Ok(identity.id("sa"))
}

// === impl Sent ===

impl<'b> Sent<'b> {
    fn field(&mut self, cursor: &mut Cursor<'b>, key: &str) -> Result<(), Broken> {
        match key {
            "distinct_id" => self.distinct_id = self.scalar(cursor, "distinct_id")?,
            "anonymous_id" => self.anonymous_id = self.scalar(cursor, "anonymous_id")?,
            "login_id" => self.login_id = self.scalar(cursor, "login_id")?,
            "original_id" => self.original_id = self.scalar(cursor, "original_id")?,
            "project" => self.project = self.scalar(cursor, "project")?,
            "type" => self.kind = self.scalar(cursor, "type")?,
            "event" => self.event = self.scalar(cursor, "event")?,
            "_track_id" => self.track_id = self.scalar(cursor, "_track_id")?,
            "time" => match cursor.value()? {
                Value::Number(digits) if digits.parse::<i64>().is_ok() => {
                    self.time_ms = digits.parse().ok();
                }
                Value::Null => {}
                other => {
                    let detail =
                        format!("time: expected integer milliseconds, got {}", other.kind());
                    self.wrong(Reason::TimeInvalid, detail);
                }
            },
            "_flush_time" => {
                if let Value::Number(digits) = cursor.value()? {
                    self.flush_time_ms = digits.parse().unwrap_or(0);
                }
            }
            "lib" if cursor.peek() == Some(b'{') => cursor.object(|cursor, key| {
                match key {
                    "$lib" => self.lib = self.scalar(cursor, "lib.$lib")?,
                    "$lib_version" => self.lib_version = self.scalar(cursor, "lib.$lib_version")?,
                    _ => cursor.skip()?,
                }
                Ok(())
            })?,
            "identities" if cursor.peek() == Some(b'{') => cursor.object(|cursor, key| {
                let id = self.scalar(cursor, "identities")?;
                if self.identities.len() < IDS_MAX {
                    self.identities.push((Text::Owned(key.to_owned()), id));
                } else {
                    let detail = format!("identities: more than {IDS_MAX} entries");
                    self.wrong(Reason::FieldInvalid, detail);
                }
                Ok(())
            })?,
            "properties" => self.properties(cursor)?,
            "payloads" if cursor.peek() == Some(b'[') => {
                let mut payloads = 0;
                cursor.array(|cursor| {
                    payloads += 1;
                    cursor.skip().map(|()| true)
                })?;
                self.encrypted = self.encrypted.max(payloads);
            }
            "ekey" | "payload" | "payloads" | "crypt" | "encrypt" => {
                self.encrypted = self.encrypted.max(1);
                cursor.skip()?;
            }
            _ => cursor.skip()?,
        }
        Ok(())
    }

    fn properties(&mut self, cursor: &mut Cursor<'b>) -> Result<(), Broken> {
        if cursor.peek() != Some(b'{') {
            let found = cursor.value()?;
            if found != Value::Null {
                let detail = format!("properties: expected an object, got {}", found.kind());
                self.wrong(Reason::PropertiesInvalid, detail);
            }
            return Ok(());
        }
        let start = cursor.at();
        cursor.object(|cursor, key| {
            if key.starts_with('$') {
                self.picked.pick(key, cursor.value()?)
            } else {
                cursor.skip()?
            }
            Ok::<_, Broken>(())
        })?;
        self.properties = Cow::Borrowed(cursor.since(start).as_bytes());
        Ok(())
    }

    fn wrong(&mut self, reason: Reason, detail: String) {
        self.wrong.get_or_insert((reason, detail));
    }

    /// A string, or a number as it was written: no digit is lost.
    fn scalar(&mut self, cursor: &mut Cursor<'b>, place: &str) -> Result<Text<'b>, Broken> {
        Ok(match cursor.value()? {
            Value::Text(text) => text,
            Value::Number(digits) => Cow::Borrowed(digits),
            Value::Null => Text::default(),
            other => {
                let detail = format!("{place}: expected a string, got {}", other.kind());
                self.wrong(Reason::FieldInvalid, detail);
                Text::default()
            }
        })
    }
}
