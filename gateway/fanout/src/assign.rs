//! Follows the assignment: takes partitions that are given to this process and
//! gives them back when another is to have them.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use sluice_seams::{Assignment, AssignmentChange, StoreError};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::error::Fatal;
use crate::owned::Owners;
use crate::tasks::Stop;

/// How long a partition whose last owner in this process has not let go of it
/// is waited for.
const LET_GO: Duration = Duration::from_secs(10);

pub(crate) struct Follower {
    pub assignment: Arc<dyn Assignment>,
    pub owners: Arc<Owners>,
    /// Longest time to finish what is given back.
    pub revoke_timeout: Duration,
}

// === impl Follower ===

impl Follower {
    /// Takes what is assigned at this moment already, so that a start that
    /// cannot succeed fails at once.
    pub(crate) async fn begin(&self) -> Result<(), StoreError> {
        while let Some(change) = self.assignment.next().now_or_never() {
            match change? {
                AssignmentChange::Assigned(ids) => {
                    for id in ids {
                        self.owners.take(id).await?;
                    }
                }
                other => self.give_back(other).await,
            }
        }
        Ok(())
    }

    /// Runs until stopped.
    pub(crate) async fn run(self, mut stop: Stop) -> Result<(), Fatal> {
        let mut backoff = Backoff::new(50, 10_000);
        while stop.borrow_and_update().is_none() {
            let change = tokio::select! {
                biased;
                _ = stop.changed() => continue,
                change = self.assignment.next() => change,
            };
            match change {
                Ok(AssignmentChange::Assigned(ids)) => {
                    tracing::info!(partitions = ?ids, "assigned");
                    for id in ids {
                        self.insist(id, &stop).await?;
                    }
                }
                Ok(other) => self.give_back(other).await,
                Err(StoreError::Retry { after, detail }) => {
                    tracing::warn!(detail, "the assignment of partitions: trying again");
                    tokio::time::sleep(backoff.next(after)).await;
                    continue;
                }
                Err(error) => return Err(Fatal(format!("assignment of partitions: {error}"))),
            }
            backoff = Backoff::new(50, 10_000);
        }
        Ok(())
    }

    /// Takes a partition, however often it fails in passing.
    async fn insist(&self, id: u32, stop: &Stop) -> Result<(), Fatal> {
        let begun = Instant::now();
        let mut backoff = Backoff::new(50, 10_000);
        while stop.borrow().is_none() {
            let wait = match self.owners.take(id).await {
                Ok(()) => return Ok(()),
                Err(StoreError::Retry { after, detail }) => {
                    tracing::warn!(partition = id, detail, "cannot take it now; trying again");
                    backoff.next(after)
                }
                // Work of its last stay here that could not be aborted.
                Err(StoreError::Refused(_)) if begun.elapsed() < LET_GO => {
                    Duration::from_millis(50)
                }
                Err(error) => return Err(Fatal(format!("partition {id}: {error}"))),
            };
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    async fn give_back(&self, change: AssignmentChange) {
        match change {
            AssignmentChange::Revoked(ids) => {
                let done = self.owners.give_back(&ids, self.revoke_timeout).await;
                tracing::info!(partitions = ?ids, finished = done, "given back");
                self.assignment.released(&ids);
            }
            AssignmentChange::Lost(ids) => {
                self.owners.abandon(&ids);
                tracing::warn!(partitions = ?ids, "lost: another worker may own them already");
            }
            AssignmentChange::Assigned(_) => {}
        }
    }
}
