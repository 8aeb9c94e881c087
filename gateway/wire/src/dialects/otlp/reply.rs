//! Answers in the request's encoding: `ExportLogsServiceResponse`, and
//! `google.rpc.Status` for what was refused.
//!
//! Exporters resend on 429, 502, 503 and 504 (gRPC: CANCELLED,
//! DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED with RetryInfo, ABORTED, OUT_OF_RANGE,
//! UNAVAILABLE, DATA_LOSS) and drop a batch on any other error, 408 among them.
//! Source: <https://opentelemetry.io/docs/specs/otlp/#otlphttp-response>.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use prost::Message;
use serde_json::json;
use sluice_event::{Outcome, Reason, Receipt, Refusal};

use crate::dialects::grpc::{frame, reply as grpc_reply};
use crate::reply::{self, Body, wait_ms};

/// Where Python's exporter looks for the wait, instead of in the status.
const RETRY_INFO: HeaderName = HeaderName::from_static("google.rpc.retryinfo-bin");

/// `ExportLogsServiceResponse`.
#[derive(Clone, PartialEq, Message)]
struct Exported {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// `ExportLogsPartialSuccess`.
#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_log_records: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// The whole of it: taken, or refused and perhaps to be sent again.
fn verdict(outcome: Result<&Receipt, &Refusal>) -> Result<Exported, Refusal> {
    let receipt = outcome.map_err(Refusal::clone)?;
    if receipt.retry > 0 {
        let reason = receipt.retry_reason().unwrap_or(Reason::LogUnavailable);
        let detail = format!(
            "{} of {} records could not be made durable; resend the request after the wait: what \
             was taken of it is not counted again",
            receipt.retry,
            receipt.total()
        );
        return Err(Refusal::new(reason, detail).retry_after_ms(receipt.retry_after_ms));
    }
    let rejected = receipt.results.iter().find(|result| result.outcome == Outcome::Rejected);
    let partial_success = rejected.map(|first| PartialSuccess {
        rejected_log_records: receipt.rejected.into(),
        error_message: format!(
            "{} of {} records were rejected; the first: {}: {}",
            receipt.rejected,
            receipt.total(),
            first.reason.map_or("", Reason::name),
            first.detail
        ),
    });
    Ok(Exported { partial_success })
}

/// In JSON.
pub(super) fn json(outcome: Result<&Receipt, &Refusal>) -> Response<Body> {
    match verdict(outcome) {
        Ok(Exported { partial_success: None }) => reply::json(StatusCode::OK, &json!({})),
        Ok(Exported { partial_success: Some(partial) }) => {
            // 64-bit integers are strings in protobuf's JSON.
            let rejected = partial.rejected_log_records.to_string();
            let partial =
                json!({"rejectedLogRecords": rejected, "errorMessage": partial.error_message});
            reply::json(StatusCode::OK, &json!({ "partialSuccess": partial }))
        }
        Err(refusal) => refused(&refusal, "application/json", status_json(&refusal)),
    }
}

/// In protobuf.
pub(super) fn protobuf(outcome: Result<&Receipt, &Refusal>) -> Response<Body> {
    const MEDIA: &str = "application/x-protobuf";
    match verdict(outcome) {
        Ok(message) => {
            let mut response = Response::new(reply::full(message.encode_to_vec()));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA));
            response
        }
        Err(refusal) => {
            let status = grpc_reply::status(&refusal).details().to_vec();
            refused(&refusal, MEDIA, status)
        }
    }
}

/// In a gRPC frame, or as a gRPC status.
pub(super) fn grpc(outcome: Result<&Receipt, &Refusal>) -> Response<Body> {
    let refusal = match verdict(outcome) {
        Ok(message) => return grpc_reply::replied(frame::encode(&message)),
        Err(refusal) => refusal,
    };
    let mut response = grpc_reply::refused(&refusal);
    let info = grpc_reply::retry_info(&refusal).map(|info| STANDARD_NO_PAD.encode(info));
    if let Some(Ok(info)) = info.map(HeaderValue::try_from) {
        response.headers_mut().insert(RETRY_INFO, info);
    }
    response
}

