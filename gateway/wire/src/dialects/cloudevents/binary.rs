//! Binary mode: attributes in `ce-*` headers, the data in the body.
//!
//! Values are percent-encoded UTF-8 (HTTP binding 1.0.2, 3.1.3.2), in quotes
//! from some senders; raw UTF-8 is taken too. `Content-Type` is the data's own.
//! Data that says it is JSON is read as JSON; where it is plainly none (the
//! JavaScript SDK labels strings and bytes so), and of any other type, it is
//! text, or else bytes, kept in base64.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_TYPE;
use sluice_event::{Batch, Limits, Refusal};

use super::decode::{Data, Sent, add, new_batch};
use crate::dialects::members::quoted;
use crate::dialects::native::json::utf8;
use crate::head::Head;
use crate::json::{Cursor, Value};

/// What the headers of attributes begin with.
const PREFIX: &str = "ce-";
/// Attributes without which there is no event: one of them says that this is one.
const REQUIRED: [&str; 4] = ["ce-specversion", "ce-id", "ce-source", "ce-type"];

/// Whether the head has attributes.
pub(super) fn is_binary(head: &Head) -> bool {
    REQUIRED.iter().any(|name| head.parts.headers.contains_key(*name))
}

/// Reads the one event of a request.
pub(super) fn decode<'b>(
    head: &Head,
    payload: &'b [u8],
    limits: &Limits,
) -> Result<Batch<'b>, Refusal> {
    let mut sent = Sent::default();
    sent.bytes = payload.len();
    for (name, value) in &head.parts.headers {
        let Some(name) = name.as_str().strip_prefix(PREFIX) else { continue };
        sent.bytes += name.len() + value.len();
        let text = header_text(value.as_bytes());
        let raw = Cow::Owned(quoted(&text));
        sent.attribute(name, Value::Text(Cow::Owned(text)), raw);
    }
    if let Some(media) = head.header(&CONTENT_TYPE) {
        sent.data_content_type = Cow::Owned(media.to_owned());
    }
    sent.data = data(head.media_type(), payload)?;
    let mut batch = new_batch();
    add(&mut batch, sent, limits);
    Ok(batch)
}

/// Whether a media type is one of JSON; data without a type is.
pub(super) fn is_json(media: &str) -> bool {
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(media.as_str(), "" | "application/json" | "text/json") || media.ends_with("+json")
}

fn data<'b>(media: &str, payload: &'b [u8]) -> Result<Data<'b>, Refusal> {
    let plain = payload.trim_ascii();
    if plain.is_empty() {
        return Ok(Data::None);
    }
    if is_json(media) {
        match json(plain) {
            Ok(data) => return Ok(data),
            // Begun as JSON: cut off or broken, not something else.
            Err(refusal) if matches!(plain[0], b'{' | b'[' | b'"') => return Err(refusal),
            Err(_) => {}
        }
    }
    Ok(match std::str::from_utf8(payload) {
        Ok(text) => Data::Value(Cow::Owned(quoted(text))),
        Err(_) => Data::Base64(Cow::Owned(quoted(&STANDARD.encode(payload)))),
    })
}

fn json(text: &[u8]) -> Result<Data<'_>, Refusal> {
    let text = utf8(text)?;
    let mut cursor = Cursor::new(text);
    let value = cursor.value()?;
    cursor.end()?;
    Ok(match value {
        Value::Object(object) => Data::Members(object),
        Value::Null => Data::None,
        _ => Data::Value(Cow::Borrowed(text)),
    })
}

/// A header's value, decoded. Bytes that are not UTF-8 become U+FFFD; a broken
/// escape stands for itself.
fn header_text(value: &[u8]) -> String {
    let value = value.trim_ascii();
    let inside = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let mut out = Vec::with_capacity(value.len());
    let mut rest = inside.unwrap_or(value);
    while let [first, after @ ..] = rest {
        let escape = match (first, after) {
            (b'\\', [next, after @ ..]) if inside.is_some() => Some((*next, after)),
            (b'%', [high, low, after @ ..]) => hex(*high, *low).map(|byte| (byte, after)),
            _ => None,
        };
        let (byte, after) = escape.unwrap_or((*first, after));
        out.push(byte);
        rest = after;
    }
    match String::from_utf8(out) {
        Ok(text) => text,
        Err(wrong) => String::from_utf8_lossy(wrong.as_bytes()).into_owned(),
    }
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values() {
        for (value, expected) in [
            ("plain", "plain"),
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
            ("\"a \\\"b\\\" %25\"", "a \"b\" %"),
            ("100%", "100%"),
            ("%zz%4", "%zz%4"),
            ("你好", "你好"),
            ("%FF", "\u{FFFD}"),
            ("\"", "\""),
            ("", ""),
        ] {
            assert_eq!(header_text(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn data_by_its_type() {
        let found = |media: &str, payload: &'static [u8]| match data(media, payload) {
            Ok(Data::None) => "none".to_owned(),
            Ok(Data::Members(text)) => format!("members {text}"),
            Ok(Data::Value(text)) => format!("value {text}"),
            Ok(Data::Base64(text)) => format!("base64 {text}"),
            Err(refusal) => refusal.reason.to_string(),
        };
        assert_eq!(found("application/json", b" {\"a\":1} "), "members {\"a\":1}");
        assert_eq!(found("application/vnd.x+json", b"[1]"), "value [1]");
        assert_eq!(found("application/json", b"null"), "none");
        assert_eq!(found("", b""), "none");
        assert_eq!(found("application/json", b"{\"a\":"), "body_invalid");
        assert_eq!(found("application/json", b"hello"), "value \"hello\"");
        assert_eq!(found("application/json", b"\xff\x00"), "base64 \"/wA=\"");
        assert_eq!(found("application/json", b"{\xff}"), "body_invalid");
        assert_eq!(found("text/plain", b"{\"a\":1}"), "value \"{\\\"a\\\":1}\"");
        assert_eq!(found("application/octet-stream", b"\xff\x00"), "base64 \"/wA=\"");
    }
}
