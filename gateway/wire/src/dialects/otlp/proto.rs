//! `ExportLogsServiceRequest` in protobuf → batch, borrowed from the bytes.
//!
//! Field numbers are those of OTLP 1.9; unknown fields are passed over. Damage
//! inside a record makes that event bad, damage around it refuses the request.
//! A resource may come after its records: each message is walked twice, first
//! for what its records share.

use std::borrow::Cow;

use sluice_event::{Batch, Limits, Reason, Refusal, Text};

use super::any::{Any, DEPTH_MAX, Pairs, Record, Scope, Wrong, too_deep};
use super::gather::{Gather, Shared};
use crate::dialects::too_large;
use crate::protobuf::{Damaged, Field, Fields};

/// Why a message could not be read.
enum Fault {
    Damaged(Damaged),
    Wrong(Wrong),
}

type Read<T> = Result<T, Fault>;

/// Reads a request.
pub(super) fn decode<'b>(payload: &'b [u8], limits: &Limits) -> Result<Batch<'b>, Refusal> {
    let mut gather = Gather::new(limits);
    messages(payload, 1, |message| resource_logs(&mut gather, message))?;
    Ok(gather.finish())
}

fn refuse(damaged: Damaged) -> Refusal {
    damaged.refuse("an ExportLogsServiceRequest")
}

/// Calls `each` with every message in a field of that number.
fn messages<'b>(
    message: &'b [u8],
    wanted: u32,
    mut each: impl FnMut(&'b [u8]) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut fields = Fields::new(message);
    while let Some((number, field)) = fields.next().map_err(refuse)? {
        if number == wanted {
            each(field.bytes(number).map_err(refuse)?)?;
        }
    }
    Ok(())
}

/// What records share, if it can be read and is no larger than an event.
fn shared<'b, T: Default>(
    message: &'b [u8],
    limits: &Limits,
    place: &str,
    mut read: impl FnMut(&mut T, &'b [u8]) -> Read<()>,
) -> Result<Result<T, Wrong>, Refusal> {
    let mut found = T::default();
    let mut wrong = None;
    messages(message, 1, |message| {
        if message.len() > limits.event_bytes_max {
            wrong = Some((Reason::EventTooLarge, too_large(place, message.len(), limits)));
            return Ok(());
        }
        match read(&mut found, message) {
            Ok(()) => Ok(()),
            Err(Fault::Damaged(damaged)) => Err(refuse(damaged)),
            Err(Fault::Wrong(first)) => {
                wrong.get_or_insert(first);
                Ok(())
            }
        }
    })?;
    Ok(wrong.map_or(Ok(found), Err))
}

fn resource_logs<'b>(gather: &mut Gather<'b, '_>, message: &'b [u8]) -> Result<(), Refusal> {
    let read = shared(message, gather.limits(), "resource", |pairs: &mut Pairs<'b>, message| {
        let mut fields = Fields::new(message);
        while let Some((number, field)) = fields.next()? {
            if number == 1 {
                pairs.push(pair(field.bytes(number)?, 0)?);
            }
        }
        Ok(())
    })?;
    let mut resource = Shared::resource(read);
    messages(message, 2, |message| scope_logs(gather, &mut resource, message))
}

fn scope_logs<'b>(
    gather: &mut Gather<'b, '_>,
    resource: &mut Shared<'b>,
    message: &'b [u8],
) -> Result<(), Refusal> {
    let read = shared(message, gather.limits(), "scope", |scope: &mut Scope<'b>, message| {
        let mut fields = Fields::new(message);
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => scope.name = field.text(number)?,
                2 => scope.version = field.text(number)?,
                3 => scope.attributes.push(pair(field.bytes(number)?, 0)?),
                _ => {}
            }
        }
        Ok(())
    })?;
    let scope = Shared::scope(read);
    messages(message, 2, |message| {
        if !gather.takes(message.len())? {
            return Ok(());
        }
        let read = record(message).map_err(|fault| match fault {
            Fault::Wrong(wrong) => wrong,
            Fault::Damaged(Damaged(number)) => {
                let detail = format!("record: damaged at field {number}; expected a LogRecord");
                (Reason::FieldInvalid, detail)
            }
        });
        gather.add(resource, &scope, read, message.len())
    })
}

fn record(message: &[u8]) -> Read<Record<'_>> {
    let mut record = Record::default();
    let mut fields = Fields::new(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => record.time_ns = field.fixed64(number)?,
            2 => record.severity = field.varint(number)? as i32,
            3 => record.severity_text = field.text(number)?,
            5 => record.body = any(field.bytes(number)?, 0)?,
            6 => record.attributes.push(pair(field.bytes(number)?, 0)?),
            8 => record.flags = field.fixed32(number)?,
            9 => record.trace_id = Cow::Borrowed(field.bytes(number)?),
            10 => record.span_id = Cow::Borrowed(field.bytes(number)?),
            11 => record.observed_ns = field.fixed64(number)?,
            12 => record.event_name = field.text(number)?,
            _ => {}
        }
    }
    Ok(record)
}

fn pair(message: &[u8], depth: usize) -> Read<(Text<'_>, Any<'_>)> {
    let (mut name, mut value) = (Text::default(), Any::Empty);
    let mut fields = Fields::new(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => name = field.text(number)?,
            2 => value = any(field.bytes(number)?, depth)?,
            _ => {}
        }
    }
    Ok((name, value))
}

/// A value that lies in `depth` lists and maps. Of several, the last counts.
fn any(message: &[u8], depth: usize) -> Read<Any<'_>> {
    let mut value = Any::Empty;
    let mut fields = Fields::new(message);
    while let Some((number, field)) = fields.next()? {
        value = match number {
            1 => Any::Text(field.text(number)?),
            2 => Any::Bool(field.varint(number)? != 0),
            3 => Any::Int(field.varint(number)? as i64),
            4 => Any::Double(f64::from_bits(field.fixed64(number)?)),
            5 | 6 => container(number, field, depth + 1)?,
            7 => Any::Bytes(Cow::Borrowed(field.bytes(number)?)),
            _ => continue,
        };
    }
    Ok(value)
}

fn container<'b>(number: u32, field: Field<'b>, depth: usize) -> Read<Any<'b>> {
    if depth > DEPTH_MAX {
        return Err(Fault::Wrong(too_deep()));
    }
    let (mut values, mut pairs) = (Vec::new(), Pairs::new());
    let mut fields = Fields::new(field.bytes(number)?);
    while let Some((inner, field)) = fields.next()? {
        match (inner, number) {
            (1, 5) => values.push(any(field.bytes(inner)?, depth)?),
            (1, _) => pairs.push(pair(field.bytes(inner)?, depth)?),
            _ => {}
        }
    }
    Ok(if number == 5 { Any::List(values) } else { Any::Map(pairs) })
}

// === impl Fault ===

impl From<Damaged> for Fault {
    fn from(damaged: Damaged) -> Self {
        Self::Damaged(damaged)
    }
}
