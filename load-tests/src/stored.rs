//! A document store with many days of events in it, and questions to it as a
//! console asks them: JSON in, JSON out, without the sockets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use futures::{TryStreamExt, stream};
use http::{Request, StatusCode};
use parking_lot::Mutex;
use serde_json::Value;
use sluice_proto::v1::{Device, Envelope, RecordEvent};
use sluice_query::{AppTerms, QueryApi, QueryConfig, QueryDeps, first_in};
use sluice_seams::key::AppHash;
use sluice_seams::{Day, DocumentStore, DocumentWrite, EventDocument, Position};
use sluice_telemetry::{ManualClock, Registry};

use crate::null::{MapIndex, NullLog, NullStore};
use crate::population::{Population, Sent};
use crate::traffic;

/// A commit costs as much for a few: as many as a day's writer holds in memory.
const WRITE_EVENTS: usize = 50_000;
/// Days that are filled side by side.
const DAYS_AT_ONCE: usize = 3;
const DAY_MS: i64 = 86_400_000;
/// How far the time zone of the questions is ahead of UTC.
pub const ZONE_MS: i64 = 8 * 3_600_000;
/// Days that are filled.
pub const DAYS: i32 = 30;
/// The first and the last of them.
pub const RANGE: [&str; 2] = ["2026-11-01", "2026-11-30"];
/// When they begin: 2026-11-01T00:00Z, milliseconds.
pub const FIRST_MS: i64 = 1_793_491_200_000;

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

/// Events of past days, made a day's piece at a time; days may be filed side by side.
pub struct Past {
    envelope: Arc<Envelope>,
    /// Who makes them, and how many were made.
    makers: Mutex<(Population, usize)>,
}

// === impl Past ===

impl Past {
    /// None yet; every piece that it makes is new.
    pub fn new() -> Self {
        let device = Device { model: "iPhone 15".into(), os: "iOS".into(), ..Device::default() };
        let envelope = Arc::new(Envelope {
            app_id: "demo".to_owned(),
            platform: "wx".to_owned(),
            app_version: "1.2.3".to_owned(),
            device: Some(device),
            ..Envelope::default()
        });
        let population = Population::new(7, "0193a5b2-7c4d-7e8f-9a0b", 50_000, 200);
        Self { envelope, makers: Mutex::new((population, 0)) }
    }

    /// `count` events spread over a day; day 0 is the first.
    pub fn day(&self, day: i32, count: usize) -> Vec<DocumentWrite> {
        let (population, made) = &mut *self.makers.lock();
        let from = FIRST_MS + i64::from(day) * DAY_MS + 60_000;
        let event = |at: usize| {
            let spread = (at as i64 * (DAY_MS - 120_000)) / count as i64;
            let sent = population.event(from + spread);
            DocumentWrite::Event(document(&sent, &self.envelope, *made + at))
        };
        let events = (0..count).map(event).collect();
        *made += count;
        events
    }

    /// Files `count` more events under a day.
    ///
    /// # Errors
    /// What the store said, or that it refused an event.
    pub async fn file(
        &self,
        store: &dyn DocumentStore,
        day: i32,
        count: usize,
    ) -> Result<(), String> {
        let mut left = count;
        while left > 0 {
            let some = left.min(WRITE_EVENTS);
            write(store, self.day(day, some)).await?;
            left -= some;
        }
        Ok(())
    }
}

impl Default for Past {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes events that are new and valid.
///
/// # Errors
/// What the store said, or that it refused one.
pub async fn write(store: &dyn DocumentStore, writes: Vec<DocumentWrite>) -> Result<(), String> {
    let report = store.write(writes).await.map_err(|error| error.to_string())?;
    match report.existing > 0 || !report.refused.is_empty() {
        true => Err(format!("events that are new and valid were not taken: {report:?}")),
        false => Ok(()),
    }
}

/// Files `events` events evenly under the days.
///
/// # Errors
/// What the store said, or that it refused an event.
pub async fn fill(store: &dyn DocumentStore, events: usize) -> Result<(), String> {
    let (past, days) = (&Past::new(), DAYS as usize);
    let fill = |day: usize| {
        let count = events * (day + 1) / days - events * day / days;
        past.file(store, day as i32, count)
    };
    stream::iter((0..days).map(Ok)).try_for_each_concurrent(DAYS_AT_ONCE, fill).await
}

/// The query API over the store, at the end of its days.
pub fn api(store: impl DocumentStore + 'static) -> Router {
    api_at(store, FIRST_MS + i64::from(DAYS) * DAY_MS)
}

/// The same in the last moment of a day, in the time zone of the questions: `last`
/// of a question ends with that day.
pub fn api_on(store: impl DocumentStore + 'static, days: i32) -> Router {
    api_at(store, FIRST_MS + i64::from(days) * DAY_MS - ZONE_MS - 1)
}

fn api_at(store: impl DocumentStore + 'static, now_ms: i64) -> Router {
    let deps = QueryDeps {
        documents: Arc::new(store),
        rows: Arc::new(NullStore),
        log: Arc::new(NullLog(1)),
        first: first_in(Arc::new(MapIndex)),
        access: Arc::new(|_, _| Ok(AppTerms { timezone: "Asia/Shanghai".into() })),
        live: tokio::sync::broadcast::channel(1).0,
        complete_until_ms: Arc::new(|| i64::MAX),
        recent: Arc::new(|_| None),
        clock: Arc::new(ManualClock::at(now_ms)),
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
