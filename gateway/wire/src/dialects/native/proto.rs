//! `sluice.v1.Batch` → batch, borrowed from the bytes.
//!
//! Read here and not by generated types: those would make a struct of every
//! element before anyone could count them, so that a few megabytes of empty
//! events would take gigabytes. Field numbers are those of `sluice/v1/*.proto`;
//! unknown fields are passed over. Damage inside an event makes that event bad.

use sluice_event::batch::{Device, Page};
use sluice_event::limits::IDS_MAX;
use sluice_event::{Batch, Envelope, Event, EventType, Limits, Parsed, Reason, Refusal, Text};

use crate::dialects::{too_large, too_many_events};
use crate::protobuf::{Damaged, Field, Fields, Read};

/// The message that these bytes should be.
const MESSAGE: &str = "a sluice.v1.Batch";

/// Reads a batch.
pub fn decode<'b>(payload: &'b [u8], limits: &Limits) -> Result<Batch<'b>, Refusal> {
    let mut batch = Batch::default();
    let mut fields = Fields::new(payload);
    while let Some((number, field)) = fields.next().map_err(refuse)? {
        if number == 13 {
            if batch.events.len() == limits.batch_events_max {
                return Err(too_many_events(limits));
            }
            let bytes = field.bytes(number).map_err(refuse)?;
            batch.events.push(event(bytes, batch.events.len(), limits));
        } else {
            envelope(&mut batch.envelope, number, field).map_err(refuse)?;
        }
    }
    Ok(batch)
}

/// A batch's name, where it can be read; for answers to what was not decoded.
pub(crate) fn batch_id(payload: &[u8]) -> &str {
    let mut fields = Fields::new(payload);
    let mut found = "";
    while let Ok(Some((number, field))) = fields.next() {
        if let (10, Field::Bytes(bytes)) = (number, field) {
            found = std::str::from_utf8(bytes).unwrap_or_default();
        }
    }
    found
}

fn refuse(damaged: Damaged) -> Refusal {
    damaged.refuse(MESSAGE)
}

fn envelope<'b>(envelope: &mut Envelope<'b>, number: u32, field: Field<'b>) -> Read<()> {
    match number {
        1 => envelope.app_id = field.text(number)?,
        2 => envelope.platform = field.text(number)?,
        3 => envelope.host_app = field.text(number)?,
        4 => envelope.env = field.text(number)?,
        5 => envelope.app_version = field.text(number)?,
        6 => {
            let mut sdk = Fields::new(field.bytes(number)?);
            while let Some((inner, field)) = sdk.next()? {
                match inner {
                    1 => envelope.sdk_name = field.text(number)?,
                    2 => envelope.sdk_version = field.text(number)?,
                    _ => {}
                }
            }
        }
        7 => device(&mut envelope.device, field.bytes(number)?)?,
        8 => {
            let zigzag = field.varint(number)? as u32;
            envelope.tz_offset_min = (zigzag >> 1) as i32 ^ -((zigzag & 1) as i32);
        }
        9 => envelope.sent_at_ms = field.varint(number)? as i64,
        10 => envelope.batch_id = field.text(number)?,
        11 => envelope.attempt = field.varint(number)? as u32,
        12 => envelope.dropped = field.varint(number)?,
        _ => {}
    }
    Ok(())
}

fn device<'b>(device: &mut Device<'b>, bytes: &'b [u8]) -> Read<()> {
    let mut fields = Fields::new(bytes);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => device.model = field.text(7)?,
            2 => device.brand = field.text(7)?,
            3 => device.os = field.text(7)?,
            4 => device.os_version = field.text(7)?,
            5 => device.screen = field.text(7)?,
            6 => device.network = field.text(7)?,
            7 => device.lang = field.text(7)?,
            _ => {}
        }
    }
    Ok(())
}

fn event<'b>(bytes: &'b [u8], index: usize, limits: &Limits) -> Parsed<'b> {
    let mut event = Event { bytes: bytes.len(), ..Event::default() };
    let place = |rest: &str| format!("events[{index}]{rest}");
    let wrong = if bytes.len() > limits.event_bytes_max {
        Some((Reason::EventTooLarge, too_large(&place(""), bytes.len(), limits)))
    } else {
        match event_fields(&mut event, bytes) {
            Ok(None) => None,
            Ok(Some((reason, rest))) => Some((reason, place(&rest))),
            Err(Damaged(number)) => {
                let rest = format!(": damaged at field {number}; expected a sluice.v1.Event");
                Some((Reason::FieldInvalid, place(&rest)))
            }
        }
    };
    match wrong {
        Some((reason, detail)) => Parsed::Bad { id: event.id.into_owned(), reason, detail },
        None => Parsed::Event(event),
    }
}

fn event_fields<'b>(event: &mut Event<'b>, bytes: &'b [u8]) -> Read<Option<(Reason, String)>> {
    let mut wrong = None;
    let mut fields = Fields::new(bytes);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => event.id = field.text(number)?,
            2 => event.name = field.text(number)?,
            // proto3 cannot tell 0 from absent.
            3 => event.time_ms = Some(field.varint(number)? as i64).filter(|time| *time != 0),
            4 => event.device_id = field.text(number)?,
            5 => match i32::try_from(field.varint(number)?).map(EventType::try_from) {
                Ok(Ok(known)) => event.r#type = known,
                _ => wrong = Some((Reason::TypeUnknown, ".type: no such number".to_owned())),
            },
            6 => event.user_id = field.text(number)?,
            7 => {
                let (key, id) = entry(field.bytes(number)?)?;
                if let Some((_, known)) = event.ids.iter_mut().find(|(known, _)| *known == key) {
                    *known = id;
                } else if event.ids.len() < IDS_MAX {
                    event.ids.push((key, id));
                } else {
                    let what = format!(".ids: more than {IDS_MAX} entries");
                    wrong = Some((Reason::FieldInvalid, what));
                }
            }
            8 => event.session_id = field.text(number)?,
            9 => event.seq = field.varint(number)?,
            10 => page(event.page.get_or_insert_default(), field.bytes(number)?)?,
            11 => event.scene = field.text(number)?,
            12 => event.properties = field.bytes(number)?.into(),
            _ => {}
        }
    }
    Ok(wrong)
}

fn entry(bytes: &[u8]) -> Read<(Text<'_>, Text<'_>)> {
    let (mut key, mut value) = (Text::default(), Text::default());
    let mut fields = Fields::new(bytes);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => key = field.text(7)?,
            2 => value = field.text(7)?,
            _ => {}
        }
    }
    Ok((key, value))
}

fn page<'b>(page: &mut Page<'b>, bytes: &'b [u8]) -> Read<()> {
    let mut fields = Fields::new(bytes);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => page.path = field.text(10)?,
            2 => page.query = field.text(10)?,
            3 => page.title = field.text(10)?,
            4 => page.referrer = field.text(10)?,
            _ => {}
        }
    }
    Ok(())
}
