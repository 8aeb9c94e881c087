//! A document store with many days of events in it, and questions to it as a
//! console asks them: JSON in, JSON out, without the sockets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{Request, StatusCode};
use serde_json::Value;
use sluice_embedded::documents::EmbeddedDocuments;
use sluice_proto::v1::{Device, Envelope, RecordEvent};
use sluice_query::{AppTerms, QueryApi, QueryConfig, QueryDeps, first_in};
use sluice_seams::key::AppHash;
use sluice_seams::{Day, DocumentStore, DocumentWrite, EventDocument, Position};
use sluice_telemetry::{ManualClock, Registry};

use crate::null::{MapIndex, NullLog, NullStore};
use crate::population::{Population, Sent};
use crate::traffic;

const WRITE_EVENTS: usize = 5_000;
const DAY_MS: i64 = 86_400_000;
/// Days that are filled.
pub const DAYS: i32 = 30;
/// The first and the last of them.
pub const RANGE: [&str; 2] = ["2026-11-01", "2026-11-30"];
/// 2026-11-01T00:00Z.
const FIRST_MS: i64 = 1_793_491_200_000;

fn document(sent: &Sent, envelope: &Arc<Envelope>, number: usize) -> EventDocument {
    let key = AppHash::of("demo").key(&sent.id);
    let event = RecordEvent {
        key: key.to_bytes().to_vec().into(),
        event: Some(traffic::event(sent)),
        time_corrected: sent.time_ms,
        day: Day::of(sent.time_ms).0,
        fingerprint: number as u64,
        flags: 0,
    };
    EventDocument {
        key,
        position: Position { partition: 0, offset: (number / 50) as u64, index: 0 },
        day: Day::of(sent.time_ms),
        received_at_ms: sent.time_ms,
        source: "native".into(),
        envelope: Arc::clone(envelope),
        event: Arc::new(event),
    }
}

/// Files `events` events evenly under the days.
///
/// # Errors
/// What the store said, or that it refused an event.
pub async fn fill(store: &EmbeddedDocuments, events: usize) -> Result<(), String> {
    let device = Device { model: "iPhone 15".into(), os: "iOS".into(), ..Device::default() };
    let envelope = Arc::new(Envelope {
        app_id: "demo".to_owned(),
        platform: "wx".to_owned(),
        app_version: "1.2.3".to_owned(),
        device: Some(device),
        ..Envelope::default()
    });
    let mut population = Population::new(7, "0193a5b2-7c4d-7e8f-9a0b", 50_000, 200);
    let mut written = 0;
    for day in 0..DAYS {
        let until = events * (day as usize + 1) / DAYS as usize;
        while written < until {
            let count = WRITE_EVENTS.min(until - written);
            let writes = (0..count).map(|at| {
                let time = FIRST_MS + i64::from(day) * DAY_MS + 60_000;
                let spread = (at as i64 * (DAY_MS - 120_000)) / count as i64;
                let sent = population.event(time + spread);
                DocumentWrite::Event(document(&sent, &envelope, written + at))
            });
            let report = store.write(writes.collect()).await.map_err(|error| error.to_string())?;
            if report.existing > 0 || !report.refused.is_empty() {
                return Err(format!("events that are new and valid were not taken: {report:?}"));
            }
            written += count;
        }
    }
    Ok(())
}

/// The query API over the store.
pub fn api(store: EmbeddedDocuments) -> Router {
    let deps = QueryDeps {
        documents: Arc::new(store),
        rows: Arc::new(NullStore),
        log: Arc::new(NullLog(1)),
        first: first_in(Arc::new(MapIndex)),
        access: Arc::new(|_, _| Ok(AppTerms { timezone: "Asia/Shanghai".into() })),
        live: tokio::sync::broadcast::channel(1).0,
        complete_until_ms: Arc::new(|| i64::MAX),
        recent: Arc::new(|_| None),
        clock: Arc::new(ManualClock::at(FIRST_MS + i64::from(DAYS) * DAY_MS)),
        config: QueryConfig::default(),
        registry: Registry::new(),
    };
    QueryApi::new(deps).router()
}

/// Asks a question; how long it took, and the answer.
///
/// # Errors
/// What was answered instead.
pub async fn ask(router: &Router, question: &Value) -> Result<(Duration, Value), String> {
    let body = Body::from(question.to_string());
    let request = Request::post("/v1/apps/demo/query")
        .header("content-type", "application/json")
        .header("authorization", "Bearer demo-read-token")
        .body(body)
        .map_err(|error| error.to_string())?;
    let began = Instant::now();
    let answer = tower::ServiceExt::oneshot(router.clone(), request).await;
    let Ok(answer) = answer;
    let status = answer.status();
    let bytes =
        to_bytes(answer.into_body(), usize::MAX).await.map_err(|error| error.to_string())?;
    let took = began.elapsed();
    if status != StatusCode::OK {
        return Err(format!("{status}: {}", String::from_utf8_lossy(&bytes)));
    }
    Ok((took, serde_json::from_slice(&bytes).map_err(|error| error.to_string())?))
}
