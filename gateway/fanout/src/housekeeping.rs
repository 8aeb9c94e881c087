//! Retention: drops whole days of documents and timelines.

use std::sync::Arc;
use std::time::Duration;

use sluice_seams::{Day, DocumentStore, RowStore};

use crate::error::Fatal;
use crate::shared::Shared;
use crate::tasks::Stop;

/// Runs at start and then at its interval, until stopped. Errors are passing:
/// the next round tries again.
pub(crate) async fn run(
    shared: Arc<Shared>,
    documents: Arc<dyn DocumentStore>,
    rows: Arc<dyn RowStore>,
    mut stop: Stop,
) -> Result<(), Fatal> {
    let days = shared.config.retention_days;
    if days == 0 {
        return Ok(());
    }
    let mut interval =
        tokio::time::interval(Duration::from_millis(shared.config.retention_interval_ms.max(1)));
    while stop.borrow_and_update().is_none() {
        tokio::select! {
            _ = stop.changed() => {}
            _ = interval.tick() => {
                let today = Day::of(shared.clock.now_ms());
                let before = Day(today.0.saturating_sub_unsigned(days));
                drop_before(before, &*documents, &*rows).await;
            }
        }
    }
    Ok(())
}

async fn drop_before(before: Day, documents: &dyn DocumentStore, rows: &dyn RowStore) {
    for (store, dropped) in [
        ("documents", documents.drop_before(before).await),
        ("rows", rows.drop_before(before).await),
    ] {
        match dropped {
            Ok(0) => {}
            Ok(count) => tracing::info!(store, count, before = before.0, "retention dropped days"),
            Err(error) => tracing::warn!(store, %error, "retention failed; the next round tries"),
        }
    }
}
