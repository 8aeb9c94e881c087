//! A query API over stores in memory, and a way to ask it.
#![allow(dead_code)] // each test file uses its part of it

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use sluice_event::{Outcome, Reason, Refusal};
use sluice_memory::dedupe::MemoryDedupe;
use sluice_memory::documents::MemoryDocuments;
use sluice_memory::fault::{Fault, Script};
use sluice_memory::log::MemoryLog;
use sluice_memory::rows::MemoryRows;
use sluice_proto::v1::{Envelope, Event, RecordEvent};
use sluice_query::{AppTerms, QueryApi, QueryConfig, QueryDeps, RecentFate, first_in};
use sluice_seams::document::{Catalogue, StoreStatus};
use sluice_seams::key::AppHash;
use sluice_seams::{
    BoxFuture, Day, DocumentStore, DocumentWrite, EventDocument, Key, Position, Question, RowStore,
    RowWrite, StoreError, Table, WriteReport,
};
use sluice_telemetry::{ManualClock, Registry};
use tokio::sync::broadcast;
use tower::ServiceExt as _;

pub const NOW_MS: i64 = 1_795_190_400_000; // 2026-11-20T16:00:00Z
pub const TOKEN: &str = "read-token";

/// The API and what stands behind it.
pub struct World {
    pub router: Router,
    pub documents: Arc<MemoryDocuments>,
    pub rows: Arc<MemoryRows>,
    pub log: Arc<MemoryLog>,
    pub dedupe: Arc<MemoryDedupe>,
    pub moods: Script,
    /// How far behind the clock the stores are.
    pub behind_ms: Arc<AtomicI64>,
    pub clock: ManualClock,
    pub live: broadcast::Sender<EventDocument>,
    pub registry: Registry,
}

/// Documents in memory whose answers fail or are late, as scripted.
struct Moody {
    documents: Arc<MemoryDocuments>,
    moods: Script,
}

impl DocumentStore for Moody {
    fn write(&self, writes: Vec<DocumentWrite>) -> BoxFuture<'_, Result<WriteReport, StoreError>> {
        self.documents.write(writes)
    }

    fn answer(&self, question: Question) -> BoxFuture<'_, Result<Table, StoreError>> {
        Box::pin(async move {
            match self.moods.take() {
                Fault::None => self.documents.answer(question).await,
                Fault::Slow(time) => {
                    tokio::time::sleep(time).await;
                    self.documents.answer(question).await
                }
                _ => Err(StoreError::retry(Duration::from_secs(2), "scripted fault")),
            }
        })
    }

    fn contains(&self, key: Key, day: Day) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.documents.contains(key, day)
    }

    fn catalogue(&self, app_id: &str) -> BoxFuture<'_, Result<Catalogue, StoreError>> {
        self.documents.catalogue(app_id)
    }

    fn days(&self) -> BoxFuture<'_, Result<Vec<Day>, StoreError>> {
        self.documents.days()
    }

    fn drop_before(&self, day: Day) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.documents.drop_before(day)
    }

    fn status(&self) -> BoxFuture<'_, StoreStatus> {
        self.documents.status()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.documents.close()
    }
}

/// A status and a JSON body.
pub type Reply = (StatusCode, Value);

// === impl World ===

