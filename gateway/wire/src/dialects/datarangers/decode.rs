//! Packets → batch.
//!
//! Identity: the SDK gives no event id, so it is composed from what a retry
//! does not change: `(app_id, device, session_id, event, local_time_ms, params)`,
//! the device being the web id or what stands in its place. Of `params` the
//! members count as sent, less those that the SDK adds at sending (see
//! [`map`]): events from before its start are sent twice, composed anew.
//!
//! The envelope is the first packet's; later ones fill what it leaves empty.
//! Only packets of profiles say when they were sent (`local_time`, seconds).

use std::borrow::Cow;

use sluice_event::{Batch, Limits, Parsed, Reason, Refusal, Text};

use super::header::{Header, User, scalar};
use super::map;
use crate::dialects::identity::Identity;
use crate::dialects::native::json::utf8;
use crate::dialects::{too_large, too_many_events};
use crate::json::{Broken, Cursor, Value};

/// One event as sent.
#[derive(Debug, Default)]
pub(super) struct Sent<'b> {
    pub name: Text<'b>,
    pub session_id: Text<'b>,
    pub time_ms: Option<i64>,
    /// JSON text of an object, or empty; not yet looked into.
    pub params: Cow<'b, str>,
    pub bytes: usize,
    /// The reason, and what follows the event's place in its detail.
    pub wrong: Option<(Reason, String)>,
}

/// One packet as sent.
#[derive(Default)]
struct Packet<'b> {
    header: Header<'b>,
    user: User<'b>,
    events: Vec<Sent<'b>>,
    sent_at_s: i64,
}

/// A body in the making.
struct Body<'b, 'l> {
    batch: Batch<'b>,
    limits: &'l Limits,
    /// Of the first packet that names one.
    app_id: Text<'b>,
    packets: usize,
}

/// Reads a list of packets, or a single one.
pub(super) fn decode<'b>(payload: &'b [u8], limits: &Limits) -> Result<Batch<'b>, Refusal> {
    let mut cursor = Cursor::new(utf8(payload)?);
    let mut body = Body { batch: Batch::default(), limits, app_id: Text::default(), packets: 0 };
    match cursor.peek() {
        Some(b'{') => body.packet(&mut cursor)?,
        Some(b'[') => {
            cursor.array(|cursor| body.packet(cursor).map(|()| true))?;
        }
        _ => {
            let found = cursor.value()?.kind();
            let detail = format!("expected a JSON list of packets, got {found}");
            return Err(Refusal::new(Reason::BodyInvalid, detail));
        }
    }
    cursor.end()?;
    Ok(body.batch)
}

// === impl Body ===

impl<'b> Body<'b, '_> {
    fn packet(&mut self, cursor: &mut Cursor<'b>) -> Result<(), Refusal> {
        let place = self.packets;
        self.packets += 1;
        if cursor.peek() != Some(b'{') {
            let found = cursor.value()?.kind();
            let detail = format!("[{place}]: expected a packet (an object), got {found}");
            return Err(Refusal::new(Reason::BodyInvalid, detail));
        }
        let mut packet = Packet::default();
        cursor.object(|cursor, key| {
            match key {
                "header" => packet.header.read(cursor)?,
                "user" => packet.user.read(cursor)?,
                "local_time" => {
                    if let Value::Number(digits) = cursor.value()? {
                        packet.sent_at_s = digits.parse().unwrap_or(0);
                    }
                }
                "events" => self.events(cursor, &mut packet.events, place)?,
                _ => cursor.skip()?,
            }
            Ok::<_, Refusal>(())
        })?;
        self.take(packet, place);
        Ok(())
    }

    fn events(
        &self,
        cursor: &mut Cursor<'b>,
        events: &mut Vec<Sent<'b>>,
        place: usize,
    ) -> Result<(), Refusal> {
        if cursor.peek() != Some(b'[') {
            let found = cursor.value()?.kind();
            let detail = format!("[{place}].events: expected an array, got {found}");
            return Err(Refusal::new(Reason::BodyInvalid, detail));
        }
        let room = self.limits.batch_events_max - self.batch.events.len();
        let all = cursor.array(|cursor| {
            if events.len() >= room {
                return Ok(false);
            }
            events.push(Sent::read(cursor)?);
            Ok::<_, Broken>(true)
        })?;
        if all { Ok(()) } else { Err(too_many_events(self.limits)) }
    }

    fn take(&mut self, packet: Packet<'b>, place: usize) {
        let Packet { header, user, events, sent_at_s } = packet;
        if self.app_id.is_empty() {
            self.app_id.clone_from(&header.app_id);
        }
        let foreign = !header.app_id.is_empty() && header.app_id != self.app_id;
        if !foreign {
            header.fill(&mut self.batch.envelope);
            let sent_at_ms = &mut self.batch.envelope.sent_at_ms;
            if *sent_at_ms == 0 {
                *sent_at_ms = sent_at_s.saturating_mul(1_000);
            }
        }
        for (index, mut sent) in events.into_iter().enumerate() {
            let (id, picked) = identify(&header.app_id, &user, &sent);
            let bytes = sent.bytes;
            let at = format_args!("[{place}].events[{index}]");
            let bad = |reason, detail| Parsed::Bad { id: id.clone(), reason, detail };
            let parsed = if foreign {
                let detail =
                    format!("[{place}].header.app_id: all packets of a request must be of one app");
                bad(Reason::AppMismatch, detail)
            } else if bytes > self.limits.event_bytes_max {
                bad(Reason::EventTooLarge, too_large(&at.to_string(), bytes, self.limits))
            } else if let Some((reason, detail)) = sent.wrong.take() {
                bad(reason, format!("{at}{detail}"))
            } else {
                let event = picked
                    .map_err(|broken| (Reason::PropertiesInvalid, params_broken(&broken)))
                    .and_then(|picked| map::event(sent, picked, &user, &header, &id));
                match event {
                    Ok(event) => Parsed::Event(event),
                    Err((reason, detail)) => bad(reason, format!("{at}{detail}")),
                }
            };
            self.batch.events.push(parsed);
        }
    }
}

