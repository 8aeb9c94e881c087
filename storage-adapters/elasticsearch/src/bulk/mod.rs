//! Bulk requests: how much at once, what became of each item, what is sent again.
//!
//! Items whose error may pass are sent again by themselves, a few times; then
//! the whole call is a passing error and the caller sends its writes again,
//! which changes nothing about those that were taken.

mod pace;
mod verdict;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use elasticsearch::http::Method;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use sluice_seams::{Refused, StoreError};

use crate::client::{Client, Request, full_jitter};
use crate::config::ElasticsearchConfig;
use crate::encode::Item;
use crate::figures::Counters;
pub use pace::Pace;
use pace::Permit;
use verdict::{Verdict, Whole, judge};

/// Times that an item is sent.
const ATTEMPTS_MAX: u32 = 3;
/// The base of the pause before an item is sent again.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a caller is told to wait with writes that did not pass.
const PASSING: Duration = Duration::from_millis(500);
/// How long where somebody has to see to it.
const TO_BE_SEEN_TO: Duration = Duration::from_secs(2);
/// Only what is read of the answer.
const PATH: &str = "_bulk?filter_path=errors,items.*.status,items.*.error";

/// Sends bulk requests.
pub struct Bulk {
    client: Arc<Client>,
    counters: Arc<Counters>,
    pace: Pace,
    documents_max: usize,
    /// Why the engine took nothing the last time, where it said so.
    blocked: Mutex<Option<String>>,
}

/// What became of items of one call.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Writes that were there already.
    pub existing: u64,
    /// Writes that will never be taken.
    pub refused: Vec<Refused>,
    /// Items that were taken, were there or are refused.
    settled: usize,
}

/// Items of one request.
struct Chunk {
    items: Vec<Item>,
    attempt: u32,
}

/// Why a call ends without all of its items taken.
#[derive(Debug)]
struct Failed {
    detail: String,
    after: Duration,
}

// === impl Bulk ===

impl Bulk {
    /// With the bounds of a config.
    pub fn new(client: Arc<Client>, config: &ElasticsearchConfig, counters: Arc<Counters>) -> Self {
        Self {
            client,
            counters,
            pace: Pace::new(config.in_flight_max, config.bulk_bytes_max),
            documents_max: config.bulk_documents_max,
            blocked: Mutex::default(),
        }
    }

    /// How much is under way and allowed.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Why the engine took nothing the last time; `None` when it did.
    pub fn blocked(&self) -> Option<String> {
        self.blocked.lock().clone()
    }

    /// Sends items until each is taken or refused.
    pub async fn send(&self, items: Vec<Item>) -> Result<Outcome, StoreError> {
        let sent = items.len();
        let mut waiting = self.chunks(items);
        let mut running = FuturesUnordered::new();
        let (mut outcome, mut failed) = (Outcome::default(), None::<Failed>);
        loop {
            if failed.is_some() {
                waiting.clear();
            }
            let permit = match (waiting.is_empty(), running.is_empty()) {
                (false, true) => Some(self.pace.acquire().await),
                (false, false) => self.pace.try_acquire(),
                (true, _) => None,
            };
            if let Some(permit) = permit {
                let chunk = waiting.pop_front();
                running.extend(chunk.map(|chunk| self.request(chunk, permit)));
                continue;
            }
            let Some((chunk, whole)) = running.next().await else { break };
            let settled = self.settle(chunk, whole, &mut outcome, &mut waiting);
            failed = failed.or(settled.err());
        }
        match failed {
            // Every item has one fate; one without would be lost in silence.
            None if outcome.settled != sent => {
                let detail = format!("{} of {sent} items have a fate", outcome.settled);
                Err(StoreError::Poisoned(format!("elasticsearch: bulk: {detail}")))
            }
            None => Ok(outcome),
            Some(Failed { detail, after }) => {
                Err(StoreError::retry(after, format!("elasticsearch: bulk: {detail}")))
            }
        }
    }

    /// Items in requests of about the size aimed at.
    fn chunks(&self, items: Vec<Item>) -> VecDeque<Chunk> {
        let aim = self.pace.bytes_aim();
        let mut chunks = VecDeque::new();
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        for item in items {
            let full = bytes + item.lines.len() > aim || chunk.len() == self.documents_max;
            if full && !chunk.is_empty() {
                chunks.push_back(Chunk { items: std::mem::take(&mut chunk), attempt: 1 });
                bytes = 0;
            }
            bytes += item.lines.len();
            chunk.push(item);
        }
        if !chunk.is_empty() {
            chunks.push_back(Chunk { items: chunk, attempt: 1 });
        }
        chunks
    }

