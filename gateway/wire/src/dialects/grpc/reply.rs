//! gRPC answers: `BatchReply`, and the status of a refusal with its details
//! (`google.rpc.RetryInfo`, `google.rpc.ErrorInfo`).

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Full};
use prost::Message;
use sluice_event::{Outcome, Reason, Receipt, Refusal};
use sluice_proto::v1;
use tonic::{Code, Status};

use super::frame;
use crate::reply::{Body, NOTHING_DURABLE, empty, wait_ms};

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
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
    #[prost(string, tag = "2")]
    domain: String,
}

/// The status of a refusal.
pub(crate) fn status(refusal: &Refusal) -> Status {
    let code = refusal.reason.grpc() as i32;
    let any = |name: &str, value: Vec<u8>| prost_types::Any {
        type_url: format!("type.googleapis.com/google.rpc.{name}"),
        value,
    };
    let info = ErrorInfo { reason: refusal.reason.name().to_owned(), domain: "sluice".to_owned() };
    let mut details = vec![any("ErrorInfo", info.encode_to_vec())];
    if let Some(info) = retry_info(refusal) {
        details.push(any("RetryInfo", info));
    }
    let message = format!("{}: {}", refusal.reason, refusal.detail);
    let status = RpcStatus { code, message: message.clone(), details };
    Status::with_details(Code::from(code), message, Bytes::from(status.encode_to_vec()))
}

/// `google.rpc.RetryInfo` of a refusal that passes.
pub(crate) fn retry_info(refusal: &Refusal) -> Option<Vec<u8>> {
    wait_ms(refusal).map(|wait| {
        let retry_delay = prost_types::Duration {
            seconds: (wait / 1_000) as i64,
            nanos: (wait % 1_000) as i32 * 1_000_000,
        };
        RetryInfo { retry_delay: Some(retry_delay) }.encode_to_vec()
    })
}

/// The refusal that stands for a receipt with nothing durable.
pub(crate) fn nothing_durable(receipt: &Receipt) -> Option<Refusal> {
    receipt.nothing_durable().then(|| {
        let reason = receipt.retry_reason().unwrap_or(Reason::LogUnavailable);
        Refusal::new(reason, NOTHING_DURABLE).retry_after_ms(receipt.retry_after_ms)
    })
}

/// The answer to one batch of a stream.
pub(crate) fn batch_reply(batch_id: &str, outcome: Result<&Receipt, &Refusal>) -> v1::BatchReply {
    let error = |refusal: &Refusal| v1::BatchError {
        reason: refusal.reason.name().to_owned(),
        detail: refusal.detail.clone(),
        code: refusal.reason.grpc() as u32,
    };
    let batch_id = batch_id.to_owned();
    let receipt = match outcome {
        Ok(receipt) => receipt,
        Err(refusal) => {
            let retry_after_ms = wait_ms(refusal).unwrap_or(0).try_into().unwrap_or(u32::MAX);
            let error = Some(error(refusal));
            return v1::BatchReply { batch_id, error, retry_after_ms, ..Default::default() };
        }
    };
    let results = receipt.results.iter().map(|result| v1::EventResult {
        index: result.index,
        id: result.id.clone(),
        outcome: match result.outcome {
            Outcome::Accepted => v1::Outcome::Accepted,
            Outcome::Duplicate => v1::Outcome::Duplicate,
            Outcome::Rejected => v1::Outcome::Rejected,
            Outcome::Retry => v1::Outcome::Retry,
        }
        .into(),
        reason: result.reason.map_or_else(String::new, |reason| reason.name().to_owned()),
        detail: result.detail.clone(),
    });
    let retry_after_ms = if receipt.retry > 0 { receipt.retry_after_ms } else { 0 };
    v1::BatchReply {
        batch_id,
        accepted: receipt.accepted,
        duplicates: receipt.duplicates,
        rejected: receipt.rejected,
        retry: receipt.retry,
        results: results.collect(),
        server_time: receipt.server_time_ms,
        retry_after_ms: retry_after_ms.try_into().unwrap_or(u32::MAX),
        error: nothing_durable(receipt).as_ref().map(error),
    }
}

/// The trailers of a call that went well.
pub(crate) fn trailers_ok() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers
}

/// The trailers of a call that was refused.
pub(crate) fn trailers(refusal: &Refusal) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status(refusal).add_header(&mut trailers).is_err() {
        trailers.insert("grpc-status", HeaderValue::from(refusal.reason.grpc() as i32));
    }
    trailers
}

/// A response with a gRPC body.
pub(crate) fn streaming(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let accepted = HeaderValue::from_static("identity,gzip,deflate,zstd");
    response.headers_mut().insert("grpc-accept-encoding", accepted);
    response
}

/// The answer to a unary call.
pub(crate) fn unary(batch_id: &str, outcome: Result<&Receipt, &Refusal>) -> Response<Body> {
    let nothing = outcome.ok().and_then(nothing_durable);
    if let Some(refusal) = nothing.as_ref().or(outcome.err()) {
        return refused(refusal);
    }
    replied(frame::encode(&batch_reply(batch_id, outcome)))
}

/// The answer to a unary call that was refused: trailers only.
pub(crate) fn refused(refusal: &Refusal) -> Response<Body> {
    let mut response = streaming(empty(http::StatusCode::OK).into_body());
    response.headers_mut().extend(trailers(refusal));
    response
}

/// The answer to a unary call that went well: a message in its frame.
pub(crate) fn replied(message: Bytes) -> Response<Body> {
    let trailers = async { Some(Ok(trailers_ok())) };
    let body = Full::new(message).with_trailers(trailers).map_err(|never| match never {});
    streaming(body.boxed_unsync())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passing_refusal_says_how_long_to_wait() {
        let refusal = Refusal::new(Reason::RateLimited, "slow down").retry_after_ms(1_500);
        let status = status(&refusal);
        assert_eq!(status.code(), Code::ResourceExhausted);
        let rich = RpcStatus::decode(status.details()).expect("google.rpc.Status");
        let retry = rich.details.iter().find(|any| any.type_url.ends_with("RetryInfo"));
        let retry = RetryInfo::decode(&*retry.expect("present").value).expect("RetryInfo");
        let expected = prost_types::Duration { seconds: 1, nanos: 500_000_000 };
        assert_eq!(retry.retry_delay, Some(expected));
    }

    #[test]
    fn a_final_refusal_has_no_wait() {
        let status = status(&Refusal::new(Reason::KeyUnknown, "no such key"));
        assert_eq!(status.code(), Code::Unauthenticated);
        let rich = RpcStatus::decode(status.details()).expect("google.rpc.Status");
        assert_eq!(rich.details.len(), 1);
    }
}
