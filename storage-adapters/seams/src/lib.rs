//! The seams between the gateway and whatever keeps its data.
//!
//! Four traits, the words they are spoken in, and a contract suite each
//! (feature `contract`): [`EventLog`], [`DedupeIndex`], [`DocumentStore`],
//! [`RowStore`]; and [`Assignment`], which says who owns what of the log. An
//! adapter implements a trait and passes its suite; the gateway
//! names the traits only.
//!
//! Duties common to all of them:
//! * a write that reports success survives a crash of the process and of the machine;
//! * every write is idempotent and free of order: applying any subset again, in
//!   any order, any number of times, ends in the same state;
//! * an error carries its retry class, see [`StoreError`].

pub mod assignment;
pub mod dedupe;
pub mod document;
pub mod error;
pub mod field;
pub mod key;
pub mod log;
pub mod question;
pub mod row;

#[cfg(feature = "contract")]
pub mod contract;

pub use assignment::{Assignment, AssignmentChange, StaticAssignment};
pub use dedupe::{DedupeIndex, DedupePartition, First, Seen, Sighting};
pub use document::{DocumentStore, DocumentWrite, EventDocument, Refused, WriteReport};
pub use error::{AppendError, StoreError};
pub use field::{Field, NamedField};
pub use key::{Day, Key, Position, UserKey};
pub use log::{EventLog, LogRecord, LogStatus};
pub use question::{Filter, GroupKey, KeyValue, Measure, Question, Source, Table};
pub use row::{Profile, ProfileChange, RowStore, RowWrite, TimelinePage, TimelineRow};

/// A boxed future: the seams are called once per batch, so that one allocation
/// a call does not matter and the traits stay object safe.
pub type BoxFuture<'a, T> = futures::future::BoxFuture<'a, T>;
