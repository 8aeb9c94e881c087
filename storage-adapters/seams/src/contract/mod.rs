//! One contract suite per seam: what every adapter is held to.
//!
//! A suite is a set of async functions that take a factory of fresh, empty
//! adapters and panic with a sentence where a duty is broken. An adapter's own
//! tests call every one of them.

pub mod dedupe_index;
pub mod document_store;
pub mod event_log;
pub mod row_store;
pub mod sample;
