//! Every seam in memory, with scripted faults: for tests of what stands above
//! the seams. Simple rather than fast, so that it can serve as a reference.

pub mod dedupe;
pub mod documents;
pub mod fault;
pub mod log;
pub mod rows;
