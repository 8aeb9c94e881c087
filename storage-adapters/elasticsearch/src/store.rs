//! The store: its parts, and the seam.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use elasticsearch::http::Method;
use futures::FutureExt;
use parking_lot::Mutex;
use serde::Deserialize;
use sluice_seams::document::{Catalogue, StoreStatus};
use sluice_seams::{
    BoxFuture, Day, DocumentStore, DocumentWrite, Key, Position, Question, StoreError, Table,
    WriteReport,
};

use crate::bulk::Bulk;
use crate::catalogue::Names;
use crate::client::{Client, NowMs, Request};
use crate::config::ElasticsearchConfig;
use crate::figures::{Counters, Figures};
use crate::indices::{Daily, Indices};
use crate::refresh::Refresher;
use crate::write::Ensured;
use crate::{days, health, query, templates};

/// What the store needs besides its config.
#[derive(Clone)]
pub struct Deps {
    /// The clock: milliseconds since the Unix epoch.
    pub now_ms: NowMs,
}

/// Documents on Elasticsearch or OpenSearch. Clones share one client.
#[derive(Clone)]
pub struct ElasticsearchDocuments(pub(crate) Arc<Inner>);

/// Parts of the store.
pub struct Inner {
    pub client: Arc<Client>,
    pub config: ElasticsearchConfig,
    pub indices: Indices,
    pub counters: Arc<Counters>,
    pub bulk: Bulk,
    pub refresher: Refresher,
    pub ensured: Mutex<Ensured>,
    pub names: Names,
    /// Whether the engine is Elasticsearch, else OpenSearch.
    pub elastic: bool,
    closed: AtomicBool,
}

/// Where an event's document stands: for an event ledger without an index of
/// its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Where its first copy stands in the log.
    pub position: Position,
    /// The day it is filed under.
    pub day: Day,
    /// The fingerprint of its content.
    pub fingerprint: u64,
    /// When it was received, milliseconds since the Unix epoch.
    pub received_at_ms: i64,
}

/// The part of a document's source that [`Found`] is read from.
#[derive(Deserialize)]
struct Source {
    received: i64,
    log: LogPlace,
}

#[derive(Deserialize)]
struct LogPlace {
    partition: u32,
    offset: u64,
    index: u32,
    day: i32,
    fingerprint: String,
}

// === impl ElasticsearchDocuments ===

impl ElasticsearchDocuments {
    /// Connects, and makes and verifies templates and indices.
    ///
    /// Errors: `Refused` for a setting or a layout that cannot be used, `Retry`
    /// where no node answers.
    pub async fn open(config: ElasticsearchConfig, deps: Deps) -> Result<Self, StoreError> {
        config.check().map_err(|why| StoreError::Refused(why.to_string()))?;
        let counters = Arc::new(Counters::default());
        let client = Arc::new(Client::new(&config, deps.now_ms, counters.clone())?);
        let hello = client.call(&Request::new(Method::Get, "_cluster/health"), &[]).await?;
        let indices = Indices::new(&config.index_prefix);
        templates::install(&client, &indices, &config).await?;
        Ok(Self(Arc::new(Inner {
            bulk: Bulk::new(client.clone(), &config, counters.clone()),
            refresher: Refresher::new(client.clone(), counters.clone()),
            elastic: hello.elastic,
            ensured: Mutex::default(),
            names: Names::default(),
            closed: AtomicBool::new(false),
            client,
            config,
            indices,
            counters,
        })))
    }

    /// What the store has done.
    pub fn figures(&self) -> Figures {
        let pace = self.0.bulk.pace();
        let (in_flight, limit) = pace.in_flight();
        Figures {
            in_flight: in_flight as u64,
            in_flight_limit: limit as u64,
            bulk_bytes_aim: pace.bytes_aim() as u64,
            nodes: self.0.client.nodes(),
            ..self.0.counters.read()
        }
    }

    /// Looks an event up over all days. Where several days hold its key (a
    /// second copy was filed while nobody knew the first), the one received first.
    pub async fn find(&self, key: Key) -> Result<Option<Found>, StoreError> {
        let inner = &*self.0;
        inner.check()?;
        let events = inner.indices.pattern(Daily::Events);
        let body = serde_json::json!({
            "size": 100,
            "query": {"ids": {"values": [key.to_string()]}},
            "_source": ["received", "log"],
        });
        let hits: Vec<Source> = query::search_sources(inner, &events, &body).await?;
        let first = hits.into_iter().filter_map(Source::found);
        Ok(first.min_by_key(|found| (found.received_at_ms, found.day)))
    }
}

impl DocumentStore for ElasticsearchDocuments {
    fn write(&self, writes: Vec<DocumentWrite>) -> BoxFuture<'_, Result<WriteReport, StoreError>> {
        async move {
            self.0.check()?;
            self.0.write(writes).await
        }
        .boxed()
    }

    fn answer(&self, question: Question) -> BoxFuture<'_, Result<Table, StoreError>> {
        async move {
            self.0.check()?;
            query::answer(&self.0, &question).await
        }
        .boxed()
    }

    fn contains(&self, key: Key, day: Day) -> BoxFuture<'_, Result<bool, StoreError>> {
        async move {
            self.0.check()?;
            let index = self.0.indices.daily(Daily::Events, day);
            let request = Request::new(Method::Get, format!("{index}/_doc/{key}?_source=false"));
            Ok(self.0.client.call(&request, &[404]).await?.status != 404)
        }
        .boxed()
    }

    fn catalogue(&self, app_id: &str) -> BoxFuture<'_, Result<Catalogue, StoreError>> {
        let app_id = app_id.to_owned();
        async move {
            self.0.check()?;
            crate::catalogue::of_app(&self.0, &app_id).await
        }
        .boxed()
    }

    fn days(&self) -> BoxFuture<'_, Result<Vec<Day>, StoreError>> {
        async move {
            self.0.check()?;
            Ok(days::counts(&self.0).await?.into_keys().collect())
        }
        .boxed()
    }

    fn drop_before(&self, day: Day) -> BoxFuture<'_, Result<u64, StoreError>> {
        async move {
            self.0.check()?;
            days::drop_before(&self.0, day).await
        }
        .boxed()
    }

    fn status(&self) -> BoxFuture<'_, StoreStatus> {
        health::status(&self.0).boxed()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        // A write is durable when it returns: there is nothing left to save.
        self.0.closed.store(true, Relaxed);
        async { Ok(()) }.boxed()
    }
}

// === impl Inner ===

impl Inner {
    /// An error once the store was closed.
    pub fn check(&self) -> Result<(), StoreError> {
        match self.closed() {
            true => Err(StoreError::Poisoned("elasticsearch: closed".to_owned())),
            false => Ok(()),
        }
    }

    /// Whether the store was closed.
    pub fn closed(&self) -> bool {
        self.closed.load(Relaxed)
    }
}

// === impl Source ===

impl Source {
    fn found(self) -> Option<Found> {
        let log = self.log;
        Some(Found {
            position: Position { partition: log.partition, offset: log.offset, index: log.index },
            day: Day(log.day),
            fingerprint: u64::from_str_radix(&log.fingerprint, 16).ok()?,
            received_at_ms: self.received,
        })
    }
}
