//! Native JSON → batch, in one walk over the text.
//!
//! Text is borrowed from the body unless it has escapes; `properties` stays raw,
//! and is judged in the same walk. Unknown fields are passed over, `null` is the
//! same as absent (GW-BODY-5), and of a key that stands twice the last counts. A wrong type
//! in an event makes that event bad; a wrong type in the envelope, or broken
//! JSON anywhere, refuses the batch.

use std::str::FromStr;

use sluice_event::limits::IDS_MAX;
use sluice_event::properties::Properties;
use sluice_event::{Batch, Event, EventType, Limits, Parsed, Reason, Refusal, Text};

use crate::dialects::{too_large, too_many_events};
use crate::json::{Broken, Cursor, Value};

/// The names of the event types.
pub(crate) const TYPES: [(&str, EventType); 8] = [
    ("track", EventType::Track),
    ("user_set", EventType::UserSet),
    ("user_set_once", EventType::UserSetOnce),
    ("user_unset", EventType::UserUnset),
    ("alias", EventType::Alias),
    ("error", EventType::Error),
    ("perf", EventType::Perf),
    ("request", EventType::Request),
];

/// What an event takes, about, for room made ahead.
const EVENT_BYTES_USUAL: usize = 400;

/// An event in the making, and the first thing that was wrong with it.
struct Draft<'e, 'b> {
    event: &'e mut Event<'b>,
    wrong: Option<(Reason, String)>,
}

/// Checks that a body is UTF-8.
pub(crate) fn utf8(body: &[u8]) -> Result<&str, Refusal> {
    simdutf8::compat::from_utf8(body).map_err(|wrong| {
        let at = wrong.valid_up_to();
        Refusal::new(Reason::BodyInvalid, format!("not UTF-8 at byte {at}"))
    })
}

/// Reads a batch.
pub fn decode<'b>(payload: &'b [u8], limits: &Limits) -> Result<Batch<'b>, Refusal> {
    let mut cursor = Cursor::new(utf8(payload)?);
    let mut batch = Batch::default();
    let mut has_events = false;
    if cursor.peek() != Some(b'{') {
        let found = cursor.value()?.kind();
        let detail = format!("expected a batch (a JSON object), got {found}");
        return Err(Refusal::new(Reason::BodyInvalid, detail));
    }
    cursor.object(|cursor, key| {
        let envelope = &mut batch.envelope;
        match key {
            "events" => {
                has_events = true;
                batch.events = events(cursor, limits)?;
            }
            "app_id" => envelope.app_id = text(cursor, key)?,
            "platform" => envelope.platform = text(cursor, key)?,
            "host_app" => envelope.host_app = text(cursor, key)?,
            "env" => envelope.env = text(cursor, key)?,
            "app_version" => envelope.app_version = text(cursor, key)?,
            "batch_id" => envelope.batch_id = text(cursor, key)?,
            "tz_offset_min" => envelope.tz_offset_min = integer(cursor, key)?,
            "sent_at" => envelope.sent_at_ms = integer(cursor, key)?,
            "attempt" => envelope.attempt = integer(cursor, key)?,
            "dropped" => envelope.dropped = integer(cursor, key)?,
            "sdk" => within(cursor, key, |cursor, field| {
                match field {
                    "name" => envelope.sdk_name = text(cursor, "sdk.name")?,
                    "version" => envelope.sdk_version = text(cursor, "sdk.version")?,
                    _ => cursor.skip()?,
                }
                Ok(())
            })?,
            "device" => within(cursor, key, |cursor, field| {
                let device = &mut envelope.device;
                match field {
                    "model" => device.model = text(cursor, "device.model")?,
                    "brand" => device.brand = text(cursor, "device.brand")?,
                    "os" => device.os = text(cursor, "device.os")?,
                    "os_version" => device.os_version = text(cursor, "device.os_version")?,
                    "screen" => device.screen = text(cursor, "device.screen")?,
                    "network" => device.network = text(cursor, "device.network")?,
                    "lang" => device.lang = text(cursor, "device.lang")?,
                    _ => cursor.skip()?,
                }
                Ok(())
            })?,
            _ => cursor.skip()?,
        }
        Ok::<_, Refusal>(())
    })?;
    cursor.end()?;
    if !has_events {
        return Err(Refusal::new(Reason::BodyInvalid, "events: missing; expected an array"));
    }
    Ok(batch)
}

fn wrong_type(place: &str, expected: &str, found: &str) -> Refusal {
    Refusal::new(Reason::BodyInvalid, format!("{place}: expected {expected}, got {found}"))
}

