//! HTTP: `POST /v1/events`, `GET /v1/config`.

use bytes::{Bytes, BytesMut};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, ETAG, HeaderMap, HeaderName, HeaderValue,
    IF_NONE_MATCH, RETRY_AFTER,
};
use reqwest::{Client, Response};

use super::{SettingsAnswer, Target, signature};
use crate::error::BuildError;
use crate::limits::REPLY_BYTES_MAX;
use crate::verdict::{Verdict, retry_after};

/// Requests to one gateway.
pub(super) struct Http {
    client: Client,
    target: Target,
}

// === impl Http ===

impl Http {
    pub(super) fn new(target: &Target) -> Result<Self, BuildError> {
        let mut headers = HeaderMap::new();
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", target.key))
            .map_err(|_| BuildError::Key)?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let client = Client::builder()
            .default_headers(headers)
            .user_agent(concat!("sluice-client-rust/", env!("CARGO_PKG_VERSION")))
            // To the configured gateway and nowhere else (SDK-PRIVACY-5).
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| BuildError::Start(error.to_string()))?;
        Ok(Self { client, target: target.clone() })
    }

    pub(super) async fn send(&self, media: &'static str, body: Bytes) -> Verdict {
        // The label is true: the body is of that type and not encoded (SDK-BATCH-7).
        let mut request = self.client.post(format!("{}/v1/events", self.target.url));
        request = request.header(CONTENT_TYPE, media);
        if let Some((timestamp, signature)) = signature(&self.target, &[&body]) {
            request = request.header("x-sluice-timestamp", timestamp);
            request = request.header("x-sluice-signature", signature);
        }
        let Ok(response) = request.body(body).send().await else { return Verdict::NO_ANSWER };
        let status = response.status().as_u16();
        let now_ms = self.target.clock.now_ms();
        let asked = retry_after(text(&response, &RETRY_AFTER), text(&response, &DATE), now_ms);
        // A status without a whole body: broken off, no answer.
        let Some(body) = read(response).await else { return Verdict::Again { wait: asked } };
        Verdict::of(status, asked, &body)
    }

    pub(super) async fn settings(&self, etag: Option<&str>) -> Option<SettingsAnswer> {
        let mut request = self.client.get(format!("{}/v1/config", self.target.url));
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some((timestamp, signature)) = signature(&self.target, &[]) {
            request = request.header("x-sluice-timestamp", timestamp);
            request = request.header("x-sluice-signature", signature);
        }
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        let etag = text(&response, &ETAG).map(str::to_owned);
        Some((status, etag, read(response).await?))
    }
}

fn text<'r>(response: &'r Response, name: &HeaderName) -> Option<&'r str> {
    response.headers().get(name).and_then(|value| value.to_str().ok())
}

/// The body, up to its bound; `None` where it broke off or is beyond.
async fn read(mut response: Response) -> Option<Bytes> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > REPLY_BYTES_MAX {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body.freeze())
}
