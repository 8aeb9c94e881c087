//! What ends fan out, and what refuses a request to it.

use sluice_seams::StoreError;
use thiserror::Error;

/// Fan out cannot go on in this process: go unready and exit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("fan out stopped: {0}")]
pub struct Fatal(pub String);

/// A replay that was not begun, or not finished.
#[derive(Debug, Clone, Error)]
pub enum ReplayError {
    /// There is no such lane.
    #[error("unknown lane `{0}`; lanes are `documents` and `rows`")]
    UnknownLane(String),
    /// There is no such partition.
    #[error("unknown partition {0}; the log has {1}")]
    UnknownPartition(u32, u32),
    /// Another process owns it.
    #[error("partition {0} is not owned by this process; ask the one whose `/status` shows it")]
    NotOwned(u32),
    /// There is no such dead letter.
    #[error("no dead letter has the id {0}")]
    UnknownDeadLetter(u64),
    /// A store or the log did not take part.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Fan out is stopping.
    #[error("fan out is stopping; try again after the restart")]
    Stopping,
}
