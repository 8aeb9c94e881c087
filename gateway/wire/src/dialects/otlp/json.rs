//! `ExportLogsServiceRequest` in JSON → batch.
//!
//! protobuf's JSON mapping with OTLP's own rules: keys in lowerCamelCase, ids in
//! hex, enums as numbers, unknown keys passed over; 64-bit integers as strings
//! or numbers, `null` as absent. Read in one walk: a resource or a scope that
//! comes after its records makes those be passed over and read then. A wrong
//! type inside a record makes that event bad, one around it refuses the request.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use sluice_event::{Batch, Limits, Reason, Refusal, Text};

use super::any::{Any, DEPTH_MAX, Pairs, Record, Scope, Wrong, too_deep};
use super::gather::{Gather, Shared};
use crate::dialects::native::json::utf8;
use crate::dialects::too_large;
use crate::json::{self, Broken, Cursor, Value};

/// Padding or none.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Integers beyond this are not exact in a double.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Why something inside a record, a resource or a scope could not be read.
enum Fault {
    Broken(Broken),
    Wrong(Wrong),
}

type Read<T> = Result<T, Fault>;

/// Reads a request.
pub(super) fn decode<'b>(payload: &'b [u8], limits: &Limits) -> Result<Batch<'b>, Refusal> {
    let mut cursor = at(utf8(payload)?);
    let mut gather = Gather::new(limits);
    let mut seen = Once::default();
    object(&mut cursor, "the body", |cursor, key| match key {
        "resourceLogs" => {
            seen.note("resourceLogs")?;
            elements(cursor, "resourceLogs", |cursor| resource_logs(&mut gather, cursor))
        }
        _ => Ok(cursor.skip()?),
    })?;
    cursor.end()?;
    Ok(gather.finish())
}

fn resource_logs<'b>(gather: &mut Gather<'b, '_>, cursor: &mut Cursor<'b>) -> Result<(), Refusal> {
    let (mut resource, mut passed_over, mut seen) = (None, None, Once::default());
    let limits = gather.limits();
    object(cursor, "resourceLogs", |cursor, key| {
        match key {
            "resource" => {
                seen.note("resource")?;
                resource = Some(Shared::resource(read_resource(cursor.value()?, limits)?));
            }
            "scopeLogs" => {
                seen.note("scopeLogs")?;
                match &mut resource {
                    Some(resource) => all_scope_logs(gather, resource, cursor)?,
                    None => {
                        passed_over = Some(*cursor);
                        cursor.skip()?;
                    }
                }
            }
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    let Some(mut cursor) = passed_over else { return Ok(()) };
    let mut resource = resource.unwrap_or_else(|| Shared::resource(Ok(Pairs::new())));
    all_scope_logs(gather, &mut resource, &mut cursor)
}

fn read_resource<'b>(
    value: Value<'b>,
    limits: &Limits,
) -> Result<Result<Pairs<'b>, Wrong>, Refusal> {
    shared(value, limits, "resource", |pairs: &mut Pairs<'b>, cursor, key| {
        if key != "attributes" {
            return Ok(cursor.skip()?);
        }
        *pairs = self::pairs(cursor, "attributes", 0)?;
        Ok(())
    })
}

fn all_scope_logs<'b>(
    gather: &mut Gather<'b, '_>,
    resource: &mut Shared<'b>,
    cursor: &mut Cursor<'b>,
) -> Result<(), Refusal> {
    elements(cursor, "scopeLogs", |cursor| scope_logs(gather, resource, cursor))
}

