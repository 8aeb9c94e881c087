//! gRPC: `sluice.v1.Collector/Collect`. The message is handed over as the bytes
//! that were queued, so a signature can be made of exactly what goes over the wire.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use prost::Message;
use sluice_proto::v1::{BatchReply, Outcome as WireOutcome};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::{Target, signature};
use crate::error::BuildError;
use crate::limits::REPLY_BYTES_MAX;
use crate::verdict::{Listed, Outcome, Refusal, Verdict};

const COLLECT: &str = "/sluice.v1.Collector/Collect";

/// Calls to one gateway.
pub(super) struct Grpc {
    channel: Channel,
    bearer: MetadataValue<Ascii>,
    target: Target,
}

/// Hands the message over as it is; reads a `BatchReply`.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<prost_types::Duration>,
}

/// `google.rpc.ErrorInfo`.
#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
}

// === impl Grpc ===

impl Grpc {
    pub(super) fn new(target: &Target) -> Result<Self, BuildError> {
        let wrong = |error: tonic::transport::Error| BuildError::Url(error.to_string());
        let endpoint = Endpoint::from_shared(target.url.clone()).map_err(wrong)?;
        let endpoint = endpoint.connect_timeout(target.timeout);
        let agent = concat!("sluice-client-rust/", env!("CARGO_PKG_VERSION"));
        let mut endpoint = endpoint.user_agent(agent).map_err(wrong)?;
        if target.url.starts_with("https://") {
            endpoint = with_tls(endpoint)?;
        }
        let mut bearer: MetadataValue<Ascii> =
            format!("Bearer {}", target.key).parse().map_err(|_| BuildError::Key)?;
        bearer.set_sensitive(true);
        Ok(Self { channel: endpoint.connect_lazy(), bearer, target: target.clone() })
    }

    pub(super) async fn send(&self, message: Bytes) -> Verdict {
        match self.call(message).await {
            Ok(reply) => listed(reply),
            Err(status) => refused(&status),
        }
    }

    async fn call(&self, message: Bytes) -> Result<BatchReply, Status> {
        let length = u32::try_from(message.len())
            .map_err(|_| Status::out_of_range("a message of 4 GiB"))?
            .to_be_bytes();
        let mut request = Request::new(message.clone());
        request.metadata_mut().insert("authorization", self.bearer.clone());
        // Over the wire a message has a prefix: not compressed, and its length.
        if let Some((timestamp, signature)) = signature(&self.target, &[&[0], &length, &message]) {
            for (name, value) in
                [("x-sluice-timestamp", timestamp), ("x-sluice-signature", signature)]
            {
                let value = value.parse().map_err(|_| Status::internal("not a header"))?;
                request.metadata_mut().insert(name, value);
            }
        }
        let mut client = tonic::client::Grpc::new(self.channel.clone())
            .max_decoding_message_size(REPLY_BYTES_MAX);
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let answer = client.unary(request, PathAndQuery::from_static(COLLECT), Raw).await?;
        Ok(answer.into_inner())
    }
}

#[cfg(feature = "tls")]
fn with_tls(endpoint: Endpoint) -> Result<Endpoint, BuildError> {
    let tls = tonic::transport::ClientTlsConfig::new().with_webpki_roots();
    endpoint.tls_config(tls).map_err(|error| BuildError::Url(error.to_string()))
}

#[cfg(not(feature = "tls"))]
fn with_tls(_: Endpoint) -> Result<Endpoint, BuildError> {
    Err(BuildError::Url("https:// needs the feature `tls`".to_owned()))
}

fn listed(reply: BatchReply) -> Verdict {
    let results = reply.results.into_iter().map(|result| Listed {
        index: result.index as usize,
        outcome: match result.outcome() {
            WireOutcome::Retry => Outcome::Retry,
            WireOutcome::Rejected => Outcome::Rejected,
            WireOutcome::Duplicate | WireOutcome::Accepted => Outcome::Duplicate,
        },
        refusal: Refusal { reason: result.reason, detail: result.detail },
    });
    let wait = Duration::from_millis(reply.retry_after_ms.into());
    Verdict::Listed { results: results.collect(), rest_again: false, wait }
}

