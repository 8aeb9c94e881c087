//! Rows in HBase, through its Thrift1 server.
//!
//! * The stubs are generated (`hbase-thrift`); connections, time-outs, health
//!   and retries are ours: a Thrift connection that has failed once would give
//!   the next call the previous answer, so it is never used again.
//! * `timeline`: one row an event, one scan a page. The cell's timestamp is the
//!   event's day, so that writing again changes nothing, the family's TTL counts
//!   from the event and not from its arrival, and one call carries a whole batch.
//! * `users`: registers that several writers fill without reading one another
//!   first (see [`HbaseRows`] and the README for the layout).
//! * Nothing is incremented; every call may be sent again, in any order.

mod config;
mod figures;
mod keys;
mod registers;
mod rows;
mod tables;
mod thrift1;
mod timeline;
mod writing;

pub use config::{Compression, HbaseConfig};
pub use figures::{CALL_SECONDS_BOUNDS, CallFigures, HbaseFigures, ServerFigures};
pub use rows::{HbaseDeps, HbaseRows, TIMELINE_ROWS_MAX};
