//! The tasks of fan out: each declares its kind; none of them may end by itself.

use std::future::Future;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::error::Fatal;

/// What a task does, and with it what its failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TaskKind {
    /// Asks `D` for one partition. An error is fatal; waits for a last persist.
    Resolver,
    /// Serves one store from one partition. An error is fatal; waits for
    /// batches in flight.
    Lane,
    /// Retention. An error is logged and tried again; ends at once.
    Housekeeping,
    /// Follows the assignment of partitions. An error is fatal; ends at once.
    Assignment,
}

/// Running tasks, and the word that ends them.
#[derive(Debug)]
pub(crate) struct Tasks {
    stop: watch::Sender<Option<Instant>>,
    fatal: watch::Sender<Option<Fatal>>,
    running: Mutex<Vec<JoinHandle<()>>>,
}

/// What a task sees of [`Tasks::stop`]: the deadline once it was called.
pub(crate) type Stop = watch::Receiver<Option<Instant>>;

// === impl Tasks ===

impl Tasks {
    /// Their first fatal error goes to `fatal`.
    pub(crate) fn new(fatal: watch::Sender<Option<Fatal>>) -> Self {
        Self { stop: watch::channel(None).0, fatal, running: Mutex::new(Vec::new()) }
    }

    pub(crate) fn stop_signal(&self) -> Stop {
        self.stop.subscribe()
    }

    /// Runs a task; its error or panic is fatal for the whole of fan out.
    pub(crate) fn spawn(
        &self,
        kind: TaskKind,
        name: String,
        task: impl Future<Output = Result<(), Fatal>> + Send + 'static,
    ) {
        let inner = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(task));
        let fatal = self.fatal.clone();
        let watcher = tokio::spawn(async move {
            let error = match inner.await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error,
                Err(error) if error.is_cancelled() => return,
                Err(error) => Fatal(format!("task {name} panicked: {error}")),
            };
            tracing::error!(?kind, task = name, %error, "fan out cannot go on");
            fatal.send_if_modified(|held| {
                let news = held.is_none();
                held.get_or_insert(error);
                news
            });
        });
        self.running.lock().push(watcher);
    }

    /// Tells every task to end by `within` from now and waits for them; those
    /// that have not ended a little later are aborted. Whether all ended.
    pub(crate) async fn stop(&self, within: Duration) -> bool {
        let running = std::mem::take(&mut *self.running.lock());
        // Tasks keep a part of the time to commit what was taken by then.
        self.stop.send_replace(Some(Instant::now() + within.mul_f32(0.8)));
        let end = Instant::now() + within;
        let mut all_ended = true;
        for mut task in running {
            if tokio::time::timeout_at(end, &mut task).await.is_err() {
                task.abort();
                all_ended = false;
            }
        }
        all_ended
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.running.lock().iter().for_each(JoinHandle::abort);
    }
}

/// Runs what may block away from the tasks that must not.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fatal> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Fatal(format!("blocking work did not end: {error}")))
}
