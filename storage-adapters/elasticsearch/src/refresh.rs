//! Makes writes visible before they are reported: one refresh at a time, and
//! whatever was written while it ran shares the next one.

use std::collections::BTreeSet;
use std::sync::Arc;

use elasticsearch::http::Method;
use parking_lot::Mutex;
use serde::Deserialize;
use sluice_seams::StoreError;
use tokio::sync::oneshot;

use crate::client::{AWAY, Client, Request};
use crate::figures::Counters;

/// Indices named in one request; their names must fit in its first line (4 KiB).
const INDICES_PER_REQUEST: usize = 20;

/// Refreshes indices. Clones share what waits.
#[derive(Clone)]
pub struct Refresher {
    client: Arc<Client>,
    counters: Arc<Counters>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    running: bool,
    next: Round,
}

/// What waits for the next refresh.
#[derive(Default)]
struct Round {
    indices: BTreeSet<Arc<str>>,
    waiting: Vec<oneshot::Sender<Result<(), StoreError>>>,
}

#[derive(Deserialize)]
struct Refreshed {
    #[serde(rename = "_shards")]
    shards: Shards,
}

#[derive(Deserialize)]
struct Shards {
    failed: u64,
}

// === impl Refresher ===

impl Refresher {
    /// With nothing waiting.
    pub fn new(client: Arc<Client>, counters: Arc<Counters>) -> Self {
        Self { client, counters, state: Arc::default() }
    }

    /// Returns once a refresh of all these indices is done that began after the call.
    pub async fn refresh(
        &self,
        indices: impl IntoIterator<Item = Arc<str>>,
    ) -> Result<(), StoreError> {
        let (done, waiting) = oneshot::channel();
        let must_run = {
            let mut state = self.state.lock();
            state.next.indices.extend(indices);
            state.next.waiting.push(done);
            !std::mem::replace(&mut state.running, true)
        };
        if must_run {
            // A task of its own: it serves other callers too, whoever leaves.
            tokio::spawn(self.clone().run());
        }
        let lost = || Err(StoreError::retry(AWAY, "elasticsearch: a refresh was given up"));
        waiting.await.unwrap_or_else(|_| lost())
    }

    async fn run(self) {
        loop {
            let round = {
                let mut state = self.state.lock();
                if state.next.waiting.is_empty() {
                    state.running = false;
                    return;
                }
                std::mem::take(&mut state.next)
            };
            let outcome = self.refresh_all(&round.indices).await;
            for waiting in round.waiting {
                // A caller that has left does not mind.
                let _ = waiting.send(outcome.clone());
            }
        }
    }

    async fn refresh_all(&self, indices: &BTreeSet<Arc<str>>) -> Result<(), StoreError> {
        let indices: Vec<&str> = indices.iter().map(|index| &**index).collect();
        for some in indices.chunks(INDICES_PER_REQUEST) {
            Counters::add(&self.counters.refreshes, 1);
            // A day that was dropped meanwhile needs none.
            let path = format!("{}/_refresh?ignore_unavailable=true", some.join(","));
            let reply = self.client.call(&Request::new(Method::Post, path), &[]).await?;
            let Refreshed { shards } = reply.read()?;
            if shards.failed > 0 {
                let detail = format!("elasticsearch: {} shards were not refreshed", shards.failed);
                return Err(StoreError::retry(AWAY, detail));
            }
        }
        Ok(())
    }
}
