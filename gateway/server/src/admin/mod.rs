//! The admin API: health, readiness, metrics, status, replay, dead letters.
//!
//! On a listener of its own, so that it answers while the main one is full.

pub mod api;
mod health;
mod operations;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::run::Parts;

pub use health::{Phase, Readiness};

/// What handlers share. The parts appear once they are built; health and
/// readiness answer from the first moment.
#[derive(Clone)]
pub struct AdminState {
    /// Starting, running or draining.
    pub readiness: Arc<Readiness>,
    /// The parts, once built.
    pub parts: Arc<std::sync::OnceLock<Arc<Parts>>>,
}

/// An error of the admin API.
#[derive(Debug)]
struct Refused(StatusCode, String);

/// Serves the admin API until aborted.
pub fn serve(listener: TcpListener, state: AdminState) -> JoinHandle<()> {
    let router = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/status", get(operations::status))
        .route("/replay", post(operations::replay))
        .route("/replay/{store}", get(operations::replay_state))
        .route("/dead-letters", get(operations::dead_letters))
        .route("/dead-letters/{id}", get(operations::dead_letter))
        .route("/dead-letters/replay", post(operations::replay_dead_letters))
        .with_state(state);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "admin listener ended");
        }
    })
}

/// Binds a listener, or says in one line why not.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| {
        let advice = "choose another with --admin-listen, 0 as port picks one";
        format!("cannot listen on {address}: {error}; {advice}")
    })
}

// === impl AdminState ===

impl AdminState {
    fn parts(&self) -> Result<&Arc<Parts>, Refused> {
        let starting = || Refused(StatusCode::SERVICE_UNAVAILABLE, "still starting".to_owned());
        self.parts.get().ok_or_else(starting)
    }
}

// === impl Refused ===

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(status, detail) = self;
        let body = json!({ "error": { "reason": status.as_str(), "detail": detail } });
        (status, axum::Json(body)).into_response()
    }
}
