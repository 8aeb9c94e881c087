//! The event log in Kafka: any number of gateways append, any number of fan-out
//! workers share the partitions.
//!
//! ```text
//! append ──► producer (idempotent, acks=all) ──► topic ──► cursors ──► read
//!                                                  │
//!            members of the group `fan-out` ◄──────┴──► offsets of `GROUP.LANE`
//! ```
//!
//! Constraints:
//! * a delivery report is what makes an append durable; nothing is reported
//!   before it, and a record that timed out may still be in the log;
//! * the gateway routes: every record names its partition, so the number of
//!   partitions must be the same for all, and is verified at start;
//! * times are the broker's (`LogAppendTime`), so that one clock orders a
//!   partition;
//! * offsets of lanes are committed by whoever owns a partition, outside of the
//!   membership: a commit only ever says what the stores have taken, which is
//!   true whoever says it.
//!
//! Absent: transactions (every store write is idempotent), and retention that
//! waits for lanes (the topic's `retention.ms` rules; watch the lag).

mod assignment;
mod client;
mod config;
mod cursor;
mod ends;
mod figures;
mod lines;
mod log;
mod offsets;
mod producer;
mod readers;
mod topic;

pub use assignment::KafkaAssignment;
pub use config::{KafkaConfig, TopicConfig};
pub use figures::KafkaFigures;
pub use log::{KafkaDeps, KafkaLog};
