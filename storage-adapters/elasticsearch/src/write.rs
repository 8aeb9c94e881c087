//! A write: encoded, its indices made, sent, made visible.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use sluice_seams::{DocumentWrite, StoreError, WriteReport};

use crate::encode::{Item, encode, name_item};
use crate::store::Inner;
use crate::templates::ensure_index;

/// Indices remembered to be there; a day has two.
const ENSURED_MAX: usize = 4_096;

/// Indices that this process has seen or made.
pub type Ensured = HashSet<Arc<str>>;

impl Inner {
    /// Applies writes: durable, and seen by every later answer, on return.
    pub async fn write(&self, writes: Vec<DocumentWrite>) -> Result<WriteReport, StoreError> {
        if writes.is_empty() {
            return Ok(WriteReport::default());
        }
        let indices = self.indices.clone();
        // Thousands of documents are tens of milliseconds of work.
        let encoding = tokio::task::spawn_blocking(move || encode(&writes, &indices));
        let mut encoded = encoding.await.map_err(|why| {
            StoreError::Poisoned(format!("elasticsearch: cannot encode documents: {why}"))
        })?;
        let names = self.names.unknown(std::mem::take(&mut encoded.names));
        if !names.is_empty() {
            let index: Arc<str> = self.indices.names().into();
            encoded.items.extend(names.iter().map(|name| name_item(name, &index)));
        }
        let touched = self.ensure(&encoded.items).await?;
        let sent = self.bulk.send(encoded.items).await;
        if sent.is_err() {
            // Perhaps an index is gone: the next call looks again.
            let mut ensured = self.ensured.lock();
            touched.iter().for_each(|index| {
                ensured.remove(index);
            });
        }
        let mut outcome = sent?;
        self.refresher.refresh(touched).await?;
        self.names.know(names);
        outcome.refused.sort_by_key(|refused| refused.index);
        Ok(WriteReport { existing: encoded.existing + outcome.existing, refused: outcome.refused })
    }

    /// Makes the indices of items that are not known to be there.
    async fn ensure(&self, items: &[Item]) -> Result<BTreeSet<Arc<str>>, StoreError> {
        let touched: BTreeSet<Arc<str>> = items.iter().map(|item| item.index.clone()).collect();
        let unknown: Vec<Arc<str>> = {
            let ensured = self.ensured.lock();
            touched.iter().filter(|index| !ensured.contains(*index)).cloned().collect()
        };
        for index in unknown {
            ensure_index(&self.client, &index).await?;
            let mut ensured = self.ensured.lock();
            if ensured.len() >= ENSURED_MAX {
                ensured.clear();
            }
            ensured.insert(index);
        }
        Ok(touched)
    }
}