fn scope_logs<'b>(
    gather: &mut Gather<'b, '_>,
    resource: &mut Shared<'b>,
    cursor: &mut Cursor<'b>,
) -> Result<(), Refusal> {
    let (mut scope, mut passed_over, mut seen) = (None, None, Once::default());
    let limits = gather.limits();
    object(cursor, "scopeLogs", |cursor, key| {
        match key {
            "scope" => {
                seen.note("scope")?;
                scope = Some(Shared::scope(read_scope(cursor.value()?, limits)?));
            }
            "logRecords" => {
                seen.note("logRecords")?;
                match &scope {
                    Some(scope) => records(gather, resource, scope, cursor)?,
                    None => {
                        passed_over = Some(*cursor);
                        cursor.skip()?;
                    }
                }
            }
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    let Some(mut cursor) = passed_over else { return Ok(()) };
    let scope = scope.unwrap_or_else(|| Shared::scope(Ok(Scope::default())));
    records(gather, resource, &scope, &mut cursor)
}

fn read_scope<'b>(value: Value<'b>, limits: &Limits) -> Result<Result<Scope<'b>, Wrong>, Refusal> {
    shared(value, limits, "scope", |scope: &mut Scope<'b>, cursor, key| {
        match key {
            "name" => scope.name = text(cursor, "scope.name")?,
            "version" => scope.version = text(cursor, "scope.version")?,
            "attributes" => scope.attributes = pairs(cursor, "scope.attributes", 0)?,
            _ => cursor.skip()?,
        }
        Ok(())
    })
}

fn records<'b>(
    gather: &mut Gather<'b, '_>,
    resource: &mut Shared<'b>,
    scope: &Shared<'b>,
    cursor: &mut Cursor<'b>,
) -> Result<(), Refusal> {
    elements(cursor, "logRecords", |cursor| {
        if cursor.peek() != Some(b'{') {
            let value = cursor.value()?;
            if gather.takes(0)? {
                gather.bad(expected("record", "an object", &value));
            }
            return Ok(());
        }
        let begin = *cursor;
        let read = match record(cursor) {
            Ok(record) => Ok(record),
            Err(Fault::Broken(broken)) => return Err(broken.refuse()),
            Err(Fault::Wrong(wrong)) => {
                // Reading ended somewhere within.
                *cursor = begin;
                cursor.skip()?;
                Err(wrong)
            }
        };
        let bytes = cursor.at() - begin.at();
        if gather.takes(bytes)? {
            gather.add(resource, scope, read, bytes)?;
        }
        Ok(())
    })
}

/// A cursor that goes deep enough for values within records.
fn at(text: &str) -> Cursor<'_> {
    Cursor::with_depth(text, json::DEPTH_MAX)
}

fn expected(place: &str, expected: &str, found: &Value<'_>) -> Wrong {
    (Reason::FieldInvalid, format!("{place}: expected {expected}, got {}", found.kind()))
}

fn refuse(place: &str, what: &str, found: &Value<'_>) -> Refusal {
    let (_, detail) = expected(place, what, found);
    Refusal::new(Reason::BodyInvalid, detail)
}

/// Keys of an object that may not stand twice: which one counts would be a guess.
#[derive(Default)]
struct Once(Vec<&'static str>);

/// Calls `each` with every key of an object; it takes the value.
fn object<'b>(
    cursor: &mut Cursor<'b>,
    place: &str,
    each: impl FnMut(&mut Cursor<'b>, &str) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    match cursor.peek() {
        Some(b'{') => cursor.object(each),
        _ => Err(refuse(place, "an object", &cursor.value()?)),
    }
}

/// Calls `each` at every element of an array, or of none; it takes the element.
fn elements<'b>(
    cursor: &mut Cursor<'b>,
    place: &str,
    mut each: impl FnMut(&mut Cursor<'b>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    if cursor.peek() == Some(b'[') {
        return cursor.array(|cursor| each(cursor).map(|()| true)).map(|_| ());
    }
    match cursor.value()? {
        Value::Null => Ok(()),
        other => Err(refuse(place, "an array", &other)),
    }
}

