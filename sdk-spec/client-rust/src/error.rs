//! What goes wrong, in words for whoever can mend it.

use thiserror::Error;

use crate::event::Event;

/// An event that the contract does not take.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {detail}")]
pub struct Invalid {
    /// The field.
    pub field: &'static str,
    /// What is wrong, and what is allowed.
    pub detail: String,
}

/// An event that was not queued.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum TrackError {
    /// There is no room. The event is handed back with its id and time set.
    #[error("the queue is full")]
    Full(Box<Event>),
    /// The client is closed. The event is handed back.
    #[error("the client is closed")]
    Closed(Box<Event>),
    /// Never going to be taken; it is dropped.
    #[error("not an event of the contract: {0}")]
    Invalid(#[from] Invalid),
    /// Larger than 64 KiB as JSON; it is dropped and counted (SDK-EVENT-5).
    #[error("the event has {bytes} bytes as JSON; at most {bytes_max}: shorten its properties")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// What is allowed.
        bytes_max: usize,
    },
}

/// What was still waiting when the time of a flush or a close was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{events} events were still waiting")]
pub struct Unsent {
    /// How many.
    pub events: usize,
}

/// A client that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BuildError {
    /// The gateway's address.
    #[error("url: {0}")]
    Url(String),
    /// The key.
    #[error("key: must be 1 or more visible ASCII characters")]
    Key,
    /// A bound out of its range.
    #[error("{name}: {value}; {allowed}")]
    Bound {
        /// The setting.
        name: &'static str,
        /// What was asked for.
        value: u128,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The client's own thread or connections could not be set up.
    #[error("cannot start: {0}")]
    Start(String),
}

/// Something that the developer should know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// One word: a reason of the contract, or `status_` and the status.
    pub reason: String,
    /// For people.
    pub detail: String,
    /// Events that were rejected or dropped for it.
    pub events: usize,
}
