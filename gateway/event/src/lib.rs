//! The event vocabulary: what a batch, an event, an outcome and a reason are.
//!
//! Pure: no IO, no clock, no policy. Everything on the way of an event speaks
//! in these words; the two traits in [`service`] are where `wire` hands over to
//! the collector without knowing it.

pub mod batch;
pub mod json;
pub mod limits;
pub mod outcome;
pub mod properties;
pub mod reason;
pub mod service;
pub mod time;

pub use batch::{Batch, Envelope, Event, Parsed, Text};
pub use limits::Limits;
pub use outcome::{EventResult, Outcome, Receipt};
pub use reason::{Reason, Refusal};
pub use service::{Collector, Dialect, Grant, Presented};
pub use sluice_proto::v1::EventType;
