//! CORS on the ingest paths: any origin, never with credentials (GW-CORS-1).

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderMap, HeaderValue,
};
use http::{Response, StatusCode};

use crate::dialects::Route;
use crate::reply::{self, Body};

const HEADERS: &str = "authorization, content-type, content-encoding, if-none-match, \
                       x-request-id, x-sluice-key, x-sluice-timestamp, x-sluice-signature";
const EXPOSED: &str = "etag, retry-after, x-request-id";
/// Seconds that a browser may remember the answer: a day, the most that any takes.
const MAX_AGE_S: &str = "86400";

/// The answer to a browser that asks first.
pub(crate) fn preflight(route: &Route) -> Response<Body> {
    let mut response = reply::empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    let methods = format!("{}, OPTIONS", route.methods.join(", "));
    if let Ok(methods) = HeaderValue::try_from(methods) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    }
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE_S));
    response
}

/// Lets scripts of any origin read an answer.
pub(crate) fn allow(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
}
