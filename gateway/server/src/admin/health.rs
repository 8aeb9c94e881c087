//! Liveness, readiness, metrics.
//!
//! Ready means: everything that this process runs does its work now. The log
//! takes appends, the stores take writes, and no lane is further behind than
//! [`LAG_MAX_MS`].

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde_json::json;

use super::AdminState;
use crate::run::Parts;

/// A lane whose oldest record waits longer than this makes the process unready,
/// milliseconds.
pub const LAG_MAX_MS: u64 = 300_000;

/// Where in its life a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Opening its stores.
    #[default]
    Starting,
    /// Working.
    Running,
    /// Ending.
    Draining,
}

/// The phase, shared.
#[derive(Debug, Default)]
pub struct Readiness(Mutex<Phase>);

// === impl Readiness ===

impl Readiness {
    /// Moves on.
    pub fn set(&self, phase: Phase) {
        *self.0.lock() = phase;
    }

    /// Why the process is not ready; empty where it is.
    pub async fn reasons(&self, parts: Option<&Parts>) -> Vec<String> {
        let phase = *self.0.lock();
        let (Phase::Running, Some(parts)) = (phase, parts) else {
            let draining = phase == Phase::Draining;
            return vec![if draining { "draining" } else { "starting" }.to_owned()];
        };
        let mut reasons = Vec::new();
        let mut refusing = |what: &str, why: Option<String>| {
            reasons.extend(why.map(|why| format!("{what}: {why}")));
        };
        refusing("log", parts.stores.logs.events.status().refusing);
        if let Some(documents) = &parts.stores.documents {
            refusing("documents", documents.status().await.refusing);
        }
        if let Some(rows) = &parts.stores.rows {
            refusing("rows", rows.status().await.refusing);
        }
        let Some(status) = parts.fan_out.as_ref().map(|fan_out| fan_out.status()) else {
            return reasons;
        };
        refusing("fan out", status.fatal);
        for lane in status.lanes {
            let age_ms = lane.oldest_unserved_age_ms.unwrap_or(0);
            if age_ms > LAG_MAX_MS {
                let (name, partition, records) = (lane.lane, lane.partition, lane.lag_records);
                let error = lane.last_error.unwrap_or_default();
                let text = format!("{records} records behind, the oldest for {age_ms} ms {error}");
                refusing(&format!("lane {name}, partition {partition}"), Some(text));
            }
        }
        reasons
    }
}

/// `GET /healthz`: the process runs.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: 200, or 503 with the reasons.
pub async fn readyz(State(state): State<AdminState>) -> Response {
    let reasons = state.readiness.reasons(state.parts.get().map(|parts| &**parts)).await;
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "ready": reasons.is_empty(), "reasons": reasons });
    (status, axum::Json(body)).into_response()
}

/// `GET /metrics`: OpenMetrics text.
pub async fn metrics(State(state): State<AdminState>) -> Response {
    let Some(parts) = state.parts.get() else { return String::new().into_response() };
    let ready = state.readiness.reasons(Some(parts)).await.is_empty();
    parts.metrics.read(parts, ready).await;
    match parts.registry.encode() {
        Ok(text) => {
            let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, content_type)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
