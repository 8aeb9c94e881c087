//! OpenTelemetry logs (OTLP 1.9): `POST /v1/logs` in JSON or protobuf, and gRPC
//! `LogsService/Export`. Each log record is an event.
//!
//! Source: <https://opentelemetry.io/docs/specs/otlp/>. Read here and not by
//! generated types, for the reason that `native/proto.rs` gives. The spec knows
//! no fate of a single record that should come again, so a request of which
//! anything should is answered as a whole: what was taken is a duplicate the
//! next time. Traces and metrics have the paths that exporters would use only so
//! that these can say what is taken here.

mod any;
mod gather;
mod identity;
mod json;
mod map;
mod names;
mod properties;
mod proto;
mod reply;

use std::borrow::Cow;

use sluice_event::{Batch, Limits, Reason, Receipt, Refusal};

use super::grpc::{frame, message_encoding, speaks};
use super::{Action, Answer, Dialect, Route};
use crate::head::Head;
use crate::inflate::{Encoding, Inflater};

/// The OpenTelemetry dialect.
#[derive(Debug, Clone, Copy)]
pub struct Otlp;

const LOGS: &str = "/v1/logs";
const LOGS_GRPC: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

static ROUTES: [Route; 6] = [
    route(LOGS),
    route("/v1/traces"),
    route("/v1/metrics"),
    route(LOGS_GRPC),
    route("/opentelemetry.proto.collector.trace.v1.TraceService/Export"),
    route("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"),
];

/// The form of a request, and of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Protobuf,
    Grpc,
}

const fn route(path: &'static str) -> Route {
    // Browsers report by HTTP; paths of gRPC hold no digit after their first slash.
    let cors = path.as_bytes()[1] == b'v';
    Route { path, methods: &["POST"], action: Action::Collect, cors }
}

fn is_grpc(head: &Head) -> bool {
    head.parts.uri.path().starts_with("/opentelemetry.")
}

// === impl Form ===

impl Form {
    fn of(head: &Head) -> Option<Self> {
        let media = head.media_type();
        let is = |known: &str| media.eq_ignore_ascii_case(known);
        if is_grpc(head) {
            speaks(media).then_some(Self::Grpc)
        } else if is("application/json") {
            Some(Self::Json)
        } else {
            (is("application/x-protobuf") || is("application/protobuf")).then_some(Self::Protobuf)
        }
    }

    /// What to answer in, also where the request was in nothing known.
    fn of_answer(head: &Head) -> Self {
        Self::of(head).unwrap_or(if is_grpc(head) { Self::Grpc } else { Self::Json })
    }
}

// === impl Otlp ===

impl Dialect for Otlp {
    fn kind(&self) -> sluice_event::Dialect {
        sluice_event::Dialect::Otlp
    }

    fn routes(&self) -> &'static [Route] {
        &ROUTES
    }

    fn check_head(&self, head: &Head) -> Result<(), Refusal> {
        if ![LOGS, LOGS_GRPC].contains(&head.parts.uri.path()) {
            let detail = "of OpenTelemetry only logs are taken: /v1/logs, or LogsService over gRPC";
            return Err(Refusal::new(Reason::NotFound, detail));
        }
        if Form::of(head).is_some() {
            return Ok(());
        }
        let detail = if is_grpc(head) {
            "Content-Type must be application/grpc"
        } else {
            "Content-Type must be application/json or application/x-protobuf"
        };
        Err(Refusal::new(Reason::ContentTypeUnsupported, detail))
    }

    fn encoding(&self, head: &Head) -> Result<Encoding, Refusal> {
        if is_grpc(head) {
            return message_encoding(head).map(|_| Encoding::Identity);
        }
        Encoding::of(&head.parts.headers)
    }

    /// Exporters do not compress unless they are told to, and drop a batch that is refused
    /// for its size: what counts is its size inflated.
    fn wire_bytes_max(&self, limits: &Limits) -> usize {
        limits.inflated_bytes_max + frame::PREFIX_BYTES
    }

    fn unwrap<'b>(
        &self,
        head: &Head,
        body: &'b [u8],
        limits: &Limits,
        inflater: &mut Inflater,
    ) -> Result<Cow<'b, [u8]>, Refusal> {
        if !is_grpc(head) {
            return Ok(Cow::Borrowed(body));
        }
        let (compressed, message) = frame::only(body)?;
        frame::message(compressed, message, message_encoding(head)?, limits, inflater)
    }

    fn decode<'b>(
        &self,
        head: &Head,
        payload: &'b [u8],
        limits: &Limits,
    ) -> Result<Batch<'b>, Refusal> {
        match Form::of(head) {
            Some(Form::Json) => json::decode(payload, limits),
            _ => proto::decode(payload, limits),
        }
    }

    fn answer(&self, head: &Head, _id: &str, outcome: Result<&Receipt, &Refusal>) -> Answer {
        Answer::Reply(match Form::of_answer(head) {
            Form::Json => reply::json(outcome),
            Form::Protobuf => reply::protobuf(outcome),
            Form::Grpc => reply::grpc(outcome),
        })
    }
}
