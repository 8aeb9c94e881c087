//! `GET /v1/apps/{app}/catalogue`.

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use serde_json::{Value, json};

use super::{Operation, Parameters, Reader, Segments};
use crate::api::QueryApi;
use crate::definitions::DEFINITIONS;
use crate::filter::OPERATORS;
use crate::problem::Problem;
use crate::request::Dimension;

pub(crate) async fn serve(
    State(api): State<QueryApi>,
    Segments(app): Segments<String>,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Json<Value>, Problem> {
    let shared = &*api.0;
    let reader = Reader::admit(shared, Operation::Catalogue, &app, &headers, parameters)?;
    let seen = async { Ok(shared.documents.catalogue(&app).await?) };
    let seen = shared.guarded(seen).await?;
    let metrics: Vec<Value> = DEFINITIONS
        .iter()
        .map(|metric| {
            json!({
                "name": metric.name,
                "unit": metric.unit.name(),
                "definition": metric.definition,
            })
        })
        .collect();
    Ok(Json(json!({
        "app": app,
        "timezone": &*reader.terms.timezone,
        "metrics": metrics,
        "dimensions": Dimension::names().collect::<Vec<_>>(),
        "operators": OPERATORS,
        "events": seen.events,
        "properties": seen.properties,
        "ids": seen.ids,
    })))
}
