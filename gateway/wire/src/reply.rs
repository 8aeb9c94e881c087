//! Answers in JSON, and the body type of every answer.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde::Serialize;
use sluice_event::reason::Class;
use sluice_event::{Outcome, Reason, Receipt, Refusal};

/// An error of a body that streams.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of every answer.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// What is waited for where a passing reason names no wait, milliseconds.
const RETRY_AFTER_DEFAULT_MS: u64 = 1_000;

#[derive(Serialize)]
struct ErrorJson<'r> {
    reason: Reason,
    detail: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
}

#[derive(Serialize)]
struct RefusalJson<'r> {
    error: ErrorJson<'r>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

#[derive(Serialize)]
struct ResultJson<'r> {
    index: u32,
    id: &'r str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'r str,
}

#[derive(Serialize)]
struct ReceiptJson<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorJson<'r>>,
    accepted: u32,
    duplicates: u32,
    rejected: u32,
    retry: u32,
    results: Vec<ResultJson<'r>>,
    server_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

/// A body that is all there.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
pub fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// A JSON answer.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    // These structs hold only text and numbers: writing them cannot fail.
    let mut response = Response::new(full(serde_json::to_vec(body).unwrap_or_default()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// How the fates of events are told to clients that look at the status alone.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manner {
    /// They resend a whole request or nothing: 503 where *any* event should come
    /// again. What was taken the first time is a duplicate the second.
    pub whole: bool,
    /// The request can hold one event only: where that is rejected, so is the
    /// request, with that reason's status.
    pub lone: bool,
    /// They expect `"success": true` where every fate is final.
    pub success: bool,
}

/// The answer to a batch whose events have fates (GW-REPLY-1).
///
/// Where nothing became durable and something should come again, it is 503 with
/// the first such event's reason, beside the fates (GW-REPLY-6).
pub fn receipt(receipt: &Receipt) -> Response<Body> {
    receipt_in(receipt, Manner::default())
}

/// The answer to a batch whose events have fates, in the manner of a protocol.
pub(crate) fn receipt_in(receipt: &Receipt, manner: Manner) -> Response<Body> {
    let again = receipt.nothing_durable() || manner.whole && receipt.retry > 0;
    let lone = manner.lone && (receipt.rejected, receipt.total()) == (1, 1);
    let refused = receipt.results.first().filter(|_| lone);
    let error = if again {
        let reason = receipt.retry_reason().unwrap_or(Reason::LogUnavailable);
        let detail = if receipt.nothing_durable() { NOTHING_DURABLE } else { NOT_ALL_DURABLE };
        Some(ErrorJson { reason, detail, limit: None })
    } else {
        refused.and_then(|result| {
            Some(ErrorJson { reason: result.reason?, detail: &result.detail, limit: None })
        })
    };
    let wait_ms = (receipt.retry > 0).then_some(receipt.retry_after_ms);
    let status = match &error {
        Some(_) if again => StatusCode::SERVICE_UNAVAILABLE,
        Some(error) => error.reason.status(),
        None => StatusCode::OK,
    };
    let results = receipt.results.iter().map(|result| ResultJson {
        index: result.index,
        id: &result.id,
        outcome: result.outcome.name(),
        reason: result.reason.filter(|_| result.outcome != Outcome::Duplicate),
        detail: &result.detail,
    });
    let body = ReceiptJson {
        success: manner.success.then_some(error.is_none()),
        error,
        accepted: receipt.accepted,
        duplicates: receipt.duplicates,
        rejected: receipt.rejected,
        retry: receipt.retry,
        results: results.collect(),
        server_time: receipt.server_time_ms,
        retry_after_ms: wait_ms,
    };
    let mut response = json(status, &body);
    if again {
        retry_after(response.headers_mut(), wait_ms.unwrap_or(RETRY_AFTER_DEFAULT_MS));
    }
    response
}

/// What a sender is told where nothing became durable.
pub(crate) const NOTHING_DURABLE: &str =
    "nothing could be made durable; resend these events with the same ids after the wait";

/// What a sender that resends whole requests is told where a part became durable.
const NOT_ALL_DURABLE: &str = "not every event could be made durable; resend the request with \
    the same ids after the wait: what was taken is not counted again";

/// The answer to a request that was refused (GW-REPLY-7).
pub fn refusal(refusal: &Refusal) -> Response<Body> {
    let Refusal { reason, detail, limit, .. } = refusal;
    let retry_after_ms = wait_ms(refusal);
    let error = ErrorJson { reason: *reason, detail, limit: *limit };
    let mut response = json(reason.status(), &RefusalJson { error, retry_after_ms });
    if let Some(wait) = retry_after_ms {
        retry_after(response.headers_mut(), wait);
    }
    if reason.status() == StatusCode::UNAUTHORIZED {
        // RFC 9110, 15.5.2: a 401 names the scheme it wants.
        let scheme = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    }
    response
}

/// How long the sender should wait; `None` where resending is of no use.
pub(crate) fn wait_ms(refusal: &Refusal) -> Option<u64> {
    let passing = refusal.reason.class() == Class::Passing;
    passing.then(|| refusal.retry_after_ms.unwrap_or(RETRY_AFTER_DEFAULT_MS))
}

/// Whole seconds, rounded up: a client that waits them out is never too early (GW-REPLY-8).
fn retry_after(headers: &mut HeaderMap, wait_ms: u64) {
    headers.insert(RETRY_AFTER, HeaderValue::from(wait_ms.div_ceil(1_000).max(1)));
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use sluice_event::EventResult;

    use super::*;

    fn text(response: Response<Body>) -> String {
        let body = response.into_body().collect().now_or_never().expect("all there");
        String::from_utf8(body.expect("no error").to_bytes().to_vec()).expect("UTF-8")
    }

    fn result(index: u32, outcome: Outcome, reason: Option<Reason>) -> EventResult {
        EventResult { index, id: format!("e{index}"), outcome, reason, detail: String::new() }
    }

    #[test]
    fn lists_only_what_was_not_accepted() {
        let mut answer = Receipt { accepted: 1, duplicates: 1, retry: 1, ..Receipt::default() };
        answer.results = vec![
            result(1, Outcome::Duplicate, None),
            result(2, Outcome::Retry, Some(Reason::LogUnavailable)),
        ];
        answer.server_time_ms = 1_795_190_400_123;
        answer.retry_after_ms = 2_000;
        let response = receipt(&answer);
        assert_eq!(response.status(), 200);
        assert_eq!(
            text(response),
            r#"{"accepted":1,"duplicates":1,"rejected":0,"retry":1,"results":[{"index":1,"id":"e1","outcome":"duplicate"},{"index":2,"id":"e2","outcome":"retry","reason":"log_unavailable"}],"server_time":1795190400123,"retry_after_ms":2000}"#
        );
    }

    #[test]
    fn nothing_durable_is_503_with_the_fates() {
        let results = vec![result(0, Outcome::Retry, Some(Reason::OutcomeUnknown))];
        let answer = Receipt { retry: 1, results, retry_after_ms: 1_001, ..Receipt::default() };
        let response = receipt(&answer);
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        let body: serde_json::Value = serde_json::from_str(&text(response)).expect("JSON");
        assert_eq!(body["error"]["reason"], "outcome_unknown");
        assert_eq!(body["results"][0]["outcome"], "retry");
    }

    #[test]
    fn clients_that_see_the_status_alone_are_told_by_it() {
        let manner = Manner { whole: true, lone: true, success: true };
        let part = Receipt {
            accepted: 2,
            retry: 1,
            results: vec![result(1, Outcome::Retry, Some(Reason::LogUnavailable))],
            ..Receipt::default()
        };
        assert_eq!(receipt(&part).status(), 200);
        let response = receipt_in(&part, manner);
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        let body: serde_json::Value = serde_json::from_str(&text(response)).expect("JSON");
        assert_eq!((&body["success"], &body["accepted"]), (&false.into(), &2.into()));

        let results = vec![result(0, Outcome::Rejected, Some(Reason::EventTooLarge))];
        let lone = Receipt { rejected: 1, results, ..Receipt::default() };
        assert_eq!(receipt(&lone).status(), 200);
        let response = receipt_in(&lone, manner);
        assert_eq!(response.status(), 413);
        assert!(!response.headers().contains_key(RETRY_AFTER));
        let fine = receipt_in(&Receipt { accepted: 1, ..Receipt::default() }, manner);
        assert!(text(fine).starts_with(r#"{"success":true,"accepted":1"#));
    }

    #[test]
    fn every_passing_reason_has_a_wait_and_no_final_one() {
        for reason in Reason::ALL {
            let response = refusal(&Refusal::new(*reason, "why"));
            let passing = reason.class() == Class::Passing;
            assert_eq!(response.headers().contains_key(RETRY_AFTER), passing, "{reason}");
            assert_eq!(response.status(), reason.status());
            let asks = response.headers().contains_key(WWW_AUTHENTICATE);
            assert_eq!(asks, response.status() == 401, "{reason}");
        }
    }
}