/// The event's id, and what the walk over its params brought.
fn identify(
    app_id: &str,
    user: &User<'_>,
    sent: &Sent<'_>,
) -> (String, Result<map::Picked, Broken>) {
    let mut identity = Identity::new();
    for text in [app_id, user.device_id(), &sent.session_id, &sent.name] {
        identity.part(text.as_bytes());
    }
    identity.part(&sent.time_ms.unwrap_or(0).to_le_bytes());
    let picked = map::Picked::read(&sent.params, &mut identity);
    if picked.is_err() {
        identity.part(sent.params.as_bytes());
    }
    (identity.id("dr"), picked)
}

fn params_broken(broken: &Broken) -> String {
    let Broken { at, what, too_deep, .. } = broken;
    if *too_deep {
        return format!(".params: nested too deeply at byte {at}; flatten it");
    }
    format!(".params: not the JSON text of an object at byte {at}: expected {what}")
}

// === impl Sent ===

impl<'b> Sent<'b> {
    fn read(cursor: &mut Cursor<'b>) -> Result<Self, Broken> {
        let mut sent = Self::default();
        if cursor.peek() != Some(b'{') {
            let found = cursor.value()?.kind();
            sent.wrong(Reason::FieldInvalid, format!(": expected an object, got {found}"));
            return Ok(sent);
        }
        let start = cursor.at();
        cursor.object(|cursor, key| sent.field(cursor, key))?;
        sent.bytes = cursor.at() - start;
        Ok(sent)
    }

    fn field(&mut self, cursor: &mut Cursor<'b>, key: &str) -> Result<(), Broken> {
        match key {
            "event" => self.name = self.text(cursor, "event", Reason::NameInvalid)?,
            "session_id" => {
                self.session_id = self.text(cursor, "session_id", Reason::FieldInvalid)?;
            }
            "local_time_ms" => match cursor.value()? {
                Value::Number(digits) if digits.parse::<i64>().is_ok() => {
                    self.time_ms = digits.parse().ok();
                }
                Value::Null => {}
                other => {
                    let found = other.kind();
                    let detail =
                        format!(".local_time_ms: expected integer milliseconds, got {found}");
                    self.wrong(Reason::TimeInvalid, detail);
                }
            },
            "params" => self.params(cursor)?,
            _ => cursor.skip()?,
        }
        Ok(())
    }

