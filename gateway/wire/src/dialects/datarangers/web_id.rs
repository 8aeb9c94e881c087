//! `/webid/`: a device id on request; and whose app a body names.
//!
//! The web id travels as the batch id of an empty batch. It is 19 decimal
//! digits, below 2^63, as the vendor's are; the SDK treats it as text.

use std::borrow::Cow;

use sluice_event::{Batch, Envelope, Reason, Refusal, Text};
use xxhash_rust::xxh3::xxh3_64;

use super::header::scalar;
use crate::dialects::identity::Identity;
use crate::dialects::native::json::utf8;
use crate::json::{Broken, Cursor};

/// The least number of 19 digits.
const FIRST: u64 = 1_000_000_000_000_000_000;
/// So many follow it, all below 2^63.
const SPAN: u64 = 8_000_000_000_000_000_000;

const _: () = assert!(FIRST + SPAN < 1 << 63);

/// The app that a body names: the first packet's `header.app_id`, or `app_id`
/// of a request for a web id. The walk ends there: nothing is checked but that.
pub(super) fn app_id(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    match named(text)? {
        Cow::Borrowed(id) => Some(id),
        // In a body that was encoded twice the digits stand as they are.
        Cow::Owned(id) => text.find(&id).map(|at| &text[at..at + id.len()]),
    }
}

fn named(text: &str) -> Option<Text<'_>> {
    let mut cursor = Cursor::new(text);
    let mut id = Text::default();
    match cursor.peek()? {
        b'"' => {
            let inner = cursor.text().ok()?;
            // An inner string would be encoded a third time: nobody does that.
            let is_string = inner.trim_start().starts_with('"');
            return if is_string { None } else { named(&inner).map(|id| id.into_owned().into()) };
        }
        b'{' => in_packet(&mut cursor, &mut id).ok(),
        b'[' => {
            let first = cursor.array(|cursor| {
                in_packet(cursor, &mut id)?;
                Ok::<_, Broken>(false)
            });
            first.map(|_| ()).ok()
        }
        _ => None,
    };
    Some(id).filter(|id| !id.is_empty())
}

fn in_packet<'b>(cursor: &mut Cursor<'b>, id: &mut Text<'b>) -> Result<(), Broken> {
    cursor.object(|cursor, key| {
        match key {
            "app_id" => *id = scalar(cursor)?.unwrap_or_default(),
            "header" if cursor.peek() == Some(b'{') => cursor.object(|cursor, key| {
                match key {
                    "app_id" => *id = scalar(cursor)?.unwrap_or_default(),
                    _ => cursor.skip()?,
                }
                Ok::<_, Broken>(())
            })?,
            _ => cursor.skip()?,
        }
        Ok(())
    })
}

/// Reads a request for a web id; no events, and the web id as batch id.
pub(super) fn decode<'b>(payload: &'b [u8]) -> Result<Batch<'b>, Refusal> {
    let mut cursor = Cursor::new(utf8(payload)?);
    if cursor.peek() != Some(b'{') {
        let found = cursor.value()?.kind();
        let detail = format!("expected an object with app_id and user_unique_id, got {found}");
        return Err(Refusal::new(Reason::BodyInvalid, detail));
    }
    let (mut app_id, mut user) = (Text::default(), Text::default());
    cursor.object(|cursor, key| {
        match key {
            "app_id" => app_id = scalar(cursor)?.unwrap_or_default(),
            "user_unique_id" => user = scalar(cursor)?.unwrap_or_default(),
            _ => cursor.skip()?,
        }
        Ok::<_, Broken>(())
    })?;
    cursor.end()?;
    let batch_id = Cow::Owned(web_id(&app_id, &user));
    Ok(Batch { envelope: Envelope { batch_id, ..Envelope::default() }, events: Vec::new() })
}

/// The same for the same user of an app, else a new one.
fn web_id(app_id: &str, user: &str) -> String {
    let bits = if user.is_empty() {
        xxh3_64(uuid::Uuid::now_v7().as_bytes())
    } else {
        let mut identity = Identity::new();
        for part in ["web_id", app_id, user] {
            identity.part(part.as_bytes());
        }
        identity.hash() as u64
    };
    (FIRST + bits % SPAN).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(body: &str) -> String {
        decode(body.as_bytes()).expect(body).envelope.batch_id.into_owned()
    }

    #[test]
    fn the_app_is_found_and_nothing_else_is_taken_for_it() {
        for (body, expected) in [
            (r#"{"app_id":10001,"user_unique_id":""}"#, Some("10001")),
            (r#"[{"events":[{"app_id":7}],"header":{"x":1,"app_id":10001}}]"#, Some("10001")),
            (r#"{"header":{"app_id":"10001"}}"#, Some("10001")),
            (r#"[{"header":{"app_id":1}},{"header":{"app_id":2}}]"#, Some("1")),
            (r#"[{"header":{"app_id":1},"events":[{"#, Some("1")),
            (r#""[{\"header\":{\"app_id\":10001}}]""#, Some("10001")),
            (r#"[{"events":[],"header":{"app"#, None),
            (r#"[{"header":{"app_id":null}}]"#, None),
            (r#"[{"header":{"custom":{"app_id":3}}}]"#, None),
            ("[]", None),
            ("\"\\\"x\\\"\"", None),
            ("", None),
        ] {
            assert_eq!(app_id(body.as_bytes()), expected, "{body}");
        }
        assert_eq!(app_id(b"\xff"), None);
    }

    #[test]
    fn web_ids_have_19_digits_and_are_the_same_for_the_same_user() {
        let nobody = r#"{"app_id":10001,"user_unique_id":""}"#;
        let somebody = r#"{"app_id":10001,"user_unique_id":"user-42"}"#;
        for id in [given(nobody), given(somebody)] {
            assert_eq!(id.len(), 19, "{id}");
            assert!(id.parse::<i64>().is_ok(), "{id}");
        }
        assert_ne!(given(nobody), given(nobody));
        assert_eq!(given(somebody), given(somebody));
        assert_ne!(given(somebody), given(&somebody.replace("42", "43")));
        assert_ne!(given(somebody), given(&somebody.replace("10001", "10002")));
    }
}
