//! `GET /v1/apps/{app}/events/{id}`: what became of an event.
//!
//! The key is looked up where first copies are known (`D`, or the documents where
//! this process has no `D`); else among what lately became of events; else it is
//! said why it may be unknown.

use axum::Json;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use jiff::tz::TimeZone;
use prost::Message;
use serde_json::{Value, json};
use sluice_proto::v1::BatchRecord;
use sluice_seams::key::AppHash;
use sluice_seams::{EventDocument, First, Key, StoreError};
use std::sync::Arc;

use super::{Operation, Parameters, Reader, Segments};
use crate::api::{QueryApi, RecentFate, Shared};
use crate::calendar::rfc3339;
use crate::event_json;
use crate::problem::Problem;

/// What the log still holds of an event.
struct Logged {
    document: EventDocument,
    appended_at_ms: i64,
}

pub(crate) async fn serve(
    State(api): State<QueryApi>,
    Segments((app, id)): Segments<(String, String)>,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Json<Value>, Problem> {
    let shared = &*api.0;
    let reader = Reader::admit(shared, Operation::Ledger, &app, &headers, parameters)?;
    let tz = reader.timezone()?;
    let key = AppHash::of(&app).key(&id);
    let recent = (shared.recent)(key);
    let entry = async {
        match (shared.first)(key).await? {
            Some(first) => filed(shared, &app, key, first, &tz).await.map(Some),
            None => Ok(None),
        }
    };
    let mut entry = match (shared.guarded(entry).await?, &recent) {
        (Some(entry), _) => entry,
        (None, Some(fate)) => json!({
            "outcome": fate.outcome.name(),
            "detail": "not filed yet, or never going to be: see `recent`",
        }),
        (None, None) => return Err(unknown(shared, &tz)),
    };
    entry["id"] = json!(id);
    entry["key"] = json!(key.to_string());
    if let Some(fate) = recent {
        entry["recent"] = recent_json(&fate, &tz);
    }
    Ok(Json(entry))
}

async fn filed(
    shared: &Shared,
    app: &str,
    key: Key,
    first: First,
    tz: &TimeZone,
) -> Result<Value, Problem> {
    let logged = read(shared, key, first).await?;
    let documents = shared.documents.contains(key, first.day).await?;
    // Without the record it is not known whose row to look for.
    let rows = match &logged {
        Some(Logged { document, .. }) => {
            let (user, time_ms) = (document.user(), document.time_ms());
            Some(shared.rows.contains(app, user, time_ms, key).await?)
        }
        None => None,
    };
    let mut entry = json!({
        "outcome": "accepted",
        "position": {
            "partition": first.position.partition,
            "offset": first.position.offset,
            "index": first.position.index,
        },
        "day": event_json::day(first.day),
        "stores": {"documents": documents, "rows": rows},
        "record": if logged.is_some() { "kept" } else { "dropped by retention" },
    });
    if let Some(Logged { document, appended_at_ms }) = logged {
        let time = |at_ms: i64| json!({"ms": at_ms, "time": rfc3339(at_ms, tz)});
        entry["times"] = json!({
            "device": time(document.inner().time),
            "corrected": time(document.time_ms()),
            "received": time(document.received_at_ms),
            "appended": time(appended_at_ms),
        });
        entry["event"] = event_json::render(&document, tz);
    }
    Ok(entry)
}

/// Reads the event's record back; `None` where retention has dropped it.
async fn read(shared: &Shared, key: Key, first: First) -> Result<Option<Logged>, Problem> {
    let at = first.position;
    let records = shared.log.read(at.partition, at.offset, 1).await?;
    let Some(record) = records.into_iter().find(|record| record.offset == at.offset) else {
        return Ok(None);
    };
    let damaged = || {
        let detail = format!("the log's record at {at} does not hold the event that `D` names");
        Problem::from(StoreError::Poisoned(detail))
    };
    let batch = BatchRecord::decode(record.payload).map_err(|_| damaged())?;
    let event = batch.events.into_iter().nth(at.index as usize).ok_or_else(damaged)?;
    if Key::from_slice(&event.key) != Some(key) || event.event.is_none() {
        return Err(damaged());
    }
    let document = EventDocument {
        key,
        position: at,
        day: first.day,
        received_at_ms: batch.received_at,
        source: batch.source.into(),
        envelope: Arc::new(batch.envelope.unwrap_or_default()),
        event: Arc::new(event),
    };
    Ok(Some(Logged { document, appended_at_ms: record.appended_at_ms }))
}

fn recent_json(fate: &RecentFate, tz: &TimeZone) -> Value {
    json!({
        "outcome": fate.outcome.name(),
        "reason": fate.reason.map(sluice_event::Reason::name),
        "detail": fate.detail,
        "at": rfc3339(fate.at_ms, tz),
        "at_ms": fate.at_ms,
    })
}

fn unknown(shared: &Shared, tz: &TimeZone) -> Problem {
    let until = rfc3339((shared.complete_until_ms)(), tz);
    let detail = format!(
        "no event of this id is known. Either it never arrived; or it arrived after {until} and \
         is still on its way to the stores; or it was rejected longer ago than rejections are \
         remembered; or it is older than the window in which ids are remembered; or it stands in \
         the dead-letter log (`sluice dead-letters list`)"
    );
    Problem::new(StatusCode::NOT_FOUND, "event_unknown", detail)
}
