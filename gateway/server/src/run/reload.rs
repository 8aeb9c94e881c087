//! Live reload of the apps: on SIGHUP and whenever the config file changes.
//!
//! Only `[apps]` takes effect without a restart. A bad file changes nothing and
//! the log says what is wrong with it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Parts;
use crate::cli::RoleArgs;
use crate::config::Config;

/// Editors write a file in several steps: wait until it has been quiet this long.
const QUIET: Duration = Duration::from_millis(200);

/// Watches until aborted.
pub fn watch(args: RoleArgs, parts: Arc<Parts>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let (changed, mut changes) = mpsc::channel(1);
        // Held: a watcher that is dropped sees nothing more.
        let _watcher = args.config.as_deref().and_then(|file| watch_file(file, changed.clone()));
        let mut hangups = match signal(SignalKind::hangup()) {
            Ok(hangups) => hangups,
            Err(error) => return tracing::error!(%error, "cannot take SIGHUP: no live reload"),
        };
        loop {
            tokio::select! {
                _ = hangups.recv() => {}
                _ = changes.recv() => settle(&mut changes).await,
            }
            apply(&args, &parts);
        }
    })
}

/// Waits until no change has come for a while.
async fn settle(changes: &mut mpsc::Receiver<()>) {
    while tokio::time::timeout(QUIET, changes.recv()).await.is_ok() {}
}

fn watch_file(file: &Path, changed: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let name = file.file_name()?.to_owned();
    // The folder, not the file: editors replace a file rather than write into it.
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let on_event = move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        let ours = event.paths.iter().any(|path| path.file_name() == Some(&name));
        if ours && !event.kind.is_access() {
            // Full: a reload is due already.
            let _ = changed.try_send(());
        }
    };
    let watcher = notify::recommended_watcher(on_event).and_then(|mut watcher| {
        watcher.watch(folder.unwrap_or(Path::new(".")), RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watcher
        .inspect_err(|error| {
            tracing::warn!(%error, "cannot watch the config file: reload with SIGHUP");
        })
        .ok()
}

fn apply(args: &RoleArgs, parts: &Parts) {
    let loaded = match Config::load(args) {
        Ok(loaded) => loaded,
        Err(problems) => {
            return tracing::error!("config not reloaded, the old one stays:\n{problems}");
        }
    };
    match parts.tenants.reload(loaded.config.apps()) {
        Ok(()) => tracing::info!(apps = loaded.config.apps.len(), "apps reloaded"),
        Err(problems) => {
            let problems = problems.join("\n");
            tracing::error!("config not reloaded, the old one stays:\n{problems}");
        }
    }
}