/// A text field of the envelope.
fn text<'b>(cursor: &mut Cursor<'b>, place: &str) -> Result<Text<'b>, Refusal> {
    match cursor.value()? {
        Value::Text(text) => Ok(text),
        Value::Null => Ok(Text::default()),
        other => Err(wrong_type(place, "a string", other.kind())),
    }
}

/// An integer field of the envelope.
fn integer<N: FromStr + Default>(cursor: &mut Cursor<'_>, place: &str) -> Result<N, Refusal> {
    let expected = "an integer in range";
    match cursor.value()? {
        Value::Number(digits) => digits.parse().map_err(|_| wrong_type(place, expected, digits)),
        Value::Null => Ok(N::default()),
        other => Err(wrong_type(place, expected, other.kind())),
    }
}

/// An object field of the envelope.
fn within<'b, F>(cursor: &mut Cursor<'b>, place: &str, each: F) -> Result<(), Refusal>
where
    F: FnMut(&mut Cursor<'b>, &str) -> Result<(), Refusal>,
{
    if cursor.peek() == Some(b'{') {
        return cursor.object(each);
    }
    match cursor.value()? {
        Value::Null => Ok(()),
        other => Err(wrong_type(place, "an object", other.kind())),
    }
}

fn events<'b>(cursor: &mut Cursor<'b>, limits: &Limits) -> Result<Vec<Parsed<'b>>, Refusal> {
    if cursor.peek() != Some(b'[') {
        return Err(wrong_type("events", "an array", cursor.value()?.kind()));
    }
    let room = cursor.rest().len() / EVENT_BYTES_USUAL + 1;
    let mut events = Vec::with_capacity(room.min(limits.batch_events_max));
    let all = cursor.array(|cursor| {
        let index = events.len();
        if index == limits.batch_events_max {
            return Ok(false);
        }
        // Filled where it lies: to move it costs as much as to read it.
        events.push(Parsed::Event(Event::default()));
        if let Some(Parsed::Event(draft)) = events.last_mut()
            && let Some(bad) = event(cursor, draft, index, limits)?
        {
            events[index] = bad;
        }
        Ok::<_, Broken>(true)
    })?;
    if all { Ok(events) } else { Err(too_many_events(limits)) }
}

/// Reads an event; says where it is bad.
fn event<'b>(
    cursor: &mut Cursor<'b>,
    event: &mut Event<'b>,
    index: usize,
    limits: &Limits,
) -> Result<Option<Parsed<'b>>, Broken> {
    if cursor.peek() != Some(b'{') {
        let found = cursor.value()?.kind();
        let detail = format!("events[{index}]: expected an object, got {found}");
        let (id, reason) = (String::new(), Reason::FieldInvalid);
        return Ok(Some(Parsed::Bad { id, reason, detail }));
    }
    let start = cursor.at();
    let mut draft = Draft { event, wrong: None };
    cursor.object(|cursor, key| draft.field(cursor, key, index))?;
    let Draft { event, mut wrong } = draft;
    event.bytes = cursor.at() - start;
    if event.bytes > limits.event_bytes_max {
        let detail = too_large(&format!("events[{index}]"), event.bytes, limits);
        wrong = Some((Reason::EventTooLarge, detail));
    }
    let id = |event: &mut Event<'b>| std::mem::take(&mut event.id).into_owned();
    Ok(wrong.map(|(reason, detail)| Parsed::Bad { id: id(event), reason, detail }))
}

// === impl Draft ===