    async fn request(&self, chunk: Chunk, permit: Permit<'_>) -> (Chunk, Whole) {
        if chunk.attempt > 1 {
            // The permit is held meanwhile: the engine asked for less.
            let pause = PAUSE * (1 << (2 * (chunk.attempt - 2)));
            tokio::time::sleep(pause / 2 + full_jitter(pause)).await;
        }
        let body = joined(&chunk.items);
        Counters::add(&self.counters.bulk_requests, 1);
        Counters::add(&self.counters.bulk_bytes, body.len() as u64);
        let reply = self.client.send(&Request::new(Method::Post, PATH).lines(body)).await;
        let whole = judge(reply, chunk.items.len());
        if whole.pushes_back() {
            self.pace.pushed_back();
        } else {
            self.pace.went_well();
        }
        drop(permit);
        (chunk, whole)
    }

    /// Accounts for a request's items; those to be sent again wait.
    fn settle(
        &self,
        chunk: Chunk,
        whole: Whole,
        outcome: &mut Outcome,
        waiting: &mut VecDeque<Chunk>,
    ) -> Result<(), Failed> {
        let Chunk { items, attempt } = chunk;
        match whole {
            Whole::Items(verdicts) => self.settle_items(items, attempt, verdicts, outcome, waiting),
            Whole::Divide(why) if items.len() == 1 => {
                self.refuse(&items[0], why, outcome);
                Ok(())
            }
            Whole::Divide(_) => {
                divide(items, attempt, waiting);
                Ok(())
            }
            Whole::Passing(detail) if attempt >= ATTEMPTS_MAX => {
                Err(Failed { detail, after: PASSING })
            }
            Whole::Passing(_) => {
                Counters::add(&self.counters.items_retried, items.len() as u64);
                divide(items, attempt + 1, waiting);
                Ok(())
            }
            Whole::Blocked(detail) => {
                *self.blocked.lock() = Some(detail.clone());
                Err(Failed { detail, after: TO_BE_SEEN_TO })
            }
        }
    }

    fn settle_items(
        &self,
        items: Vec<Item>,
        attempt: u32,
        verdicts: Vec<Verdict>,
        outcome: &mut Outcome,
        waiting: &mut VecDeque<Chunk>,
    ) -> Result<(), Failed> {
        let (mut again, mut last, mut blocked) = (Vec::new(), String::new(), None);
        let (mut created, mut existing) = (0, 0);
        for (item, verdict) in items.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Created => created += 1,
                Verdict::Existing => {
                    existing += 1;
                    outcome.existing += u64::from(item.write.is_some());
                }
                Verdict::Refused(detail) => self.refuse(&item, detail, outcome),
                Verdict::Blocked(detail) => blocked = Some(detail),
                Verdict::Passing(detail) => {
                    last = detail;
                    again.push(item);
                }
            }
        }
        outcome.settled += (created + existing) as usize;
        Counters::add(&self.counters.items_created, created);
        Counters::add(&self.counters.items_existing, existing);
        *self.blocked.lock() = blocked.clone();
        if let Some(detail) = blocked {
            return Err(Failed { detail, after: TO_BE_SEEN_TO });
        }
        if again.is_empty() {
            return Ok(());
        }
        if attempt >= ATTEMPTS_MAX {
            let detail = format!("{} items not taken in {attempt} attempts: {last}", again.len());
            return Err(Failed { detail, after: PASSING });
        }
        Counters::add(&self.counters.items_retried, again.len() as u64);
        waiting.push_back(Chunk { items: again, attempt: attempt + 1 });
        Ok(())
    }

    fn refuse(&self, item: &Item, detail: String, outcome: &mut Outcome) {
        outcome.settled += 1;
        Counters::add(&self.counters.items_refused, 1);
        match item.write {
            Some(index) => outcome.refused.push(Refused { index, detail }),
            // The event itself is taken; only the list of names lacks one.
            None => tracing::warn!(%detail, "a name of the catalogue was refused"),
        }
    }
}

fn divide(mut items: Vec<Item>, attempt: u32, waiting: &mut VecDeque<Chunk>) {
    let rest = items.split_off(items.len().div_ceil(2));
    waiting.push_front(Chunk { items: rest, attempt });
    waiting.push_front(Chunk { items, attempt });
    waiting.retain(|chunk| !chunk.items.is_empty());
}

fn joined(items: &[Item]) -> Bytes {
    if let [one] = items {
        return one.lines.clone();
    }
    let bytes = items.iter().map(|item| item.lines.len()).sum();
    let mut body = BytesMut::with_capacity(bytes);
    items.iter().for_each(|item| body.extend_from_slice(&item.lines));
    body.freeze()
}
