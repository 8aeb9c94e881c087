//! What a question's asker is told when it is not answered.
//!
//! Always `{"error":{"reason","detail","path"?,"allowed"?}}`. `path` names the
//! offending place in the request; `allowed` lists what may stand there.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use sluice_event::Refusal;
use sluice_seams::StoreError;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// One word; also the metric label.
    pub reason: &'static str,
    /// For the asker: what was wrong, where, what to do.
    pub detail: String,
    /// Where in the request, as `filters[0][1]`.
    pub path: Option<String>,
    /// What may stand there.
    pub allowed: Option<Vec<String>>,
    /// Come back after this many seconds.
    pub retry_after_s: Option<u64>,
}

/// Edits that a suggestion may be away from what was written.
const SUGGESTION_DISTANCE_MAX: usize = 3;

// === impl Problem ===

impl Problem {
    /// A problem of this status and reason.
    pub fn new(status: StatusCode, reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            reason,
            detail: detail.into(),
            path: None,
            allowed: None,
            retry_after_s: None,
        }
    }

    /// 400: the request is wrong at this path.
    pub fn invalid(path: impl Into<String>, detail: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::BAD_REQUEST, "request_invalid", detail);
        problem.path = Some(path.into());
        problem
    }

    /// 400: this word is none of those allowed here; suggests the nearest.
    pub fn unknown<'w>(
        path: impl Into<String>,
        what: &str,
        word: &str,
        allowed: impl IntoIterator<Item = &'w str>,
    ) -> Self {
        let allowed: Vec<&str> = allowed.into_iter().collect();
        let shown: String = word.chars().take(64).collect();
        let mut detail = format!("unknown {what} `{shown}`");
        if let Some(near) = nearest(word, &allowed) {
            detail.push_str(&format!("; did you mean `{near}`?"));
        }
        let mut problem = Self::invalid(path, detail);
        problem.allowed = Some(allowed.into_iter().map(str::to_owned).collect());
        problem
    }

    /// Lists what is allowed.
    #[must_use]
    pub fn allowed<'w>(mut self, allowed: impl IntoIterator<Item = &'w str>) -> Self {
        self.allowed = Some(allowed.into_iter().map(str::to_owned).collect());
        self
    }

    /// 503: come back later.
    pub fn busy(reason: &'static str, detail: impl Into<String>, retry_after_s: u64) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, reason, detail);
        problem.retry_after_s = Some(retry_after_s);
        problem
    }
}

/// The allowed word nearest to what was written, if any is near.
pub fn nearest<'w>(word: &str, allowed: &[&'w str]) -> Option<&'w str> {
    // A distance over text of any length would be quadratic in it.
    if word.len() > 256 {
        return None;
    }
    allowed
        .iter()
        .map(|candidate| (strsim::osa_distance(word, candidate), *candidate))
        .filter(|(distance, candidate)| {
            *distance <= SUGGESTION_DISTANCE_MAX && *distance < candidate.chars().count()
        })
        .min()
        .map(|(_, candidate)| candidate)
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let mut problem = Self::new(refusal.reason.status(), refusal.reason.name(), refusal.detail);
        problem.retry_after_s = refusal.retry_after_ms.map(|ms| ms.div_ceil(1_000).max(1));
        problem
    }
}

impl From<StoreError> for Problem {
    /// The asker learns the class; which store and why stays in our log.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(detail) => Self::new(
                StatusCode::BAD_REQUEST,
                "question_refused",
                format!("{detail}; ask for a shorter range, fewer dimensions or narrower filters"),
            ),
            StoreError::Retry { after, detail } => {
                tracing::warn!(detail, "a store did not answer a question");
                let wait_s = after.as_secs().max(1);
                Self::busy("store_unavailable", "a store does not answer now; ask again", wait_s)
            }
            StoreError::Poisoned(detail) => {
                tracing::error!(detail, "a store is out of order");
                Self::busy("store_unavailable", "a store is out of order; ask again later", 30)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut error = Map::new();
        error.insert("reason".into(), json!(self.reason));
        error.insert("detail".into(), json!(self.detail));
        if let Some(path) = &self.path {
            error.insert("path".into(), json!(path));
        }
        if let Some(allowed) = &self.allowed {
            error.insert("allowed".into(), json!(allowed));
        }
        let body =
            Value::Object([("error".to_owned(), Value::Object(error))].into_iter().collect());
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        // The metrics layer labels refusals by reason.
        response.extensions_mut().insert(RefusedFor(self.reason));
        response
    }
}

/// The reason of a refusal, carried beside the response for the metrics.
#[derive(Debug, Clone, Copy)]
pub struct RefusedFor(pub &'static str);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_only_what_is_near() {
        let words = ["visit_pv", "visit_uv", "share_pv"];
        assert_eq!(nearest("vist_pv", &words), Some("visit_pv"));
        assert_eq!(nearest("followers", &words), None);
        assert_eq!(nearest(&"x".repeat(10_000), &words), None);
    }

    #[test]
    fn a_store_error_tells_the_asker_no_names() {
        let error =
            StoreError::retry(std::time::Duration::from_millis(10), "es-7.internal: refused");
        let problem = Problem::from(error);
        assert_eq!(problem.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(problem.retry_after_s, Some(1));
        assert!(!problem.detail.contains("es-7"));
    }
}
