//! Whole gateways on the real engines: Kafka, Elasticsearch, HBase.
//!
//! ```text
//! crowds ──► collect ×2 ──► Kafka ──► fan-out ×n ──► Elasticsearch, HBase ──► query
//! ```
//!
//! Every role is a process of its own; a proxy stands before every engine. The
//! oracle is told only what clients sent and what they were told.

mod cluster;
mod equal;
mod faults;
mod lies;
mod oracle;
mod oracle_checked;
mod roles;
// The people of the test of order freedom: one world for both.
#[path = "../any_order/world.rs"]
mod world;