impl World {
    pub fn new(config: QueryConfig) -> Self {
        let (moods, clock) = (Script::default(), ManualClock::at(NOW_MS));
        let documents = Arc::new(MemoryDocuments::new(Script::default()));
        let (rows, log) = (Arc::new(MemoryRows::new()), Arc::new(MemoryLog::new(4)));
        let dedupe = Arc::new(MemoryDedupe::new());
        let (live, registry) = (broadcast::channel(4).0, Registry::new());
        let rejected = AppHash::of("demo").key("rejected");
        let (until, behind_ms) = (clock.clone(), Arc::<AtomicI64>::default());
        let behind = Arc::clone(&behind_ms);
        let api = QueryApi::new(QueryDeps {
            documents: Arc::new(Moody { documents: documents.clone(), moods: moods.clone() }),
            rows: rows.clone(),
            log: log.clone(),
            first: first_in(dedupe.clone()),
            access: Arc::new(access),
            live: live.clone(),
            complete_until_ms: Arc::new(move || {
                sluice_telemetry::Clock::now_ms(&until) - behind.load(Ordering::Relaxed)
            }),
            recent: Arc::new(move |key| {
                (key == rejected).then(|| RecentFate {
                    outcome: Outcome::Rejected,
                    reason: Some(Reason::NameInvalid),
                    detail: "name has a space".into(),
                    at_ms: NOW_MS,
                })
            }),
            clock: Arc::new(clock.clone()),
            config,
            registry: registry.clone(),
        });
        let router = api.router();
        Self { router, documents, rows, log, dedupe, moods, clock, behind_ms, live, registry }
    }

    /// Files events as fan out would.
    pub async fn file(&self, documents: Vec<EventDocument>) {
        let mut writes = Vec::new();
        let mut rows = Vec::new();
        for document in documents {
            if matches!(document.inner().name.as_str(), "follow" | "unfollow") {
                writes.push(DocumentWrite::Follow(document.clone()));
            }
            writes.push(DocumentWrite::FirstSeen(document.clone()));
            rows.push(RowWrite::Seen {
                app_id: document.app_id().into(),
                user: document.user().into(),
                time_ms: document.time_ms(),
            });
            rows.push(RowWrite::Timeline(document.clone()));
            writes.push(DocumentWrite::Event(document));
        }
        self.documents.write(writes).await.expect("written");
        self.rows.write(rows).await.expect("written");
    }

    pub async fn get(&self, path: &str) -> Reply {
        let request = Request::get(path).header("authorization", format!("Bearer {TOKEN}"));
        self.send(request.body(Body::empty()).expect("a request")).await
    }

    pub async fn ask(&self, question: &Value) -> Reply {
        let request = Request::post("/v1/apps/demo/query")
            .header("authorization", format!("Bearer {TOKEN}"))
            .body(Body::from(question.to_string()))
            .expect("a request");
        self.send(request).await
    }

    /// Asks, and fails the test where there is no answer.
    pub async fn answer(&self, question: &Value) -> Value {
        let (status, body) = self.ask(question).await;
        assert_eq!(status, 200, "{question}: {body}");
        body
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let status = response.status();
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }
}

fn access(app: &str, token: Option<&str>) -> Result<AppTerms, Refusal> {
    match token {
        None => Err(Refusal::new(Reason::KeyMissing, "send Authorization: Bearer <read token>")),
        Some(TOKEN) if app == "demo" => Ok(AppTerms { timezone: "Asia/Shanghai".into() }),
        Some(TOKEN) => Err(Refusal::new(Reason::KeyForbidden, "not a token of this app")),
        Some(_) => Err(Refusal::new(Reason::KeyUnknown, "unknown token")),
    }
}

/// A document of app `demo` at log position `0/0/0`.
pub fn document(
    id: &str,
    name: &str,
    device: &str,
    time_ms: i64,
    edit: impl FnOnce(&mut Event, &mut Envelope),
) -> EventDocument {
    let mut event = Event {
        id: id.into(),
        name: name.into(),
        time: time_ms,
        device_id: device.into(),
        ..Event::default()
    };
    let mut envelope =
        Envelope { app_id: "demo".into(), env: "release".into(), ..Envelope::default() };
    edit(&mut event, &mut envelope);
    let (key, day) = (AppHash::of("demo").key(id), Day::of(time_ms));
    EventDocument {
        key,
        position: Position { partition: 0, offset: 0, index: 0 },
        day,
        received_at_ms: time_ms + 7,
        source: "native".into(),
        envelope: Arc::new(envelope),
        event: Arc::new(RecordEvent {
            key: key.to_bytes().to_vec().into(),
            event: Some(event),
            time_corrected: time_ms,
            day: day.0,
            fingerprint: 1,
            flags: 0,
        }),
    }
}
