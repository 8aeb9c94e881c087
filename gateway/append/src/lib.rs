//! The append stage: makes admitted events durable, once, and says what became
//! of each.
//!
//! A request runs in two parts. In the call: checks, reservation of its ids,
//! encoding straight from the borrowed body, hand-over to the log, so that
//! records stand in the log in the order of the calls. In the future that the
//! call returns: waiting until the log has made them durable, confirming the
//! ids, waiting for copies that other requests are appending, the receipt.
//!
//! Constraints:
//! * an event is accepted, and its id remembered, only once its record is durable
//!   (GW-REPLY-2); a failure, a time-out, a panic or a dropped future releases it;
//! * every event of a batch that was let in has one fate, and the counts balance:
//!   received = accepted + duplicates + rejected + retry;
//! * never reads a store; reads the log only at start, for its tail.

mod collect;
mod config;
mod encode;
mod fate;
mod metrics;
mod pack;
mod prepare;
mod recent;
mod round;
mod shared;
pub mod steps;
mod warm;

pub use crate::collect::Collect;
pub use crate::config::{CollectConfig, CollectConfigError};
pub use crate::recent::RecentFate;
pub use crate::warm::WarmProgress;
