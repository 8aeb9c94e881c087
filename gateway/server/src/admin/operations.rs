//! Status, replay, dead letters: what an operator does.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use sluice_fanout::{DeadLetterChoice, FanOut, LANES, LaneStatus, Listed, ReplayError};
use sluice_seams::BoxFuture;
use sluice_seams::document::StoreStatus;

use super::api::{
    DeadLetterReplayRequest, DeadLetterReplayed, ReplayFrom, ReplayRequest, ReplayState,
};
use super::{AdminState, Refused};

/// Most dead letters in one page.
const DEAD_LETTERS_MAX: usize = 10_000;

/// `GET /dead-letters?from=&limit=`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// First id.
    #[serde(default)]
    from: u64,
    /// How many.
    #[serde(default = "page_default")]
    limit: usize,
}

fn page_default() -> usize {
    100
}

/// `GET /status`: role, log, lanes, stores.
pub async fn status(State(state): State<AdminState>) -> Result<Json<Value>, Refused> {
    let parts = state.parts()?;
    let (log, stores) = (&parts.stores.logs.events, &parts.stores);
    let partitions: Vec<Value> = (0..log.partitions())
        .map(|partition| {
            let (first, end) = log.bounds(partition);
            json!({ "partition": partition, "first": first, "end": end })
        })
        .collect();
    Ok(Json(json!({
        "role": parts.role.name,
        "version": env!("CARGO_PKG_VERSION"),
        "reasons": state.readiness.reasons(Some(parts)).await,
        "complete_until_ms": parts.complete_until_ms(),
        "log": { "status": log.status(), "partitions": partitions },
        "fan_out": parts.fan_out.as_ref().map(|fan_out| fan_out.status()),
        "documents": status_of(stores.documents.as_ref().map(|it| it.status())).await,
        "rows": status_of(stores.rows.as_ref().map(|it| it.status())).await,
    })))
}

/// `None` where the role does without.
async fn status_of(asked: Option<BoxFuture<'_, StoreStatus>>) -> Option<StoreStatus> {
    match asked {
        Some(asked) => Some(asked.await),
        None => None,
    }
}

/// `POST /replay`
pub async fn replay(
    State(state): State<AdminState>,
    Json(request): Json<ReplayRequest>,
) -> Result<Json<ReplayState>, Refused> {
    let parts = state.parts()?;
    let fan_out = fan_out(&state)?;
    let from = match request.from {
        ReplayFrom::Start => sluice_fanout::ReplayFrom::Start,
        ReplayFrom::TimeMs(ms) => sluice_fanout::ReplayFrom::Time(ms),
        ReplayFrom::AgeMs(ms) => {
            let ms = i64::try_from(ms).unwrap_or(i64::MAX);
            sluice_fanout::ReplayFrom::Time(parts.clock.now_ms().saturating_sub(ms))
        }
    };
    tracing::info!(store = request.store, ?from, "replay asked for");
    let begun = fan_out.replay(&request.store, from).await.map_err(refused)?;
    let records_total = begun.iter().map(|(_, it)| it.target.saturating_sub(it.from)).sum();
    Ok(Json(ReplayState { records_total, records_done: 0, done: false, last_error: None }))
}

/// `GET /replay/{store}`
pub async fn replay_state(
    State(state): State<AdminState>,
    Path(store): Path<String>,
) -> Result<Json<ReplayState>, Refused> {
    if !LANES.contains(&store.as_str()) {
        return Err(refused(ReplayError::UnknownLane(store)));
    }
    let lanes = fan_out(&state)?.status().lanes;
    let lanes: Vec<LaneStatus> = lanes.into_iter().filter(|lane| lane.lane == store).collect();
    let running = || lanes.iter().filter_map(|lane| lane.replay);
    Ok(Json(ReplayState {
        records_total: running().map(|it| it.target.saturating_sub(it.from)).sum(),
        records_done: running().map(|it| it.now.saturating_sub(it.from)).sum(),
        done: running().next().is_none(),
        last_error: lanes.iter().find_map(|lane| lane.last_error.clone()),
    }))
}

/// `GET /dead-letters`
pub async fn dead_letters(
    State(state): State<AdminState>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<Value>>, Refused> {
    let letters = fan_out(&state)?.dead_letters();
    let limit = page.limit.clamp(1, DEAD_LETTERS_MAX);
    let page = letters.list(page.from, limit).await.map_err(|error| refused(error.into()))?;
    Ok(Json(page.letters.iter().map(summary).collect()))
}

/// `GET /dead-letters/{id}`
pub async fn dead_letter(
    State(state): State<AdminState>,
    Path(id): Path<u64>,
) -> Result<Json<Value>, Refused> {
    let letter = fan_out(&state)?.dead_letters().show(id).await;
    let letter = letter.map_err(|error| refused(error.into()))?;
    let letter = letter.ok_or_else(|| refused(ReplayError::UnknownDeadLetter(id)))?;
    let mut shown = summary(&letter);
    shown["attempts"] = json!(letter.letter.attempts);
    shown["event"] = event(&letter.letter.payload);
    Ok(Json(shown))
}

/// `POST /dead-letters/replay`
pub async fn replay_dead_letters(
    State(state): State<AdminState>,
    Json(request): Json<DeadLetterReplayRequest>,
) -> Result<Json<DeadLetterReplayed>, Refused> {
    let choice = match (request.all, request.ids) {
        (true, _) => DeadLetterChoice::All,
        (false, ids) => DeadLetterChoice::Ids(ids),
    };
    let done = fan_out(&state)?.replay_dead_letters(choice).await.map_err(refused)?;
    let (replayed, refused) = (done.settled.len() as u64, done.refused.len() as u64);
    Ok(Json(DeadLetterReplayed { replayed, refused }))
}

fn fan_out(state: &AdminState) -> Result<&FanOut, Refused> {
    let parts = state.parts()?;
    parts.fan_out.as_deref().ok_or_else(|| {
        let text = format!(
            "this process runs `{}`: ask the one that runs `serve` or `fan-out`",
            parts.role.name
        );
        Refused(StatusCode::CONFLICT, text)
    })
}

fn refused(error: ReplayError) -> Refused {
    let status = match error {
        ReplayError::UnknownLane(_) | ReplayError::UnknownPartition(..) => StatusCode::BAD_REQUEST,
        ReplayError::UnknownDeadLetter(_) => StatusCode::NOT_FOUND,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refused(status, error.to_string())
}

fn summary(listed: &Listed) -> Value {
    let letter = &listed.letter;
    json!({
        "id": listed.id, "replayed": listed.settled, "lane": letter.lane,
        "partition": letter.partition, "offset": letter.offset, "index": letter.index,
        "reason": letter.reason, "detail": letter.detail, "at_ms": letter.at_ms,
        "app_id": letter.app_id, "event_id": letter.event_id,
    })
}

/// The event, readable; hex where it cannot be decoded.
fn event(payload: &[u8]) -> Value {
    use prost::Message;
    let record = sluice_proto::v1::BatchRecord::decode(payload).ok();
    let event = record.and_then(|record| record.events.into_iter().next()?.event);
    match event {
        Some(event) => json!({
            "id": event.id, "name": event.name, "time": event.time,
            "device_id": event.device_id, "user_id": event.user_id,
            "properties": serde_json::from_slice::<Value>(&event.properties).ok(),
        }),
        None => json!(payload.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    }
}
