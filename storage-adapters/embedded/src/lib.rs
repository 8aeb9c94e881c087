//! The embedded default: every seam on one machine, in one data directory, with
//! no other server.
//!
//! * [`log`]: segment files with CRC-checked frames and group-committed fsync;
//! * [`dedupe`]: `D` in fjall;
//! * [`documents`]: a tantivy index a day, state documents beside them in fjall;
//! * [`rows`]: timelines and profiles in fjall.

pub mod dedupe;
pub mod documents;
pub mod log;
pub mod rows;
