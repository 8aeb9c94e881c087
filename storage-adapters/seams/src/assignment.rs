//! Which partitions of the log a process brings into the stores.
//!
//! One owner per partition: it alone asks `D` who was first there. Where the
//! log belongs to one process the owner is always the same; where several
//! workers share it, ownership moves as they come and go.

use std::sync::Mutex;

use crate::{BoxFuture, StoreError};

/// A change of what this process owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssignmentChange {
    /// These are owned from now on, besides those owned already.
    Assigned(Vec<u32>),
    /// Stop these, commit, then call [`Assignment::released`]: the next owner
    /// waits for that, for a bounded time.
    Revoked(Vec<u32>),
    /// These may have another owner already: stop at once, commit nothing.
    Lost(Vec<u32>),
}

/// Which partitions this process owns.
///
/// Duties: a partition is never assigned to two processes at once, except that
/// one which was `Lost` may not have noticed yet; `next` may be dropped and
/// called again without losing a change.
pub trait Assignment: Send + Sync + 'static {
    /// Resolves with the next change. A passing error is tried again by calling
    /// it again.
    fn next(&self) -> BoxFuture<'_, Result<AssignmentChange, StoreError>>;

    /// The partitions of a `Revoked` were stopped and committed.
    fn released(&self, partitions: &[u32]);

    /// Gives everything back, within a bounded time.
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// All partitions, always: the log belongs to this process alone.
#[derive(Debug)]
pub struct StaticAssignment {
    first: Mutex<Option<Vec<u32>>>,
}

// === impl StaticAssignment ===

impl StaticAssignment {
    /// Partitions `0..partitions`.
    pub fn all(partitions: u32) -> Self {
        Self { first: Mutex::new(Some((0..partitions).collect())) }
    }
}

impl Assignment for StaticAssignment {
    fn next(&self) -> BoxFuture<'_, Result<AssignmentChange, StoreError>> {
        Box::pin(async move {
            let first = self.first.lock().ok().and_then(|mut first| first.take());
            match first {
                Some(partitions) => Ok(AssignmentChange::Assigned(partitions)),
                None => std::future::pending().await,
            }
        })
    }

    fn released(&self, _: &[u32]) {}

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}