/// What records share, if it can be read and is no larger than an event.
fn shared<'b, T: Default>(
    value: Value<'b>,
    limits: &Limits,
    place: &str,
    mut read: impl FnMut(&mut T, &mut Cursor<'b>, &str) -> Read<()>,
) -> Result<Result<T, Wrong>, Refusal> {
    let mut found = T::default();
    let written = match value {
        Value::Null => return Ok(Ok(found)),
        Value::Object(written) => written,
        other => return Err(refuse(place, "an object", &other)),
    };
    if written.len() > limits.event_bytes_max {
        let detail = too_large(place, written.len(), limits);
        return Ok(Err((Reason::EventTooLarge, detail)));
    }
    match at(written).object(|cursor, key| read(&mut found, cursor, key)) {
        Ok(()) => Ok(Ok(found)),
        Err(Fault::Wrong(wrong)) => Ok(Err(wrong)),
        Err(Fault::Broken(broken)) => Err(broken.refuse()),
    }
}

fn record<'b>(cursor: &mut Cursor<'b>) -> Read<Record<'b>> {
    let mut record = Record::default();
    cursor.object(|cursor, key| {
        match key {
            "timeUnixNano" => record.time_ns = integer(cursor, key, Reason::TimeInvalid)?,
            "observedTimeUnixNano" => {
                record.observed_ns = integer(cursor, key, Reason::TimeInvalid)?;
            }
            "severityNumber" => record.severity = integer(cursor, key, Reason::FieldInvalid)?,
            "severityText" => record.severity_text = text(cursor, key)?,
            "eventName" => record.event_name = text(cursor, key)?,
            "body" => record.body = any(cursor, key, 0)?,
            "attributes" => record.attributes = pairs(cursor, key, 0)?,
            "flags" => record.flags = integer(cursor, key, Reason::FieldInvalid)?,
            "traceId" => record.trace_id = hex(&text(cursor, key)?, key)?.into(),
            "spanId" => record.span_id = hex(&text(cursor, key)?, key)?.into(),
            _ => cursor.skip()?,
        }
        Ok::<_, Fault>(())
    })?;
    Ok(record)
}

fn pairs<'b>(cursor: &mut Cursor<'b>, place: &str, depth: usize) -> Read<Pairs<'b>> {
    let mut pairs = Pairs::new();
    if cursor.peek() != Some(b'[') {
        return match cursor.value()? {
            Value::Null => Ok(pairs),
            other => Err(expected(place, "an array", &other).into()),
        };
    }
    cursor.array(|cursor| {
        if cursor.peek() != Some(b'{') {
            return Err(expected(place, "objects with key and value", &cursor.value()?).into());
        }
        let (mut name, mut value) = (Text::default(), Any::Empty);
        cursor.object(|cursor, key| {
            match key {
                "key" => name = text(cursor, place)?,
                "value" => value = any(cursor, place, depth)?,
                _ => cursor.skip()?,
            }
            Ok::<_, Fault>(())
        })?;
        pairs.push((name, value));
        Ok::<_, Fault>(true)
    })?;
    Ok(pairs)
}

/// A value that lies in `depth` lists and maps.
fn any<'b>(cursor: &mut Cursor<'b>, place: &str, depth: usize) -> Read<Any<'b>> {
    let mut found = Any::Empty;
    if cursor.peek() != Some(b'{') {
        return match cursor.value()? {
            Value::Null => Ok(found),
            other => Err(expected(place, "an object such as {\"intValue\": 1}", &other).into()),
        };
    }
    cursor.object(|cursor, key| {
        found = match key {
            "stringValue" => Any::Text(text(cursor, place)?),
            "boolValue" => match cursor.value()? {
                Value::Bool(truth) => Any::Bool(truth),
                Value::Null => return Ok(()),
                other => return Err(expected(place, "a boolean", &other).into()),
            },
            "intValue" => Any::Int(integer(cursor, place, Reason::FieldInvalid)?),
            "doubleValue" => Any::Double(double(cursor, place)?),
            "bytesValue" => Any::Bytes(bytes(&text(cursor, place)?, place)?.into()),
            "arrayValue" | "kvlistValue" => container(cursor, place, key, depth + 1)?,
            _ => return Ok(cursor.skip()?),
        };
        Ok::<_, Fault>(())
    })?;
    Ok(found)
}

