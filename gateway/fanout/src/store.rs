//! A lane's store: the two stores behind one face.

use std::sync::Arc;

use sluice_seams::{
    BoxFuture, DocumentStore, DocumentWrite, EventDocument, RowStore, RowWrite, StoreError,
    WriteReport,
};

use crate::derive::{self, Derived};
use crate::known::Known;

/// Name of the lane to the document store.
pub const DOCUMENTS_LANE: &str = "documents";
/// Name of the lane to the row store.
pub const ROWS_LANE: &str = "rows";
/// Names of all lanes.
pub const LANES: [&str; 2] = [DOCUMENTS_LANE, ROWS_LANE];

/// What a lane writes to.
pub(crate) trait LaneStore: Clone + Send + Sync + 'static {
    /// One idempotent write.
    type Write: Clone + Send + Sync + 'static;
    /// Index into [`LANES`].
    const LANE: usize;

    /// The writes of a batch of first events.
    fn derive(&self, events: &[&EventDocument], known: &Known) -> Derived<Self::Write>;

    /// Applies writes.
    fn write(&self, writes: Vec<Self::Write>) -> BoxFuture<'_, Result<WriteReport, StoreError>>;
}

/// The document store.
#[derive(Clone)]
pub(crate) struct Documents(pub Arc<dyn DocumentStore>);

/// The row store.
#[derive(Clone)]
pub(crate) struct Rows(pub Arc<dyn RowStore>);

// === impl Documents ===

impl LaneStore for Documents {
    type Write = DocumentWrite;
    const LANE: usize = 0;

    fn derive(&self, events: &[&EventDocument], known: &Known) -> Derived<DocumentWrite> {
        derive::documents::derive(events, known)
    }

    fn write(&self, writes: Vec<DocumentWrite>) -> BoxFuture<'_, Result<WriteReport, StoreError>> {
        self.0.write(writes)
    }
}

// === impl Rows ===

impl LaneStore for Rows {
    type Write = RowWrite;
    const LANE: usize = 1;

    fn derive(&self, events: &[&EventDocument], _: &Known) -> Derived<RowWrite> {
        derive::rows::derive(events)
    }

    fn write(&self, writes: Vec<RowWrite>) -> BoxFuture<'_, Result<WriteReport, StoreError>> {
        self.0.write(writes)
    }
}
