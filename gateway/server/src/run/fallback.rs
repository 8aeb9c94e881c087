//! Puts the main listener together: the collector, and the query API behind it.

use std::future::Ready;
use std::sync::Arc;

use sluice_event::service::{InFlight, SdkConfig};
use sluice_event::{Batch, Collector, Dialect, Grant, Presented, Reason, Receipt, Refusal};
use sluice_wire::{Fallback, Listener, ServeHandle};

use super::Parts;

/// Serves what the role has.
pub(super) fn serve(listener: Listener, parts: &Parts) -> ServeHandle {
    let fallback = match &parts.query {
        Some(query) => Fallback::new(query.router().fallback(not_found)),
        None => Fallback::not_found(),
    };
    match &parts.collect {
        Some(collect) => listener.serve(Arc::clone(collect), fallback, &parts.registry),
        None => {
            let elsewhere = Arc::new(Elsewhere { role: parts.role.name });
            listener.serve(elsewhere, fallback, &parts.registry)
        }
    }
}

async fn not_found(uri: axum::http::Uri) -> axum::response::Response {
    use axum::response::IntoResponse;
    let detail = format!("nothing at {}; the API is described at /openapi.json", uri.path());
    let body = serde_json::json!({ "error": { "reason": "not_found", "detail": detail } });
    (axum::http::StatusCode::NOT_FOUND, axum::Json(body)).into_response()
}

/// Stands in for the collector where the role has none: nobody is let in.
struct Elsewhere {
    role: &'static str,
}

// === impl Elsewhere ===

impl Elsewhere {
    fn refusal(&self) -> Refusal {
        let detail = format!(
            "this process runs `{}` and takes no events: send them to one that runs `serve` or \
             `collect`",
            self.role
        );
        Refusal::new(Reason::NotFound, detail)
    }
}

impl Collector for Elsewhere {
    fn authenticate(&self, _presented: &Presented<'_>) -> Result<Grant, Refusal> {
        Err(self.refusal())
    }

    fn admit_bytes(
        &self,
        _grant: &Grant,
        _presented: &Presented<'_>,
        _body: &[u8],
    ) -> Result<InFlight, Refusal> {
        Err(self.refusal())
    }

    fn collect(
        &self,
        _grant: &Grant,
        _dialect: Dialect,
        _batch: Batch<'_>,
    ) -> Result<impl Future<Output = Receipt> + Send + 'static, Refusal> {
        Err::<Ready<Receipt>, _>(self.refusal())
    }

    fn validate(&self, _grant: &Grant, _batch: Batch<'_>) -> Result<Receipt, Refusal> {
        Err(self.refusal())
    }

    fn sdk_config(&self, _grant: &Grant) -> SdkConfig {
        SdkConfig::default()
    }

    fn refused(&self, _app_id: Option<&str>, _dialect: Dialect, _refusal: &Refusal) {}

    fn unready(&self) -> Option<Refusal> {
        None
    }
}
