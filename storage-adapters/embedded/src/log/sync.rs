//! Syncs the files of a group side by side. A disk makes what is asked of it at
//! the same time durable at the same time (a journal commits once for all who
//! wait); one after another, each file would wait for a commit of its own.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, Scope};
use std::time::Instant;

use super::shared::Shared;

/// Threads beside the writer's own, at most.
const THREADS_MAX: usize = 7;

/// A file to be synced.
#[derive(Debug, Clone)]
pub(super) struct Unsynced {
    pub(super) file: Arc<File>,
    pub(super) path: Arc<Path>,
}

/// A thread, reached by two channels; it ends when the first is closed.
struct Syncer {
    wanted: Sender<Unsynced>,
    done: Receiver<Result<(), String>>,
}

/// The threads that sync.
pub(super) struct Syncers<'a> {
    shared: &'a Shared,
    threads: Vec<Syncer>,
}

// === impl Syncers ===

impl<'a> Syncers<'a> {
    /// Starts as many threads as files may have to be synced besides the first. Those
    /// that cannot be started are done without.
    pub(super) fn start<'scope>(
        shared: &'a Shared,
        scope: &'scope Scope<'scope, 'a>,
        files_max: usize,
    ) -> Self {
        let start = |_| {
            let (wanted, jobs) = channel::<Unsynced>();
            let (told, done) = channel();
            let run = move || {
                // Nobody listens any more once the writer has ended.
                while let Ok(unsynced) = jobs.recv()
                    && told.send(sync(shared, &unsynced)).is_ok()
                {}
            };
            let started = Builder::new().name("log-sync".to_owned()).spawn_scoped(scope, run);
            started.ok().map(|_| Syncer { wanted, done })
        };
        let threads = (1..files_max.min(THREADS_MAX + 1)).filter_map(start).collect();
        Self { shared, threads }
    }

    /// Syncs all of them.
    ///
    /// # Errors
    /// What the disk said of one of them; all have been tried then.
    pub(super) fn sync(&self, files: &[Unsynced]) -> Result<(), String> {
        let mut outcome = Ok(());
        for some in files.chunks(self.threads.len() + 1) {
            let Some((own, others)) = some.split_first() else { break };
            let busy = self.threads.iter().zip(others);
            let busy: Vec<_> = busy.map(|(thread, file)| (thread, thread.begin(file))).collect();
            outcome = outcome.and(sync(self.shared, own));
            for (thread, begun) in busy {
                outcome = outcome.and(begun.and_then(|()| thread.end()));
            }
        }
        outcome
    }
}

// === impl Syncer ===

impl Syncer {
    fn begin(&self, file: &Unsynced) -> Result<(), String> {
        self.wanted.send(file.clone()).map_err(|_| Self::gone())
    }

    fn end(&self) -> Result<(), String> {
        self.done.recv().map_err(|_| Self::gone())?
    }

    fn gone() -> String {
        "event log: a thread that syncs ended unexpectedly".to_owned()
    }
}

fn sync(shared: &Shared, Unsynced { file, path }: &Unsynced) -> Result<(), String> {
    let begun = Instant::now();
    shared.config.disk.sync_data(file, path).map_err(failed("syncing", path))?;
    let figures = &shared.figures;
    figures.syncs.fetch_add(1, Ordering::Relaxed);
    let took = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
    figures.sync_ns.fetch_add(took, Ordering::Relaxed);
    Ok(())
}

/// What is said where the disk refused.
pub(super) fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> String {
    move |error| {
        format!(
            "event log: {what} {} failed ({error}); it takes nothing more until the process is started anew",
            path.display()
        )
    }
}
