//! Writes and syncs the files of a group side by side. A disk makes what is asked
//! of it at the same time durable at the same time (a journal commits once for all
//! who wait); one after another, each file would wait for a commit of its own. And
//! while one file waits for the disk, another is copied to the system's pages.

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
/// Memory that is kept for the bytes of the next group, each file.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// What a file gets.
#[derive(Debug)]
pub(super) struct Unsynced {
    pub(super) file: Arc<File>,
    pub(super) path: Arc<Path>,
    /// Appended; may be nothing.
    pub(super) bytes: Vec<u8>,
}

/// Whether it survives a crash of the machine now, and the memory of its bytes,
/// emptied.
type Synced = (Result<(), String>, Vec<u8>);

/// A thread, reached by two channels; it ends when the first is closed.
struct Syncer {
    wanted: Sender<Unsynced>,
    done: Receiver<Synced>,
}

/// The threads that write and sync.
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
                    && told.send(sync(shared, unsynced)).is_ok()
                {}
            };
            let started = Builder::new().name("log-sync".to_owned()).spawn_scoped(scope, run);
            started.ok().map(|_| Syncer { wanted, done })
        };
        let threads = (1..files_max.min(THREADS_MAX + 1)).filter_map(start).collect();
        Self { shared, threads }
    }

    /// Writes and syncs all of them; gives back what their bytes lay in, in order.
    ///
    /// # Errors
    /// What the disk said of one of them; all have been tried then.
    pub(super) fn sync(
        &self,
        mut files: impl ExactSizeIterator<Item = Unsynced>,
    ) -> Result<Vec<Vec<u8>>, String> {
        let (mut outcome, mut emptied) = (Ok(()), Vec::with_capacity(files.len()));
        let mut note = |(synced, bytes): Synced| {
            if outcome.is_ok() {
                outcome = synced;
            }
            emptied.push(bytes);
        };
        while let Some(own) = files.next() {
            let busy = self.threads.iter().zip(files.by_ref().take(self.threads.len()));
            let busy: Vec<_> = busy.map(|(thread, file)| (thread, thread.begin(file))).collect();
            note(sync(self.shared, own));
            for (thread, begun) in busy {
                note(begun.map_or_else(|gone| (Err(gone), Vec::new()), |()| thread.end()));
            }
        }
        outcome.map(|()| emptied)
    }
}

// === impl Syncer ===

impl Syncer {
    fn begin(&self, file: Unsynced) -> Result<(), String> {
        self.wanted.send(file).map_err(|_| Self::gone())
    }

    fn end(&self) -> Synced {
        self.done.recv().unwrap_or_else(|_| (Err(Self::gone()), Vec::new()))
    }

    fn gone() -> String {
        "event log: a thread that syncs ended unexpectedly".to_owned()
    }
}

fn sync(shared: &Shared, Unsynced { file, path, mut bytes }: Unsynced) -> Synced {
    let (disk, figures) = (&shared.config.disk, &shared.figures);
    let work = || {
        if !bytes.is_empty() {
            disk.write_all(&file, &path, &bytes).map_err(failed("writing", &path))?;
            figures.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        let begun = Instant::now();
        disk.sync_data(&file, &path).map_err(failed("syncing", &path))?;
        figures.syncs.fetch_add(1, Ordering::Relaxed);
        let took = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        figures.sync_ns.fetch_add(took, Ordering::Relaxed);
        Ok(())
    };
    let outcome = work();
    bytes.clear();
    bytes.shrink_to(KEPT_BYTES_MAX);
    (outcome, bytes)
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
