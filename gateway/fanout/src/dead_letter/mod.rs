//! The dead-letter log: what could not be stored, kept with its reason.
//!
//! A letter is durable before any offset past its event is committed. Its id is
//! its offset in this log. A crash between the two makes a second letter of the
//! same event; settling both is harmless, since every write is idempotent.
//! Letters are settled by appending an entry that says so: nothing is rewritten.

mod entry;
mod settled;

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use parking_lot::Mutex;
use prost::Message;
use serde::Serialize;
use sluice_seams::{AppendError, EventLog, LogRecord, StoreError};
use sluice_telemetry::Clock;

pub use entry::{DeadLetter, Entry, REFUSED, RESOLVE, Settled, UNDECODABLE};
use settled::SettledIds;

use crate::backoff::Backoff;
use crate::error::Fatal;

/// Bytes read from the log at a time.
const READ_BYTES: usize = 1024 * 1024;
/// Ids in one settling entry.
const SETTLE_IDS_MAX: usize = 10_000;

/// The dead-letter log: partition 0 of an event log of its own.
pub struct DeadLetters {
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    settled: Mutex<SettledIds>,
}

/// A letter as listed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listed {
    /// Its id.
    pub id: u64,
    /// A replay has settled it.
    pub settled: bool,
    /// The letter; its payload is not serialised.
    #[serde(flatten)]
    pub letter: DeadLetter,
}

/// A page of letters, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DeadLetterPage {
    /// The letters.
    pub letters: Vec<Listed>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<u64>,
}

// === impl DeadLetters ===

impl DeadLetters {
    /// Reads which letters are settled.
    pub async fn open(log: Arc<dyn EventLog>, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let mut settled = SettledIds::default();
        let (mut at, end) = log.bounds(0);
        while at < end {
            let records = log.read(0, at, READ_BYTES).await?;
            let Some(last) = records.last() else { break };
            at = last.offset + 1;
            for ids in records.iter().filter_map(|record| read(record)?.settled) {
                ids.ids.into_iter().for_each(|id| settled.insert(id));
            }
        }
        Ok(Self { log, clock, settled: Mutex::new(settled) })
    }

    /// Letters from id `from` on, at most `limit`.
    pub async fn list(&self, from: u64, limit: usize) -> Result<DeadLetterPage, StoreError> {
        let mut page = DeadLetterPage::default();
        let (first, end) = self.log.bounds(0);
        let mut at = from.max(first);
        while at < end {
            let records = self.log.read(0, at, READ_BYTES).await?;
            if records.is_empty() {
                break;
            }
            for record in records {
                if page.letters.len() >= limit {
                    page.next = Some(record.offset);
                    return Ok(page);
                }
                at = record.offset + 1;
                page.letters.extend(self.listed(&record));
            }
        }
        Ok(page)
    }

    /// One letter; `None` where the id names none.
    pub async fn show(&self, id: u64) -> Result<Option<Listed>, StoreError> {
        let (first, end) = self.log.bounds(0);
        if !(first..end).contains(&id) {
            return Ok(None);
        }
        let records = self.log.read(0, id, 1).await?;
        let found = records.iter().find(|record| record.offset == id);
        Ok(found.and_then(|record| self.listed(record)))
    }

    /// Appends letters; returns once they are durable. Tries for ever, since
    /// nothing may be committed past them; fails only where the log is out of
    /// order for good.
    pub(crate) async fn append(&self, letters: Vec<DeadLetter>) -> Result<(), Fatal> {
        let entries = letters.into_iter().map(|letter| {
            let letter = Some(DeadLetter { at_ms: self.clock.now_ms(), ..letter });
            self.append_one(Entry { letter, settled: None })
        });
        join_all(entries).await.into_iter().collect()
    }

    /// Appends the word that letters are settled.
    pub(crate) async fn settle(&self, ids: &[u64]) -> Result<(), Fatal> {
        for ids in ids.chunks(SETTLE_IDS_MAX) {
            let settled = Some(Settled { ids: ids.to_vec(), at_ms: self.clock.now_ms() });
            self.append_one(Entry { letter: None, settled }).await?;
            let mut held = self.settled.lock();
            ids.iter().for_each(|id| held.insert(*id));
        }
        Ok(())
    }

    async fn append_one(&self, entry: Entry) -> Result<(), Fatal> {
        let payload = bytes::Bytes::from(entry.encode_to_vec());
        let mut backoff = Backoff::new(50, 10_000);
        loop {
            let (detail, after) = match self.log.append(0, payload.clone()).await {
                Ok(_) => return Ok(()),
                Err(AppendError::NotWritten { after, detail }) => (detail, after),
                Err(AppendError::Unknown(detail)) => (detail, Duration::ZERO),
                Err(AppendError::Poisoned(detail)) => {
                    return Err(Fatal(format!("dead-letter log: {detail}")));
                }
            };
            tracing::warn!(detail, "the dead-letter log does not take letters; trying again");
            tokio::time::sleep(backoff.next(after)).await;
        }
    }

    fn listed(&self, record: &LogRecord) -> Option<Listed> {
        let letter = read(record)?.letter?;
        let settled = self.settled.lock().contains(record.offset);
        Some(Listed { id: record.offset, settled, letter })
    }
}

fn read(record: &LogRecord) -> Option<Entry> {
    Entry::decode(record.payload.clone())
        .inspect_err(|error| {
            let offset = record.offset;
            tracing::error!(offset, %error, "an entry of the dead-letter log cannot be read");
        })
        .ok()
}