/// A code means what the status of its reason means (`sdk-spec/collect.md`, §5).
fn refused(status: &Status) -> Verdict {
    let (reason, wait) = details(status);
    let refusal = || Refusal {
        reason: reason.clone().unwrap_or_else(|| format!("grpc_{}", status.code() as i32)),
        detail: status.message().to_owned(),
    };
    let halves = ["body_too_large", "inflated_too_large", "too_many_events"];
    match status.code() {
        Code::ResourceExhausted if reason.as_deref().is_some_and(|it| halves.contains(&it)) => {
            Verdict::Halve { refusal: refusal() }
        }
        Code::InvalidArgument
        | Code::Unauthenticated
        | Code::PermissionDenied
        | Code::Unimplemented
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::NotFound => Verdict::Refused(refusal()),
        // Also what a broken connection makes of itself: it may be mended.
        _ => Verdict::Again { wait },
    }
}

/// The reason and the wait of `google.rpc` details.
fn details(status: &Status) -> (Option<String>, Duration) {
    let (mut reason, mut wait) = (None, Duration::ZERO);
    let details = RpcStatus::decode(status.details()).unwrap_or_default().details;
    for any in details {
        let name = any.type_url.rsplit('/').next().unwrap_or_default();
        match name {
            "google.rpc.ErrorInfo" => {
                reason = ErrorInfo::decode(&any.value[..]).ok().map(|info| info.reason);
            }
            "google.rpc.RetryInfo" => {
                let delay = RetryInfo::decode(&any.value[..]).ok().and_then(|it| it.retry_delay);
                wait = delay.and_then(|delay| delay.try_into().ok()).unwrap_or_default();
            }
            _ => {}
        }
    }
    (reason, wait)
}

// === impl Raw ===

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = BatchReply;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = BatchReply;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<BatchReply>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        let reply = BatchReply::decode(bytes);
        reply.map(Some).map_err(|error| Status::internal(format!("not a BatchReply: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(name: &str, message: &impl Message) -> prost_types::Any {
        let type_url = format!("type.googleapis.com/google.rpc.{name}");
        prost_types::Any { type_url, value: message.encode_to_vec() }
    }

    /// A status as the gateway words it.
    fn verdict(code: Code, reason: &str, wait_ms: Option<u64>) -> Verdict {
        let mut details = vec![any("ErrorInfo", &ErrorInfo { reason: reason.to_owned() })];
        if let Some(wait_ms) = wait_ms {
            let retry_delay = Duration::from_millis(wait_ms).try_into().ok();
            details.push(any("RetryInfo", &RetryInfo { retry_delay }));
        }
        let details = RpcStatus { details }.encode_to_vec();
        refused(&Status::with_details(code, "said", details.into()))
    }

    #[test]
    fn codes_mean_what_the_status_of_their_reason_means() {
        let again = |ms| Verdict::Again { wait: Duration::from_millis(ms) };
        assert_eq!(verdict(Code::ResourceExhausted, "rate_limited", Some(2_500)), again(2_500));
        assert_eq!(verdict(Code::Unavailable, "draining", Some(1_000)), again(1_000));
        assert_eq!(verdict(Code::DeadlineExceeded, "body_too_slow", Some(5)), again(5));
        for code in [Code::Unknown, Code::Internal, Code::Cancelled, Code::ResourceExhausted] {
            assert_eq!(refused(&Status::new(code, "broken")), again(0), "{code:?}");
        }
        let refusal = |reason: &str| Refusal { reason: reason.into(), detail: "said".into() };
        for reason in ["body_too_large", "inflated_too_large", "too_many_events"] {
            let found = verdict(Code::ResourceExhausted, reason, None);
            assert_eq!(found, Verdict::Halve { refusal: refusal(reason) });
        }
        let codes = [Code::InvalidArgument, Code::Unauthenticated, Code::PermissionDenied];
        for code in codes.into_iter().chain([Code::Unimplemented]) {
            let found = verdict(code, "key_unknown", None);
            assert_eq!(found, Verdict::Refused(refusal("key_unknown")), "{code:?}");
        }
        let bare = refused(&Status::new(Code::InvalidArgument, "said"));
        assert_eq!(bare, Verdict::Refused(refusal("grpc_3")));
    }
}