fn container<'b>(cursor: &mut Cursor<'b>, place: &str, kind: &str, depth: usize) -> Read<Any<'b>> {
    if depth > DEPTH_MAX {
        return Err(too_deep().into());
    }
    let is_list = kind == "arrayValue";
    let (mut list, mut map) = (Vec::new(), Pairs::new());
    if cursor.peek() != Some(b'{') {
        return Err(expected(place, "an object with values", &cursor.value()?).into());
    }
    cursor.object(|cursor, key| {
        if key != "values" {
            return Ok::<_, Fault>(cursor.skip()?);
        }
        if !is_list {
            map = pairs(cursor, place, depth)?;
        } else if cursor.peek() == Some(b'[') {
            cursor.array(|cursor| {
                list.push(any(cursor, place, depth)?);
                Ok::<_, Fault>(true)
            })?;
        } else {
            match cursor.value()? {
                Value::Null => {}
                other => return Err(expected(place, "an array", &other).into()),
            }
        }
        Ok(())
    })?;
    Ok(if is_list { Any::List(list) } else { Any::Map(map) })
}

fn text<'b>(cursor: &mut Cursor<'b>, place: &str) -> Read<Text<'b>> {
    match cursor.value()? {
        Value::Text(text) => Ok(text),
        Value::Null => Ok(Text::default()),
        other => Err(expected(place, "a string", &other).into()),
    }
}

/// An integer, in quotes or without; `null` is 0.
fn integer<N>(cursor: &mut Cursor<'_>, place: &str, reason: Reason) -> Read<N>
where
    N: TryFrom<i128> + Default,
{
    let written = match cursor.value()? {
        Value::Null => return Ok(N::default()),
        Value::Number(digits) => Cow::Borrowed(digits),
        Value::Text(digits) => digits,
        other => return Err(expected(place, "an integer", &other).into()),
    };
    let whole = || {
        // As the mapping allows: 1e3 and 5.0 are integers.
        let number = written.parse::<f64>().ok()?;
        (number.fract() == 0.0 && number.abs() <= EXACT_MAX).then_some(number as i128)
    };
    let number = written.parse::<i128>().ok().or_else(whole).and_then(|n| N::try_from(n).ok());
    number.ok_or_else(|| {
        let detail = format!("{place}: expected an integer in range, as a number or a string");
        Fault::Wrong((reason, detail))
    })
}

fn double(cursor: &mut Cursor<'_>, place: &str) -> Read<f64> {
    let written = match cursor.value()? {
        Value::Null => return Ok(0.0),
        Value::Number(digits) => Cow::Borrowed(digits),
        Value::Text(digits) => digits,
        other => return Err(expected(place, "a number", &other).into()),
    };
    written.parse().map_err(|_| {
        let detail = format!("{place}: expected a number, NaN, Infinity or -Infinity");
        Fault::Wrong((Reason::FieldInvalid, detail))
    })
}

/// Base64 in either alphabet.
fn bytes(written: &str, place: &str) -> Read<Vec<u8>> {
    let standard = written.replace('-', "+").replace('_', "/");
    BASE64.decode(standard).map_err(|wrong| {
        Fault::Wrong((Reason::FieldInvalid, format!("{place}: is not base64: {wrong}")))
    })
}

fn hex(written: &str, place: &str) -> Read<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    let bytes = written.as_bytes().chunks(2).map(pair).collect::<Option<Vec<u8>>>();
    bytes.ok_or_else(|| Fault::Wrong((Reason::FieldInvalid, format!("{place}: is not hex"))))
}

// === impl Once ===

impl Once {
    fn note(&mut self, key: &'static str) -> Result<(), Refusal> {
        if self.0.contains(&key) {
            let detail = format!("{key}: stands twice in one object; send it once");
            return Err(Refusal::new(Reason::BodyInvalid, detail));
        }
        self.0.push(key);
        Ok(())
    }
}

// === impl Fault ===

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<Wrong> for Fault {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}
