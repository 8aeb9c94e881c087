//! The native dialect: `POST /v1/events` in JSON or protobuf, its dry run, and
//! the SDK settings.
//!
//! JSON is taken as `application/json` (any parameters, or none), as
//! `text/plain` and without a type, as host apps send what they like; also a
//! JSON string that holds the JSON, as some host apps encode twice.

pub mod json;
pub mod proto;

use std::borrow::Cow;

use sluice_event::{Batch, Limits, Reason, Receipt, Refusal};

use super::{Action, Answer, Dialect, Route};
use crate::head::Head;
use crate::inflate::Inflater;
use crate::json::Cursor;
use crate::reply;

/// The native dialect.
#[derive(Debug, Clone, Copy)]
pub struct Native;

static ROUTES: [Route; 3] = [
    Route { path: "/v1/events", methods: &["POST"], action: Action::Collect, cors: true },
    Route { path: "/v1/debug/validate", methods: &["POST"], action: Action::Validate, cors: true },
    Route { path: "/v1/config", methods: &["GET"], action: Action::SdkConfig, cors: true },
];

/// What `curl -d` says of any body.
const FORM: &str = "application/x-www-form-urlencoded";

/// The two forms of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Protobuf,
}

// === impl Form ===

impl Form {
    fn of(head: &Head) -> Option<Self> {
        let media = head.media_type();
        let is = |known: &str| media.eq_ignore_ascii_case(known);
        // Some host apps and `curl -d` label JSON as text or as a form: the path decides
        // (GW-BODY-1).
        let lenient = ["application/json", "text/plain", "text/json", FORM];
        if media.is_empty() || lenient.into_iter().any(is) {
            return Some(Self::Json);
        }
        (is("application/x-protobuf") || is("application/protobuf")).then_some(Self::Protobuf)
    }
}

// === impl Native ===

impl Dialect for Native {
    fn kind(&self) -> sluice_event::Dialect {
        sluice_event::Dialect::Native
    }

    fn routes(&self) -> &'static [Route] {
        &ROUTES
    }

    fn check_head(&self, head: &Head) -> Result<(), Refusal> {
        if Form::of(head).is_some() {
            return Ok(());
        }
        let detail = "Content-Type must be application/json or application/x-protobuf";
        Err(Refusal::new(Reason::ContentTypeUnsupported, detail))
    }

    fn unwrap<'b>(
        &self,
        head: &Head,
        body: &'b [u8],
        _limits: &Limits,
        _inflater: &mut Inflater,
    ) -> Result<Cow<'b, [u8]>, Refusal> {
        if Form::of(head) == Some(Form::Json) {
            return once_more(body);
        }
        Ok(Cow::Borrowed(body))
    }

    fn decode<'b>(
        &self,
        head: &Head,
        payload: &'b [u8],
        limits: &Limits,
    ) -> Result<Batch<'b>, Refusal> {
        match Form::of(head) {
            Some(Form::Protobuf) => proto::decode(payload, limits),
            _ => json::decode(payload, limits),
        }
    }

    fn answer(&self, _head: &Head, _id: &str, outcome: Result<&Receipt, &Refusal>) -> Answer {
        Answer::Reply(match outcome {
            Ok(receipt) => reply::receipt(receipt),
            Err(refusal) => reply::refusal(refusal),
        })
    }
}

/// Takes one string's quotes and escapes off, where the body is a JSON string.
pub(super) fn once_more(body: &[u8]) -> Result<Cow<'_, [u8]>, Refusal> {
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'"') {
        return Ok(Cow::Borrowed(body));
    }
    let mut cursor = Cursor::new(json::utf8(body)?);
    cursor.peek();
    let inner = cursor.text()?;
    cursor.end()?;
    Ok(match inner {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}
