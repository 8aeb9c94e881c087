//! The query API: what it is built from, and the router that serves it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use sluice_event::{Outcome, Reason, Refusal};
use sluice_seams::{
    BoxFuture, DedupeIndex, DocumentStore, EventDocument, EventLog, First, Key, RowStore,
    StoreError,
};
use sluice_telemetry::{Clock, Registry};
use tokio::sync::{Semaphore, broadcast};

use crate::config::{BODY_BYTES_MAX, QueryConfig};
use crate::metrics::{EndpointLabels, LatencyLabels, Metrics, RefusalLabels};
use crate::problem::{Problem, RefusedFor};
use crate::routes::{self, ROUTES, Route};
use crate::seen::Seen;

/// What an app's reader is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppTerms {
    /// IANA name of the time zone in which the app is asked about by default.
    pub timezone: Arc<str>,
}

/// What lately became of an event that was presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentFate {
    /// Its outcome.
    pub outcome: Outcome,
    /// Why; `None` where there is no reason to give.
    pub reason: Option<Reason>,
    /// For people.
    pub detail: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// Lets a reader in by app and bearer token, or refuses.
pub type Access = Arc<dyn Fn(&str, Option<&str>) -> Result<AppTerms, Refusal> + Send + Sync>;

/// Finds the first copy of an event; `None` where none is known.
pub type FindFirst =
    Arc<dyn Fn(Key) -> BoxFuture<'static, Result<Option<First>, StoreError>> + Send + Sync>;

/// Finds first copies in `D`, whose look-ups may block.
pub fn first_in(dedupe: Arc<dyn DedupeIndex>) -> FindFirst {
    Arc::new(move |key| {
        let dedupe = Arc::clone(&dedupe);
        Box::pin(async move {
            let found = tokio::task::spawn_blocking(move || dedupe.find(key)).await;
            found.unwrap_or_else(|error| {
                Err(StoreError::retry(Duration::from_secs(1), format!("look-up in `D`: {error}")))
            })
        })
    })
}

/// What the API is built from.
pub struct QueryDeps {
    /// Documents.
    pub documents: Arc<dyn DocumentStore>,
    /// Rows.
    pub rows: Arc<dyn RowStore>,
    /// The event log, for the ledger.
    pub log: Arc<dyn EventLog>,
    /// Where the first copy of an event stands, for the ledger.
    pub first: FindFirst,
    /// Who may read which app.
    pub access: Access,
    /// First copies of events as they are filed.
    pub live: broadcast::Sender<EventDocument>,
    /// Events received before this have all been filed, milliseconds.
    pub complete_until_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// What lately became of an event.
    pub recent: Arc<dyn Fn(Key) -> Option<RecentFate> + Send + Sync>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Bounds.
    pub config: QueryConfig,
    /// Where metrics are registered.
    pub registry: Registry,
}

/// The query API. Cloning shares it.
#[derive(Clone)]
pub struct QueryApi(pub(crate) Arc<Shared>);

/// What handlers share.
pub(crate) struct Shared {
    pub(crate) documents: Arc<dyn DocumentStore>,
    pub(crate) rows: Arc<dyn RowStore>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) first: FindFirst,
    pub(crate) access: Access,
    pub(crate) live: broadcast::Sender<EventDocument>,
    pub(crate) complete_until_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
    pub(crate) recent: Arc<dyn Fn(Key) -> Option<RecentFate> + Send + Sync>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: QueryConfig,
    pub(crate) metrics: Metrics,
    pub(crate) seen: Seen,
    pub(crate) live_clients: Arc<Semaphore>,
    questions: Semaphore,
}

// === impl QueryApi ===

impl QueryApi {
    /// Builds the API and registers its metrics.
    pub fn new(deps: QueryDeps) -> Self {
        Self(Arc::new(Shared {
            questions: Semaphore::new(deps.config.concurrent_max.min(Semaphore::MAX_PERMITS)),
            live_clients: Arc::new(Semaphore::new(
                deps.config.live_clients_max.min(Semaphore::MAX_PERMITS),
            )),
            metrics: Metrics::new(&deps.registry),
            seen: Seen::default(),
            documents: deps.documents,
            rows: deps.rows,
            log: deps.log,
            first: deps.first,
            access: deps.access,
            live: deps.live,
            complete_until_ms: deps.complete_until_ms,
            recent: deps.recent,
            clock: deps.clock,
            config: deps.config,
        }))
    }

    /// Every route of [`ROUTES`] that is served here; others are not found. It
    /// has no fallback of its own, so that it can be merged into another.
    pub fn router(&self) -> Router {
        let mut router = Router::new();
        for route in ROUTES {
            if let Some(handler) = routes::handler(route.operation) {
                let measured = middleware::from_fn_with_state((self.clone(), route), measure);
                let handler = handler.fallback(move || routes::wrong_method(route));
                router = router.route(route.path, handler.layer(measured));
            }
        }
        router.layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(self.clone())
    }
}

impl Shared {
    /// Runs one question: within the number that may run at once, and its time.
    pub(crate) async fn guarded<T>(
        &self,
        question: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let Ok(_permit) = self.questions.try_acquire() else {
            let max = self.config.concurrent_max;
            let detail = format!("{max} questions are being answered already; ask again");
            return Err(Problem::busy("overloaded", detail, 1));
        };
        let limit = Duration::from_millis(self.config.timeout_ms);
        tokio::time::timeout(limit, question).await.unwrap_or_else(|_| {
            let detail = format!(
                "no answer within {} ms; ask for a shorter range or narrower filters",
                limit.as_millis()
            );
            Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, "timed_out", detail))
        })
    }
}

/// Counts and times a request.
async fn measure(
    State((api, route)): State<(QueryApi, &'static Route)>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let response = next.run(request).await.into_response();
    let (metrics, endpoint) = (&api.0.metrics, route.id);
    let status = response.status().as_u16();
    metrics.requests.get_or_create(&EndpointLabels { endpoint, status }).inc();
    let latency = metrics.seconds.get_or_create(&LatencyLabels { endpoint });
    latency.observe(began.elapsed().as_secs_f64());
    if let Some(RefusedFor(reason)) = response.extensions().get() {
        metrics.refusals.get_or_create(&RefusalLabels { endpoint, reason }).inc();
    }
    response
}
