//! Segment messages → batch.
//!
//! Identity: `messageId`, which these SDKs make once per message. One that our
//! rule for ids does not allow is hashed; without one the id is a hash of the
//! message's members as sent less `sentAt`, which changes with every try.
//!
//! The clock at sending is the `sentAt` of the batch, else of its first message
//! that has one.

use std::borrow::Cow;

use sluice_event::limits::EVENT_ID_BYTES_MAX;
use sluice_event::{Batch, Limits, Parsed, Reason, Refusal, Text};

use super::context::{Context, Place};
use super::{Call, map};
use crate::dialects::identity::Identity;
use crate::dialects::native::json::utf8;
use crate::dialects::time::rfc3339_ms;
use crate::dialects::{too_large, too_many_events};
use crate::json::{Broken, Cursor, Value};

/// One message as sent.
#[derive(Debug, Default)]
pub(super) struct Sent<'b> {
    pub kind: Text<'b>,
    pub message_id: Text<'b>,
    pub event: Text<'b>,
    pub name: Text<'b>,
    pub category: Text<'b>,
    pub user_id: Text<'b>,
    pub anonymous_id: Text<'b>,
    pub previous_id: Text<'b>,
    pub group_id: Text<'b>,
    /// `timestamp`, where the caller said when it happened.
    pub time_ms: Option<i64>,
    /// `originalTimestamp`, where the SDK did.
    pub original_time_ms: Option<i64>,
    pub sent_at_ms: Option<i64>,
    /// An object's text; empty where there are none.
    pub properties: &'b str,
    /// Likewise.
    pub traits: &'b str,
    pub place: Place<'b>,
    pub from_background: bool,
    pub context: Context<'b>,
    pub bytes: usize,
    wrong: Option<(Reason, String)>,
}

/// Reads the body of `/v1/batch`.
pub(super) fn batch<'b>(payload: &'b [u8], limits: &Limits) -> Result<Batch<'b>, Refusal> {
    let mut cursor = Cursor::new(utf8(payload)?);
    let mut batch = new_batch();
    let (mut found, mut shared, mut sent_at_ms) = (false, Context::default(), None);
    object_expected(&mut cursor, "{\"batch\": [...]}")?;
    cursor.object(|cursor, key| {
        match key {
            "batch" if cursor.peek() == Some(b'[') => {
                found = true;
                batch.events.clear();
                let all = cursor.array(|cursor| {
                    if batch.events.len() == limits.batch_events_max {
                        return Ok(false);
                    }
                    one(cursor, &mut batch, None, limits)?;
                    Ok::<_, Broken>(true)
                })?;
                if !all {
                    return Err(too_many_events(limits));
                }
            }
            "sentAt" => sent_at_ms = moment(&cursor.value()?),
            "context" => shared.read(cursor)?,
            _ => cursor.skip()?,
        }
        Ok::<_, Refusal>(())
    })?;
    cursor.end()?;
    if !found {
        let detail = "batch: missing; expected an array of messages";
        return Err(Refusal::new(Reason::BodyInvalid, detail));
    }
    if let Some(sent_at_ms) = sent_at_ms {
        batch.envelope.sent_at_ms = sent_at_ms;
    }
    let at_ms = batch.envelope.sent_at_ms;
    shared.envelope(&mut batch.envelope, at_ms);
    Ok(batch)
}

/// Reads the body of a single call.
pub(super) fn single<'b>(
    call: Call,
    payload: &'b [u8],
    limits: &Limits,
) -> Result<Batch<'b>, Refusal> {
    let mut cursor = Cursor::new(utf8(payload)?);
    let mut batch = new_batch();
    object_expected(&mut cursor, "a message")?;
    one(&mut cursor, &mut batch, Some(call), limits)?;
    cursor.end()?;
    Ok(batch)
}

/// A batch to fill. `timestamp` is optional in the API.
fn new_batch<'b>() -> Batch<'b> {
    let mut batch = Batch::default();
    batch.envelope.time_of_receipt = true;
    batch
}

fn object_expected(cursor: &mut Cursor<'_>, what: &str) -> Result<(), Refusal> {
    if cursor.peek() == Some(b'{') {
        return Ok(());
    }
    let found = cursor.value()?.kind();
    Err(Refusal::new(Reason::BodyInvalid, format!("expected {what} in JSON, got {found}")))
}

fn one<'b>(
    cursor: &mut Cursor<'b>,
    batch: &mut Batch<'b>,
    call: Option<Call>,
    limits: &Limits,
) -> Result<(), Broken> {
    let place = format!("events[{}]", batch.events.len());
    let bad = |id: String, reason, detail| Parsed::Bad { id, reason, detail };
    if cursor.peek() != Some(b'{') {
        let found = cursor.value()?.kind();
        let detail = format!("{place}: expected an object, got {found}");
        batch.events.push(bad(String::new(), Reason::FieldInvalid, detail));
        return Ok(());
    }
    let start = cursor.at();
    let mut sent = Sent::default();
    cursor.object(|cursor, key| sent.member(cursor, key))?;
    let text = cursor.since(start);
    sent.bytes = text.len();
    let id = identity(&sent, text)?;
    let parsed = if sent.bytes > limits.event_bytes_max {
        bad(id, Reason::EventTooLarge, too_large(&place, sent.bytes, limits))
    } else if let Some((reason, detail)) = sent.wrong.take() {
        bad(id, reason, format!("{place}.{detail}"))
    } else {
        let envelope = &mut batch.envelope;
        if envelope.sent_at_ms == 0 {
            envelope.sent_at_ms = sent.sent_at_ms.unwrap_or(0);
        }
        let at_ms = sent.time_ms.or(sent.original_time_ms).unwrap_or(0);
        sent.context.envelope(envelope, at_ms);
        match map::event(sent, call, id.clone()) {
            Ok(event) => Parsed::Event(event),
            Err((reason, detail)) => bad(id, reason, format!("{place}.{detail}")),
        }
    };
    batch.events.push(parsed);
    Ok(())
}

