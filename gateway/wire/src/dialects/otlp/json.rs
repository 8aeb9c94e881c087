//! `ExportLogsServiceRequest` in JSON → batch.
//!
//! protobuf's JSON mapping with OTLP's own rules: keys in lowerCamelCase, ids in
//! hex, enums as numbers, unknown keys passed over; 64-bit integers as strings
//! or numbers, `null` as absent. A resource may come after its records, so each
//! object's members are found first and read then. A wrong type inside a record
//! makes that event bad, one around it refuses the request.

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
    let value = cursor.value()?;
    cursor.end()?;
    let [resource_logs] = members(value, "the body", ["resourceLogs"])?;
    elements(resource_logs, "resourceLogs", |value| {
        let keys = ["resource", "scopeLogs"];
        let [resource, scope_logs] = members(value, "resourceLogs", keys)?;
        let read = shared(resource, limits, "resource", |pairs: &mut Pairs<'b>, cursor, key| {
            if key != "attributes" {
                return Ok(cursor.skip()?);
            }
            *pairs = self::pairs(cursor, "attributes", 0)?;
            Ok(())
        })?;
        let mut resource = Shared::resource(read);
        elements(scope_logs, "scopeLogs", |value| {
            self::scope_logs(&mut gather, &mut resource, value)
        })
    })?;
    Ok(gather.finish())
}

fn scope_logs<'b>(
    gather: &mut Gather<'b, '_>,
    resource: &mut Shared<'b>,
    value: Value<'b>,
) -> Result<(), Refusal> {
    let [scope, records] = members(value, "scopeLogs", ["scope", "logRecords"])?;
    let read = shared(scope, gather.limits(), "scope", |scope: &mut Scope<'b>, cursor, key| {
        match key {
            "name" => scope.name = text(cursor, "scope.name")?,
            "version" => scope.version = text(cursor, "scope.version")?,
            "attributes" => scope.attributes = pairs(cursor, "scope.attributes", 0)?,
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    let scope = Shared::scope(read);
    elements(records, "logRecords", |value| {
        let Value::Object(written) = value else {
            if gather.takes(0)? {
                gather.bad(expected("record", "an object", &value));
            }
            return Ok(());
        };
        if !gather.takes(written.len())? {
            return Ok(());
        }
        let read = match record(written) {
            Ok(record) => Ok(record),
            Err(Fault::Wrong(wrong)) => Err(wrong),
            Err(Fault::Broken(broken)) => return Err(broken.refuse()),
        };
        gather.add(resource, &scope, read, written.len())
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

/// The wanted members of an object that need be; absent ones are null.
fn members<'b, const N: usize>(
    object: Value<'b>,
    place: &str,
    keys: [&str; N],
) -> Result<[Value<'b>; N], Refusal> {
    let mut found = [const { Value::Null }; N];
    let Value::Object(written) = object else {
        return Err(refuse(place, "an object", &object));
    };
    at(written).object(|cursor, key| {
        let value = cursor.value()?;
        if let Some(index) = keys.iter().position(|wanted| *wanted == key) {
            found[index] = value;
        }
        Ok::<_, Broken>(())
    })?;
    Ok(found)
}

/// Calls `each` with every element of an array, or of none.
fn elements<'b>(
    array: Value<'b>,
    place: &str,
    mut each: impl FnMut(Value<'b>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    match array {
        Value::Null => Ok(()),
        Value::Array(written) => at(written)
            .array(|cursor| {
                each(cursor.value()?)?;
                Ok::<_, Refusal>(true)
            })
            .map(|_| ()),
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

fn record(written: &str) -> Read<Record<'_>> {
    let mut record = Record::default();
    at(written).object(|cursor, key| {
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
