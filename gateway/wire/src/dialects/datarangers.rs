//! The DataRangers dialect: `/list/`, `/profile/list` and `/webid/`, as the
//! unmodified SDK for mini programs speaks it (source and traffic of
//! `@datarangers/sdk-mp` 2.15.1).
//!
//! A body is a JSON list of packets, each with its own `header`, `user` and
//! `events`; the app stands in the first packet's `header.app_id` alone. The
//! media type says nothing: it is not looked at.
//!
//! That SDK keeps a batch that is first answered 500, 502, 503 or 504, but
//! forgets it once the second try is answered **at all**, whatever the status.
//! Only a broken connection makes it keep a batch every time. So, where
//! anything should be resent, there is no answer: the connection is closed.

mod decode;
mod header;
mod map;
mod web_id;

use std::borrow::Cow;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use sluice_event::reason::Class;
use sluice_event::{Batch, Limits, Outcome, Presented, Reason, Receipt, Refusal};

use super::{Action, Answer, Dialect, Route, native};
use crate::head::Head;
use crate::inflate::Inflater;
use crate::reply;

/// The DataRangers dialect.
#[derive(Debug, Clone, Copy)]
pub struct DataRangers;

const fn route(path: &'static str) -> Route {
    Route { path, methods: &["POST"], action: Action::Collect, cors: true }
}

/// The SDK sends `/list/` and `/profile/list`, its own monitor `/list`.
static ROUTES: [Route; 6] = [
    route("/list/"),
    route("/list"),
    route("/profile/list"),
    route("/profile/list/"),
    route("/webid/"),
    route("/webid"),
];

#[derive(Serialize)]
struct WebIdJson<'r> {
    e: u8,
    web_id: &'r str,
}

#[derive(Serialize)]
struct RejectedJson<'r> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    detail: &'r str,
}

#[derive(Serialize)]
struct ReceiptJson<'r> {
    e: u8,
    message: &'static str,
    accepted: u32,
    duplicates: u32,
    rejected: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    results: Vec<RejectedJson<'r>>,
    server_time: i64,
}

fn asks_web_id(head: &Head) -> bool {
    head.parts.uri.path().starts_with("/webid")
}

fn receipt_json(receipt: &Receipt) -> ReceiptJson<'_> {
    let rejected = receipt.results.iter().filter(|result| result.outcome == Outcome::Rejected);
    let results = rejected.map(|result| RejectedJson {
        index: result.index,
        reason: result.reason,
        detail: &result.detail,
    });
    ReceiptJson {
        e: 0,
        message: "success",
        accepted: receipt.accepted,
        duplicates: receipt.duplicates,
        rejected: receipt.rejected,
        results: results.collect(),
        server_time: receipt.server_time_ms,
    }
}

// === impl DataRangers ===

impl Dialect for DataRangers {
    fn kind(&self) -> sluice_event::Dialect {
        sluice_event::Dialect::DataRangers
    }

    fn routes(&self) -> &'static [Route] {
        &ROUTES
    }

    fn names_app_in_body(&self) -> bool {
        true
    }

    fn presented_in_body<'h>(&self, head: &'h Head, body: &'h [u8]) -> Presented<'h> {
        Presented { datarangers_app_id: web_id::app_id(body), ..head.presented() }
    }

    /// With `enable_encrypt` the SDK hides all of the body, the app with it, and says so in
    /// the query or, for SM2, in the media type.
    fn check_head(&self, head: &Head) -> Result<(), Refusal> {
        let media = head.header(&CONTENT_TYPE).unwrap_or_default();
        let hidden = ["encryption", "hex"].iter().any(|key| head.query(key) == Some("1"));
        if hidden || media.contains("tt-data=") {
            let detail = "encrypted requests cannot be read; set the SDK's enable_encrypt to false";
            return Err(Refusal::new(Reason::EventUnsupported, detail));
        }
        Ok(())
    }

    fn unwrap<'b>(
        &self,
        _head: &Head,
        body: &'b [u8],
        _limits: &Limits,
        _inflater: &mut Inflater,
    ) -> Result<Cow<'b, [u8]>, Refusal> {
        native::once_more(body)
    }

    fn decode<'b>(
        &self,
        head: &Head,
        payload: &'b [u8],
        limits: &Limits,
    ) -> Result<Batch<'b>, Refusal> {
        if asks_web_id(head) { web_id::decode(payload) } else { decode::decode(payload, limits) }
    }

    fn answer(&self, head: &Head, batch_id: &str, outcome: Result<&Receipt, &Refusal>) -> Answer {
        match outcome {
            Ok(receipt) if receipt.retry > 0 => Answer::HangUp,
            Err(refusal) if refusal.reason.class() == Class::Passing => Answer::HangUp,
            Err(refusal) => Answer::Reply(reply::refusal(refusal)),
            Ok(_) if asks_web_id(head) => {
                Answer::Reply(reply::json(StatusCode::OK, &WebIdJson { e: 0, web_id: batch_id }))
            }
            Ok(receipt) => Answer::Reply(reply::json(StatusCode::OK, &receipt_json(receipt))),
        }
    }
}
