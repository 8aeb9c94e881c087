//! `POST /v1/apps/{app}/query`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::{Operation, Parameters, Reader, Segments};
use crate::answer::{Terms, answer};
use crate::api::QueryApi;
use crate::config::BODY_BYTES_MAX;
use crate::problem::Problem;
use crate::request::{Context, Request};

pub(crate) async fn serve(
    State(api): State<QueryApi>,
    Segments(app): Segments<String>,
    headers: HeaderMap,
    parameters: Parameters,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Problem> {
    let shared = &*api.0;
    let reader = Reader::admit(shared, Operation::Query, &app, &headers, parameters)?;
    let body: Value = read(body)?;
    let now_ms = shared.clock.now_ms();
    let context =
        Context { timezone: reader.terms.timezone, now_ms, limit_max: shared.config.limit_max };
    let request = Request::parse(&body, &context)?;
    let terms = Terms {
        documents: &*shared.documents,
        seen: &shared.seen,
        app_id: app.into(),
        config: &shared.config,
        now_ms,
        complete_until_ms: (shared.complete_until_ms)(),
    };
    let (answer, rows) = shared.guarded(answer(terms, &request)).await?;
    shared.metrics.rows.inc_by(rows as u64);
    Ok(Json(answer))
}

fn read(body: Result<Bytes, BytesRejection>) -> Result<Value, Problem> {
    let body = body.map_err(|error| {
        if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let detail = format!("a question has at most {BODY_BYTES_MAX} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
        } else {
            Problem::invalid("$", "the body did not arrive whole")
        }
    })?;
    serde_json::from_slice(&body)
        .map_err(|error| Problem::invalid("$", format!("the body is not JSON: {error}")))
}
