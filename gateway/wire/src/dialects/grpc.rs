//! gRPC `sluice.v1.Collector`, as one more dialect: the same stack, limits and
//! decoder as HTTP, with gRPC's framing and status around them.
//!
//! Framed here and not by a generated service, because that would decode a
//! message before anyone could ask for the key, mind the pace of its bytes, or
//! count its events.

pub(crate) mod frame;
pub(crate) mod reply;

use std::borrow::Cow;

use sluice_event::{Batch, Limits, Reason, Receipt, Refusal};

use super::{Action, Answer, Dialect, Route, native};
use crate::head::Head;
use crate::inflate::{Encoding, Inflater};

/// The gRPC dialect.
#[derive(Debug, Clone, Copy)]
pub struct Grpc;

static ROUTES: [Route; 2] = [
    Route {
        path: "/sluice.v1.Collector/Collect",
        methods: &["POST"],
        action: Action::Collect,
        cors: false,
    },
    Route {
        path: "/sluice.v1.Collector/CollectStream",
        methods: &["POST"],
        action: Action::CollectStream,
        cors: false,
    },
];

/// Whether a request speaks gRPC.
pub(crate) fn speaks(media_type: &str) -> bool {
    let rest = media_type.get(..16).filter(|start| start.eq_ignore_ascii_case("application/grpc"));
    rest.is_some() && matches!(media_type.as_bytes().get(16), None | Some(b'+'))
}

/// How compressed messages of this call are compressed.
pub(crate) fn message_encoding(head: &Head) -> Result<Encoding, Refusal> {
    let named = head.header_named("grpc-encoding").unwrap_or("identity");
    Encoding::named(named).ok_or_else(|| {
        let detail = "grpc-encoding must be one of identity, gzip, deflate, zstd";
        Refusal::new(Reason::EncodingUnsupported, detail)
    })
}

// === impl Grpc ===

impl Dialect for Grpc {
    fn kind(&self) -> sluice_event::Dialect {
        sluice_event::Dialect::Grpc
    }

    fn routes(&self) -> &'static [Route] {
        &ROUTES
    }

    fn check_head(&self, head: &Head) -> Result<(), Refusal> {
        if speaks(head.media_type()) {
            return Ok(());
        }
        let detail = "Content-Type must be application/grpc";
        Err(Refusal::new(Reason::ContentTypeUnsupported, detail))
    }

    fn encoding(&self, head: &Head) -> Result<Encoding, Refusal> {
        message_encoding(head).map(|_| Encoding::Identity)
    }

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
        let (compressed, message) = frame::only(body)?;
        frame::message(compressed, message, message_encoding(head)?, limits, inflater)
    }

    fn decode<'b>(
        &self,
        _head: &Head,
        payload: &'b [u8],
        limits: &Limits,
    ) -> Result<Batch<'b>, Refusal> {
        native::proto::decode(payload, limits)
    }

    fn answer(&self, _head: &Head, batch_id: &str, outcome: Result<&Receipt, &Refusal>) -> Answer {
        Answer::Reply(reply::unary(batch_id, outcome))
    }
}
