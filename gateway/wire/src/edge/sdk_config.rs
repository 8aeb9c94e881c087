//! `GET /v1/config`: the settings of an app's SDKs, with an ETag (GW-CONFIG-1).
//!
//! Answered also while nothing is taken: an SDK must be able to read the kill
//! switch then more than ever.

use http::header::{CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH};
use http::{Response, StatusCode};
use sluice_event::{Collector, Dialect};
use xxhash_rust::xxh3::xxh3_64;

use crate::head::Head;
use crate::reply::{self, Body};

/// Answers the request.
pub(crate) fn serve<C: Collector>(collector: &C, head: &Head) -> Response<Body> {
    let grant = match collector.authenticate(&head.presented()) {
        Ok(grant) => grant,
        Err(refusal) => {
            collector.refused(None, Dialect::Native, &refusal);
            return reply::refusal(&refusal);
        }
    };
    let settings = collector.sdk_config(&grant);
    let text = serde_json::to_vec(&settings).unwrap_or_default();
    let etag = format!("\"{:016x}\"", xxh3_64(&text));
    let mut response = if head.header(&IF_NONE_MATCH).is_some_and(|known| names(known, &etag)) {
        reply::empty(StatusCode::NOT_MODIFIED)
    } else {
        reply::json(StatusCode::OK, &settings)
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(etag) = HeaderValue::try_from(etag) {
        headers.insert(ETAG, etag);
    }
    response
}

/// RFC 9110 §13.1.2: a list of tags, weakly compared, or `*`.
fn names(known: &str, etag: &str) -> bool {
    let mut tags = known.split(',').map(|tag| tag.trim().trim_start_matches("W/"));
    tags.any(|tag| tag == "*" || tag == etag)
}
