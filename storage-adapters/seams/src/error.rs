//! What can go wrong behind a seam, with its retry class.

use std::time::Duration;

use thiserror::Error;

/// An error of a store. The class says what the caller does next.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// Passing: the same call may succeed later. Never dead-letter this.
    #[error("{detail} (try again in {after:?})")]
    Retry {
        /// Wait at least this long.
        after: Duration,
        /// For the log: names the store and the cause.
        detail: String,
    },
    /// The request can never succeed as it is (a question that the store cannot
    /// answer, more groups than allowed). Final.
    #[error("{0}")]
    Refused(String),
    /// The store must not be used any more in this process (an I/O error after
    /// which its state is unknown). Go unready and exit.
    #[error("{0}")]
    Poisoned(String),
}

/// An error of an append. In every case the client is told to resend with the
/// same event ids; the classes differ in what the gateway does.
#[derive(Debug, Clone, Error)]
pub enum AppendError {
    /// Nothing was written: the log is full, overloaded or away.
    #[error("not written: {detail} (try again in {after:?})")]
    NotWritten {
        /// Wait at least this long.
        after: Duration,
        /// For the log.
        detail: String,
    },
    /// It may or may not have been written (a time-out after hand-over). The
    /// reservation is released all the same: the log decides who was first.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// The log is out of order for good. Go unready and exit.
    #[error("log unusable: {0}")]
    Poisoned(String),
}

impl StoreError {
    /// A passing error to be tried again after `after`.
    pub fn retry(after: Duration, detail: impl Into<String>) -> Self {
        Self::Retry { after, detail: detail.into() }
    }
}