impl<'b> Draft<'_, 'b> {
    fn field(&mut self, cursor: &mut Cursor<'b>, key: &str, index: usize) -> Result<(), Broken> {
        use Reason::FieldInvalid;
        match key {
            "id" => self.event.id = self.text(cursor, index, key, Reason::IdInvalid)?,
            "name" => self.event.name = self.text(cursor, index, key, Reason::NameInvalid)?,
            "time" => self.event.time_ms = self.integer(cursor, index, key, Reason::TimeInvalid)?,
            "device_id" => self.event.device_id = self.text(cursor, index, key, FieldInvalid)?,
            "type" => {
                let name = self.text(cursor, index, key, Reason::TypeUnknown)?;
                self.event.r#type = self.event_type(index, &name);
            }
            "user_id" => self.event.user_id = self.text(cursor, index, key, FieldInvalid)?,
            "session_id" => self.event.session_id = self.text(cursor, index, key, FieldInvalid)?,
            "seq" => {
                self.event.seq = self.integer(cursor, index, key, FieldInvalid)?.unwrap_or(0);
            }
            "scene" => self.event.scene = self.text(cursor, index, key, FieldInvalid)?,
            "ids" => self.ids(cursor, index)?,
            "page" => self.page(cursor, index)?,
            "properties" => self.properties(cursor, index)?,
            _ => cursor.skip()?,
        }
        Ok(())
    }

    /// Keeps the first thing that is wrong.
    fn wrong(&mut self, reason: Reason, index: usize, place: &str, what: &str) {
        if self.wrong.is_none() {
            self.wrong = Some((reason, format!("events[{index}].{place}: {what}")));
        }
    }

    #[inline]
    fn text(
        &mut self,
        cursor: &mut Cursor<'b>,
        index: usize,
        place: &str,
        reason: Reason,
    ) -> Result<Text<'b>, Broken> {
        if cursor.peek() == Some(b'"') {
            return cursor.text();
        }
        match cursor.value()? {
            Value::Null => {}
            other => {
                let what = format!("expected a string, got {}", other.kind());
                self.wrong(reason, index, place, &what);
            }
        }
        Ok(Text::default())
    }

    fn integer<N: FromStr>(
        &mut self,
        cursor: &mut Cursor<'b>,
        index: usize,
        place: &str,
        reason: Reason,
    ) -> Result<Option<N>, Broken> {
        let found = match cursor.value()? {
            Value::Null => return Ok(None),
            Value::Number(digits) => match digits.parse() {
                Ok(number) => return Ok(Some(number)),
                Err(_) => "a number that is no integer, or out of range",
            },
            other => other.kind(),
        };
        self.wrong(reason, index, place, &format!("expected an integer, got {found}"));
        Ok(None)
    }

    fn event_type(&mut self, index: usize, name: &str) -> EventType {
        if name.is_empty() {
            return EventType::Track;
        }
        match TYPES.iter().find(|(known, _)| *known == name) {
            Some((_, found)) => *found,
            None => {
                let known = TYPES.map(|(known, _)| known).join(", ");
                self.wrong(Reason::TypeUnknown, index, "type", &format!("must be one of {known}"));
                EventType::Track
            }
        }
    }

    fn ids(&mut self, cursor: &mut Cursor<'b>, index: usize) -> Result<(), Broken> {
        self.event.ids.clear();
        if cursor.peek() != Some(b'{') {
            return self.not_an_object(cursor, index, "ids", Reason::FieldInvalid);
        }
        cursor.object(|cursor, key| {
            let id = self.text(cursor, index, "ids", Reason::FieldInvalid)?;
            let ids = &mut self.event.ids;
            if let Some((_, known)) = ids.iter_mut().find(|(known, _)| *known == key) {
                *known = id;
            } else if ids.len() < IDS_MAX {
                ids.push((Text::Owned(key.to_owned()), id));
            } else {
                let what = format!("more than {IDS_MAX} entries");
                self.wrong(Reason::FieldInvalid, index, "ids", &what);
            }
            Ok(())
        })
    }

    fn page(&mut self, cursor: &mut Cursor<'b>, index: usize) -> Result<(), Broken> {
        self.event.page = None;
        if cursor.peek() != Some(b'{') {
            return self.not_an_object(cursor, index, "page", Reason::FieldInvalid);
        }
        let mut page = sluice_event::batch::Page::default();
        cursor.object(|cursor, key| {
            let reason = Reason::FieldInvalid;
            match key {
                "path" => page.path = self.text(cursor, index, "page.path", reason)?,
                "query" => page.query = self.text(cursor, index, "page.query", reason)?,
                "title" => page.title = self.text(cursor, index, "page.title", reason)?,
                "referrer" => page.referrer = self.text(cursor, index, "page.referrer", reason)?,
                _ => cursor.skip()?,
            }
            Ok::<_, Broken>(())
        })?;
        self.event.page = Some(page);
        Ok(())
    }

    fn properties(&mut self, cursor: &mut Cursor<'b>, index: usize) -> Result<(), Broken> {
        self.event.properties = Properties::default();
        if cursor.peek() != Some(b'{') {
            return self.not_an_object(cursor, index, "properties", Reason::PropertiesInvalid);
        }
        self.event.properties = match Properties::leading(cursor.rest()) {
            Some(properties) => {
                cursor.pass(properties.len());
                properties
            }
            // What is wrong with them is told later, as of those of any dialect.
            None => Properties::from(cursor.raw_object()?.as_bytes()),
        };
        Ok(())
    }

    fn not_an_object(
        &mut self,
        cursor: &mut Cursor<'b>,
        index: usize,
        place: &str,
        reason: Reason,
    ) -> Result<(), Broken> {
        match cursor.value()? {
            Value::Null => {}
            other => {
                let what = format!("expected an object, got {}", other.kind());
                self.wrong(reason, index, place, &what);
            }
        }
        Ok(())
    }
}