    /// Text of an object; some hosts encode it once more, some apps not at all.
    fn params(&mut self, cursor: &mut Cursor<'b>) -> Result<(), Broken> {
        self.params = match cursor.value()? {
            Value::Text(text) if text.trim_start().starts_with('"') => {
                let mut inner = Cursor::new(&text);
                inner.peek();
                let once_less = inner.text().map(Cow::into_owned);
                once_less.map(Cow::Owned).unwrap_or(text)
            }
            Value::Text(text) => text,
            Value::Object(text) => Cow::Borrowed(text),
            Value::Null => Text::default(),
            other => {
                let detail = format!(".params: expected JSON text, got {}", other.kind());
                self.wrong(Reason::PropertiesInvalid, detail);
                Text::default()
            }
        };
        Ok(())
    }

    fn text(
        &mut self,
        cursor: &mut Cursor<'b>,
        place: &str,
        reason: Reason,
    ) -> Result<Text<'b>, Broken> {
        let text = scalar(cursor)?;
        if text.is_none() {
            self.wrong(reason, format!(".{place}: expected a string"));
        }
        Ok(text.unwrap_or_default())
    }

    fn wrong(&mut self, reason: Reason, detail: String) {
        self.wrong.get_or_insert((reason, detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(body: &str) -> Batch<'_> {
        decode(body.as_bytes(), &Limits::default()).unwrap_or_else(|why| panic!("{body}: {why}"))
    }

    fn refused(body: &str) -> Reason {
        decode(body.as_bytes(), &Limits::default()).expect_err(body).reason
    }

    fn reasons(batch: &Batch<'_>) -> Vec<Option<Reason>> {
        let reason = |parsed: &Parsed<'_>| match parsed {
            Parsed::Event(_) => None,
            Parsed::Bad { reason, .. } => Some(*reason),
        };
        batch.events.iter().map(reason).collect()
    }

    #[test]
    fn a_packet_of_another_app_is_refused_and_no_other() {
        let batch = decoded(
            r#"[{"events":[{"event":"a"}],"header":{"app_id":1}},
                {"events":[{"event":"a"}],"header":{"app_id":2,"app_version":"9"}},
                {"events":[{"event":"a"}],"header":{"app_id":"1","app_version":"1"}},
                {"events":[{"event":"b"}]}]"#,
        );
        assert_eq!(reasons(&batch), [None, Some(Reason::AppMismatch), None, None]);
        assert_eq!(batch.envelope.app_version, "1");
    }

    #[test]
    fn what_is_wrong_with_one_event_is_its_alone() {
        let batch = decoded(
            r#"{"events":[7, {"event":"a","params":"{"}, {"event":"a","params":3},
                {"event":"a","params":"[]"}, {"event":["a"]}, {"event":"a","local_time_ms":1.5},
                {"event":"__profile_increment","params":"{}"},
                {"event":"a","params":"\"{\\\"k\\\":1}\""}, {"event":"a","params":{"k":1}},
                {"event":"a","params":null}, {"event":"a","params":""}]}"#,
        );
        let expected = [
            Some(Reason::FieldInvalid),
            Some(Reason::PropertiesInvalid),
            Some(Reason::PropertiesInvalid),
            Some(Reason::PropertiesInvalid),
            Some(Reason::NameInvalid),
            Some(Reason::TimeInvalid),
            Some(Reason::EventUnsupported),
            None,
            None,
            None,
            None,
        ];
        assert_eq!(reasons(&batch), expected);
        let Parsed::Event(event) = &batch.events[7] else { panic!("{:?}", batch.events[7]) };
        assert_eq!(*event.properties, *b"{\"k\":1}");
    }

    #[test]
    fn events_are_counted_over_all_packets() {
        let packet = |count: usize| format!("{{\"events\":[{}]}}", vec!["{}"; count].join(","));
        let fits = format!("[{},{},{}]", packet(250), packet(250), packet(0));
        assert_eq!(decoded(&fits).events.len(), 500);
        let over = format!("[{},{}]", packet(250), packet(251));
        assert_eq!(refused(&over), Reason::TooManyEvents);
    }

    #[test]
    fn large_events_and_no_batches() {
        let large = format!("{{\"events\":[{{\"params\":\"{}\"}}]}}", "x".repeat(70_000));
        assert_eq!(reasons(&decoded(&large)), [Some(Reason::EventTooLarge)]);
        for body in ["", "7", "[7]", "[{}", "[{}]]", "[{\"events\":7}]"] {
            assert_eq!(refused(body), Reason::BodyInvalid, "{body}");
        }
        assert!(decoded("[]").events.is_empty() && decoded("[{}]").events.is_empty());
    }
}