/// The message's id where our rule allows it; else one that is composed.
fn identity(sent: &Sent<'_>, text: &str) -> Result<String, Broken> {
    let id = &*sent.message_id;
    let fits = id.len() <= EVENT_ID_BYTES_MAX && id.bytes().all(|byte| byte.is_ascii_graphic());
    if fits && !id.is_empty() {
        return Ok(id.to_owned());
    }
    let mut identity = Identity::new();
    if !id.is_empty() {
        identity.part(id.as_bytes());
        return Ok(identity.id("sg"));
    }
    let mut cursor = Cursor::new(text);
    cursor.object(|cursor, key| {
        cursor.peek();
        let start = cursor.at();
        cursor.skip()?;
        if key != "sentAt" {
            identity.part(key.as_bytes());
            identity.part(cursor.since(start).as_bytes());
        }
        Ok::<_, Broken>(())
    })?;
    Ok(identity.id("sg"))
}

/// Text of RFC 3339, or a number of milliseconds since the epoch.
fn moment(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Text(text) => rfc3339_ms(text),
        Value::Number(digits) => digits.parse().ok(),
        _ => None,
    }
}

// === impl Sent ===

impl<'b> Sent<'b> {
    fn member(&mut self, cursor: &mut Cursor<'b>, key: &str) -> Result<(), Broken> {
        match key {
            "type" => self.kind = self.scalar(cursor, key)?,
            "messageId" => self.message_id = self.scalar(cursor, key)?,
            "event" => self.event = self.scalar(cursor, key)?,
            "name" => self.name = self.scalar(cursor, key)?,
            "category" => self.category = self.scalar(cursor, key)?,
            "userId" => self.user_id = self.scalar(cursor, key)?,
            "anonymousId" => self.anonymous_id = self.scalar(cursor, key)?,
            "previousId" => self.previous_id = self.scalar(cursor, key)?,
            "groupId" => self.group_id = self.scalar(cursor, key)?,
            "timestamp" => self.time_ms = self.time(cursor, key)?,
            "originalTimestamp" => self.original_time_ms = self.time(cursor, key)?,
            "sentAt" => self.sent_at_ms = moment(&cursor.value()?),
            "properties" => self.properties = self.properties(cursor)?,
            "traits" => self.traits = self.object(cursor, key)?,
            "context" => self.context.read(cursor)?,
            _ => cursor.skip()?,
        }
        Ok(())
    }

    fn wrong(&mut self, reason: Reason, key: &str, expected: &str, found: &str) {
        let detail = format!("{key}: expected {expected}, got {found}");
        self.wrong.get_or_insert((reason, detail));
    }

    /// A string, or a number as it was written: no digit is lost.
    fn scalar(&mut self, cursor: &mut Cursor<'b>, key: &str) -> Result<Text<'b>, Broken> {
        Ok(match cursor.value()? {
            Value::Text(text) => text,
            Value::Number(digits) => Cow::Borrowed(digits),
            Value::Null => Text::default(),
            other => {
                self.wrong(Reason::FieldInvalid, key, "a string", other.kind());
                Text::default()
            }
        })
    }

    fn time(&mut self, cursor: &mut Cursor<'b>, key: &str) -> Result<Option<i64>, Broken> {
        let value = cursor.value()?;
        let found = moment(&value);
        if found.is_none() && !matches!(&value, Value::Null) {
            let expected = "RFC 3339 with an offset, as in 2026-11-20T18:48:43.217Z";
            let found = match &value {
                Value::Text(_) => "another text",
                other => other.kind(),
            };
            self.wrong(Reason::TimeInvalid, key, expected, found);
        }
        Ok(found)
    }

    /// An object as its text; an empty one is none.
    fn object(&mut self, cursor: &mut Cursor<'b>, key: &str) -> Result<&'b str, Broken> {
        Ok(match cursor.value()? {
            Value::Object(object) => object,
            Value::Null => "",
            other => {
                self.wrong(Reason::PropertiesInvalid, key, "an object", other.kind());
                ""
            }
        })
    }

    fn properties(&mut self, cursor: &mut Cursor<'b>) -> Result<&'b str, Broken> {
        if cursor.peek() != Some(b'{') {
            return self.object(cursor, "properties");
        }
        let start = cursor.at();
        cursor.object(|cursor, key| {
            if key == "from_background" {
                self.from_background = cursor.value()? == Value::Bool(true);
                return Ok(());
            }
            self.place.read(cursor, key)
        })?;
        Ok(cursor.since(start))
    }
}
