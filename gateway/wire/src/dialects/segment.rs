//! The Segment dialect: the Segment HTTP Tracking API as the unmodified SDKs of
//! Segment and RudderStack speak it (measured with `@segment/analytics-node`
//! 3.1, `@rudderstack/rudder-sdk-node` 3.0 and `segment-analytics-python` 2.4).
//!
//! `POST /v1/batch` (`/v1/import`) takes `{"batch": [...], "sentAt"}`; the single
//! calls (`/v1/track`, `/v1/t` …) take one message. The key is the user of
//! `Authorization: Basic`, with an empty password.
//!
//! No label of the body is believed: the media type is not looked at, and gzip
//! is told by its first bytes, whether `Content-Encoding` says so or not.
//!
//! These SDKs see a status and resend whole batches. Where any message should
//! come again the answer is 503 with `Retry-After`: what was taken is a
//! duplicate the second time. Final answers say `"success": true`.

mod context;
mod decode;
mod map;

use std::borrow::Cow;

use sluice_event::{Batch, Limits, Presented, Receipt, Refusal};

use super::{Action, Answer, Dialect, Route};
use crate::head::Head;
use crate::inflate::{Encoding, Inflater};
use crate::reply::{self, Manner};

/// The Segment dialect.
#[derive(Debug, Clone, Copy)]
pub struct Segment;

const fn route(path: &'static str) -> Route {
    Route { path, methods: &["POST"], action: Action::Collect, cors: true }
}

static ROUTES: [Route; 14] = [
    route("/v1/batch"),
    route("/v1/import"),
    route("/v1/track"),
    route("/v1/page"),
    route("/v1/screen"),
    route("/v1/identify"),
    route("/v1/group"),
    route("/v1/alias"),
    route("/v1/t"),
    route("/v1/p"),
    route("/v1/s"),
    route("/v1/i"),
    route("/v1/g"),
    route("/v1/a"),
];

/// What a call says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Track,
    Page,
    Screen,
    Identify,
    Group,
    Alias,
}

// === impl Call ===

impl Call {
    /// By the last part of a path, or by the `type` of a message.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "track" | "t" => Self::Track,
            "page" | "p" => Self::Page,
            "screen" | "s" => Self::Screen,
            "identify" | "i" => Self::Identify,
            "group" | "g" => Self::Group,
            "alias" | "a" => Self::Alias,
            _ => return None,
        })
    }

    /// The one call that a path is for; `None` for batches.
    fn of(head: &Head) -> Option<Self> {
        head.parts.uri.path().rsplit('/').next().and_then(Self::named)
    }
}

// === impl Segment ===

impl Dialect for Segment {
    fn kind(&self) -> sluice_event::Dialect {
        sluice_event::Dialect::Segment
    }

    fn routes(&self) -> &'static [Route] {
        &ROUTES
    }

    fn presented<'h>(&self, head: &'h Head) -> Presented<'h> {
        let ours = head.presented();
        Presented { key: head.basic_user.as_deref().or(ours.key), ..ours }
    }

    fn check_head(&self, _head: &Head) -> Result<(), Refusal> {
        Ok(())
    }

    fn encoding(&self, head: &Head) -> Result<Encoding, Refusal> {
        // Whether it is gzip is seen when it is there.
        let named = Encoding::of(&head.parts.headers)?;
        Ok(if named == Encoding::Gzip { Encoding::Identity } else { named })
    }

    fn unwrap<'b>(
        &self,
        _head: &Head,
        body: &'b [u8],
        limits: &Limits,
        inflater: &mut Inflater,
    ) -> Result<Cow<'b, [u8]>, Refusal> {
        if !body.starts_with(&[0x1f, 0x8b]) {
            return Ok(Cow::Borrowed(body));
        }
        let mut inflated = Vec::new();
        inflater.inflate(Encoding::Gzip, body, &mut inflated, limits.inflated_bytes_max)?;
        Ok(Cow::Owned(inflated))
    }

    fn decode<'b>(
        &self,
        head: &Head,
        payload: &'b [u8],
        limits: &Limits,
    ) -> Result<Batch<'b>, Refusal> {
        match Call::of(head) {
            Some(call) => decode::single(call, payload, limits),
            None => decode::batch(payload, limits),
        }
    }

    fn answer(&self, head: &Head, _id: &str, outcome: Result<&Receipt, &Refusal>) -> Answer {
        let lone = Call::of(head).is_some();
        Answer::Reply(match outcome {
            Ok(receipt) => reply::receipt_in(receipt, Manner { whole: true, lone, success: true }),
            Err(refusal) => reply::refusal(refusal),
        })
    }
}

#[cfg(test)]
mod tests;
