//! The CloudEvents dialect: `POST /cloudevents`, version 1.0, by the HTTP
//! protocol binding (CloudEvents 1.0.2) in its three modes: structured
//! (`application/cloudevents+json`), batched (`application/cloudevents-batch+json`)
//! and binary (attributes in `ce-*` headers, the data in the body).
//!
//! The JSON itself says whether it is one event or a batch; `ce-*` headers say
//! that the mode is binary where the media type is no CloudEvents one. So JSON
//! that is labelled as no more than JSON is taken too.
//!
//! Clients of this protocol see a status and know of no partial success. Where
//! any event should come again the answer is 503 with `Retry-After`: what was
//! taken is a duplicate the second time. A single event that is rejected for
//! good is answered with its reason's status.

mod binary;
mod decode;
mod map;

use std::borrow::Cow;

use sluice_event::{Batch, Limits, Reason, Receipt, Refusal};

use super::{Action, Answer, Dialect, Route};
use crate::head::Head;
use crate::inflate::Inflater;
use crate::reply::{self, Manner};

/// The CloudEvents dialect.
#[derive(Debug, Clone, Copy)]
pub struct CloudEvents;

static ROUTES: [Route; 1] =
    [Route { path: "/cloudevents", methods: &["POST"], action: Action::Collect, cors: true }];

/// Where the attributes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// In the body: one event.
    Structured,
    /// In the body: a list of events.
    Batched,
    /// In the head.
    Binary,
}

// === impl Mode ===

impl Mode {
    /// `None`: of a media type that is not taken.
    fn of(head: &Head) -> Option<Self> {
        let media = head.media_type().to_ascii_lowercase();
        match media.as_str() {
            "application/cloudevents" | "application/cloudevents+json" => Some(Self::Structured),
            "application/cloudevents-batch" | "application/cloudevents-batch+json" => {
                Some(Self::Batched)
            }
            media if media.starts_with("application/cloudevents") => None,
            _ if binary::is_binary(head) => Some(Self::Binary),
            "" | "application/json" | "text/json" | "text/plain" => Some(Self::Structured),
            _ => None,
        }
    }
}

// === impl CloudEvents ===

impl Dialect for CloudEvents {
    fn kind(&self) -> sluice_event::Dialect {
        sluice_event::Dialect::CloudEvents
    }

    fn routes(&self) -> &'static [Route] {
        &ROUTES
    }

    fn check_head(&self, head: &Head) -> Result<(), Refusal> {
        if Mode::of(head).is_some() {
            return Ok(());
        }
        let detail = "Content-Type must be application/cloudevents+json or \
                      application/cloudevents-batch+json, or the attributes must be in ce- headers";
        Err(Refusal::new(Reason::ContentTypeUnsupported, detail))
    }

    fn unwrap<'b>(
        &self,
        _head: &Head,
        body: &'b [u8],
        _limits: &Limits,
        _inflater: &mut Inflater,
    ) -> Result<Cow<'b, [u8]>, Refusal> {
        Ok(Cow::Borrowed(body))
    }

    fn decode<'b>(
        &self,
        head: &Head,
        payload: &'b [u8],
        limits: &Limits,
    ) -> Result<Batch<'b>, Refusal> {
        match Mode::of(head) {
            Some(Mode::Binary) => binary::decode(head, payload, limits),
            _ => decode::decode(payload, limits),
        }
    }

    fn answer(&self, head: &Head, _id: &str, outcome: Result<&Receipt, &Refusal>) -> Answer {
        let lone = Mode::of(head) != Some(Mode::Batched);
        Answer::Reply(match outcome {
            Ok(receipt) => reply::receipt_in(receipt, Manner { whole: true, lone, success: false }),
            Err(refusal) => reply::refusal(refusal),
        })
    }
}

#[cfg(test)]
mod tests;