/// A refusal's status and headers, with the body that OTLP wants.
fn refused(refusal: &Refusal, media: &'static str, body: Vec<u8>) -> Response<Body> {
    let mut response = reply::refusal(refusal).map(|_| reply::full(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    if refusal.reason.status() == StatusCode::REQUEST_TIMEOUT {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// `google.rpc.Status` as protobuf's JSON mapping has it.
fn status_json(refusal: &Refusal) -> Vec<u8> {
    let of = |name: &str| format!("type.googleapis.com/google.rpc.{name}");
    let name = refusal.reason.name();
    let mut details = vec![json!({"@type": of("ErrorInfo"), "reason": name, "domain": "sluice"})];
    if let Some(wait) = wait_ms(refusal) {
        let delay = format!("{}.{:03}s", wait / 1_000, wait % 1_000);
        details.push(json!({"@type": of("RetryInfo"), "retryDelay": delay}));
    }
    let message = refusal.to_string();
    let status =
        json!({"code": refusal.reason.grpc() as i32, "message": message, "details": details});
    status.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use http_body_util::BodyExt;
    use serde_json::Value;
    use sluice_event::EventResult;

    use super::*;

    fn receipt(rejected: u32, retry: u32) -> Receipt {
        let result = |index, outcome, reason| EventResult {
            index,
            id: String::new(),
            outcome,
            reason: Some(reason),
            detail: "why".to_owned(),
        };
        let mut results = Vec::new();
        for index in 0..rejected {
            results.push(result(index, Outcome::Rejected, Reason::NameInvalid));
        }
        for index in 0..retry {
            results.push(result(rejected + index, Outcome::Retry, Reason::InFlight));
        }
        let counts = Receipt { accepted: 1, duplicates: 1, rejected, retry, ..Receipt::default() };
        Receipt { results, retry_after_ms: 1_500, ..counts }
    }

    fn body(response: Response<Body>) -> Vec<u8> {
        let body = response.into_body().collect().now_or_never().expect("all there");
        body.expect("no error").to_bytes().to_vec()
    }

    fn header<'r>(response: &'r Response<Body>, name: &str) -> &'r str {
        response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    #[test]
    fn rejects_are_a_partial_success() {
        let response = json(Ok(&receipt(2, 0)));
        assert_eq!(
            (response.status(), header(&response, "content-type")),
            (StatusCode::OK, "application/json")
        );
        let found: Value = serde_json::from_slice(&body(response)).expect("JSON");
        let message = "2 of 4 records were rejected; the first: name_invalid: why";
        let expected = json!({"rejectedLogRecords": "2", "errorMessage": message});
        assert_eq!(found["partialSuccess"], expected);
        let response = protobuf(Ok(&receipt(2, 0)));
        assert_eq!(header(&response, "content-type"), "application/x-protobuf");
        let found = Exported::decode(&*body(response)).expect("sound").partial_success;
        let expected =
            PartialSuccess { rejected_log_records: 2, error_message: message.to_owned() };
        assert_eq!(found, Some(expected));
        assert_eq!(body(json(Ok(&receipt(0, 0)))), b"{}");
        assert_eq!(body(protobuf(Ok(&receipt(0, 0)))), b"", "partial_success must be unset");
    }

    /// The spec has no way to ask for single records again.
    #[test]
    fn where_one_record_should_come_again_all_do() {
        let part = receipt(1, 1);
        let response = json(Ok(&part));
        assert_eq!(response.status(), 503);
        assert_eq!(header(&response, "retry-after"), "2");
        let found: Value = serde_json::from_slice(&body(response)).expect("JSON");
        assert_eq!(
            (&found["code"], &found["details"][1]["retryDelay"]),
            (&json!(14), &json!("1.500s"))
        );
        let response = protobuf(Ok(&part));
        assert_eq!(
            (response.status(), header(&response, "retry-after")),
            (StatusCode::SERVICE_UNAVAILABLE, "2")
        );
        let response = grpc(Ok(&part));
        assert_eq!((response.status(), header(&response, "grpc-status")), (StatusCode::OK, "14"));
        // Field 1, a Duration of 1 s and 500,000,000 ns.
        assert_eq!(header(&response, "google.rpc.retryinfo-bin"), "CggIARCAyrXuAQ");
    }

    /// Every other status, 408 among them, makes an exporter drop the batch.
    #[test]
    fn what_passes_has_a_status_that_exporters_resend_on() {
        for reason in Reason::ALL {
            let refusal = Refusal::new(*reason, "why");
            let passing = wait_ms(&refusal).is_some();
            for response in [json(Err(&refusal)), protobuf(Err(&refusal))] {
                let resent = matches!(response.status().as_u16(), 429 | 502 | 503 | 504);
                assert_eq!(resent, passing, "{reason}");
                assert_eq!(header(&response, "retry-after").is_empty(), !passing, "{reason}");
            }
            let response = grpc(Err(&refusal));
            let code = header(&response, "grpc-status");
            let has_wait = !header(&response, "google.rpc.retryinfo-bin").is_empty();
            assert_eq!(has_wait, passing, "{reason}");
            // RESOURCE_EXHAUSTED passes with a wait alone.
            assert!(!passing || ["4", "8", "14"].contains(&code), "{reason}: {code}");
            assert!(passing || !["4", "14"].contains(&code), "{reason}: {code}");
        }
    }
}
