//! The embedded document store: a tantivy index a day, state documents beside
//! them in fjall.
//!
//! Constraints: a write is durable and seen when it returns; answers are exact;
//! after an I/O error nothing more is taken, since what is on disk is unknown.
//! All blocking work runs on the runtime's blocking threads; writes are serial,
//! and those that wait meanwhile share the next commit.

mod answer;
mod days;
mod gather;
mod lane;
mod pairs;
mod plan;
mod schema;
mod segment;
mod state;
mod tally;
mod visits;
mod walk;
mod writing;

use std::path::PathBuf;
use std::sync::Arc;

use futures::FutureExt;
use parking_lot::{Mutex, RwLock};
use sluice_seams::document::{Catalogue, StoreStatus};
use sluice_seams::{
    BoxFuture, Day, DocumentStore, DocumentWrite, Key, Question, Source, StoreError, Table,
    WriteReport,
};

use days::Days;
use state::State;
use writing::Waiting;

/// The least heap of a writer that tantivy takes, bytes.
pub const WRITER_HEAP_BYTES_MIN: usize = 15_000_000;

/// Where documents are kept, and with what means.
#[derive(Debug, Clone)]
pub struct DocumentsConfig {
    /// The store's own folder; made if it is not there.
    pub dir: PathBuf,
    /// Memory in which one day's writer gathers documents, bytes; at least
    /// [`WRITER_HEAP_BYTES_MIN`].
    pub writer_heap_bytes: usize,
    /// Days that keep a writer open, at least one.
    pub open_writers_max: usize,
    /// Threads that one question may use, at least one.
    pub answer_threads_max: usize,
}

/// The store. Clones share it.
#[derive(Clone)]
pub struct EmbeddedDocuments(Arc<Inner>);

struct Inner {
    days: Days,
    state: State,
    /// One write at a time; state documents are read before they are written.
    writing: Mutex<()>,
    waiting: Waiting,
    answer_threads_max: usize,
    refusing: RwLock<Option<String>>,
}

// === impl DocumentsConfig ===

impl DocumentsConfig {
    /// The usual means, with documents in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            writer_heap_bytes: 48_000_000,
            open_writers_max: 3,
            answer_threads_max: 2,
        }
    }
}

// === impl EmbeddedDocuments ===

impl EmbeddedDocuments {
    /// Opens the store, making it if it is not there. Blocks.
    pub fn open(config: DocumentsConfig) -> Result<Self, StoreError> {
        let dir = config.dir.display().to_string();
        let unusable = |why: String| {
            StoreError::Poisoned(format!("cannot open the document store in {dir}: {why}"))
        };
        if config.writer_heap_bytes < WRITER_HEAP_BYTES_MIN {
            let given = config.writer_heap_bytes;
            return Err(unusable(format!(
                "writer_heap_bytes is {given}: at least {WRITER_HEAP_BYTES_MIN} is needed"
            )));
        }
        std::fs::create_dir_all(&config.dir).map_err(|why| unusable(why.to_string()))?;
        let state = State::open(&config.dir.join("state")).map_err(|e| unusable(e.to_string()))?;
        let events = config.dir.join("events");
        let days = Days::open(events, config.writer_heap_bytes, config.open_writers_max)
            .map_err(|why| unusable(why.to_string()))?;
        Ok(Self(Arc::new(Inner {
            days,
            state,
            writing: Mutex::default(),
            waiting: Waiting::default(),
            answer_threads_max: config.answer_threads_max.max(1),
            refusing: RwLock::default(),
        })))
    }

    /// Runs `work` where it may block; it is finished even if the caller leaves.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = self.0.clone();
        let joined = tokio::task::spawn_blocking(move || {
            inner.check()?;
            work(&inner).inspect_err(|error| inner.refuse_after(error))
        });
        match joined.await {
            Ok(outcome) => outcome,
            Err(why) => {
                let why = format!("the document store failed: {why}");
                self.0.refusing.write().get_or_insert_with(|| why.clone());
                Err(StoreError::Poisoned(why))
            }
        }
    }
}

impl DocumentStore for EmbeddedDocuments {
    fn write(&self, writes: Vec<DocumentWrite>) -> BoxFuture<'_, Result<WriteReport, StoreError>> {
        async move {
            let written = self.0.waiting.push(writes);
            // Each call comes once; whoever comes first writes for all that wait.
            self.blocking(Inner::write_waiting).await?;
            let lost = || StoreError::Poisoned("the commit that took this along failed".into());
            written.await.map_err(|_| self.0.check().err().unwrap_or_else(lost))
        }
        .boxed()
    }

    fn answer(&self, question: Question) -> BoxFuture<'_, Result<Table, StoreError>> {
        self.blocking(move |inner| match question.source {
            Source::Events => {
                let searchers = inner.days.searchers();
                let searchers: Vec<_> = searchers.into_iter().map(|(_, view)| view).collect();
                answer::answer(&searchers, &question, inner.answer_threads_max)
            }
            Source::FirstSeen | Source::Follows => walk::answer(&inner.state, &question),
        })
        .boxed()
    }

    fn contains(&self, key: Key, day: Day) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.blocking(move |inner| inner.days.contains(day, key).map_err(documents)).boxed()
    }

    fn catalogue(&self, app_id: &str) -> BoxFuture<'_, Result<Catalogue, StoreError>> {
        let app_id = app_id.to_owned();
        async move { Ok(self.0.state.catalogue(&app_id)) }.boxed()
    }

    fn days(&self) -> BoxFuture<'_, Result<Vec<Day>, StoreError>> {
        let held = self.0.days.searchers().into_iter();
        let days: Vec<Day> =
            held.filter(|(_, view)| view.num_docs() > 0).map(|(day, _)| day).collect();
        async move { Ok(days) }.boxed()
    }

    fn drop_before(&self, day: Day) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.blocking(move |inner| {
            let _writing = inner.writing.lock();
            inner.state.drop_before(day).map_err(state)?;
            inner.days.drop_before(day).map_err(documents)
        })
        .boxed()
    }

    fn status(&self) -> BoxFuture<'_, StoreStatus> {
        async move {
            let inner = self.0.clone();
            let sizes = tokio::task::spawn_blocking(move || {
                let entries =
                    inner.days.searchers().iter().map(|(_, view)| view.num_docs()).sum::<u64>();
                (inner.state.disk_bytes().map(|state| state + inner.days.disk_bytes()), entries)
            });
            let (disk_bytes, entries) = sizes.await.map_or((None, None), |(d, e)| (d, Some(e)));
            StoreStatus { refusing: self.0.refusing.read().clone(), disk_bytes, entries }
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.blocking(|inner| {
            let _writing = inner.writing.lock();
            inner.days.close().map_err(documents)?;
            inner.state.persist().map_err(state)?;
            inner.refusing.write().get_or_insert_with(|| "closed".to_owned());
            Ok(())
        })
        .boxed()
    }
}

// === impl Inner ===

impl Inner {
    fn check(&self) -> Result<(), StoreError> {
        self.refusing.read().clone().map_or(Ok(()), |why| Err(StoreError::Poisoned(why)))
    }

    fn refuse_after(&self, error: &StoreError) {
        if let StoreError::Poisoned(why) = error {
            self.refusing.write().get_or_insert_with(|| why.clone());
        }
    }
}

fn documents(why: tantivy::TantivyError) -> StoreError {
    StoreError::Poisoned(format!("day indices: {why}"))
}

fn state(why: fjall::Error) -> StoreError {
    StoreError::Poisoned(format!("state documents: {why}"))
}

#[cfg(test)]
mod tests;
