//! Clients that retry as an SDK does, and keep book of what was acknowledged.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;

use crate::population::{Sent, body};

/// What the clients were told.
#[derive(Debug, Default)]
pub struct Book {
    /// Every event ever posted, by id.
    pub posted: HashMap<String, Sent>,
    /// Ids reported as accepted, with how often.
    pub accepted: HashMap<String, u32>,
    /// Ids reported as duplicate at least once.
    pub duplicate: HashMap<String, u32>,
    /// Replies by status; those that never came under `no reply`.
    pub told: BTreeMap<String, u64>,
}

/// A client population's shared state.
#[derive(Clone)]
pub struct Sender {
    client: reqwest::Client,
    book: Arc<Mutex<Book>>,
}

// === impl Book ===

impl Book {
    /// Ids that some reply called accepted or duplicate: durable by contract.
    pub fn acknowledged(&self) -> impl Iterator<Item = &String> {
        self.accepted
            .keys()
            .chain(self.duplicate.keys().filter(|id| !self.accepted.contains_key(*id)))
    }
}

// === impl Sender ===

impl Sender {
    /// Clients with an empty book.
    pub fn new() -> Self {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy();
        let client = client.build().expect("a client without TLS");
        Self { client, book: Arc::default() }
    }

    /// The HTTP client.
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// What the clients were told so far.
    pub fn book(&self) -> parking_lot::MutexGuard<'_, Book> {
        self.book.lock()
    }

    /// Posts a batch once. `Err`: no reply, or one that wants it again; whatever
    /// was acknowledged is in the book either way.
    pub async fn post(&self, http: &str, events: &[Sent], sent_at_ms: i64) -> Result<(), String> {
        {
            let mut book = self.book.lock();
            for event in events {
                book.posted.entry(event.id.clone()).or_insert_with(|| event.clone());
            }
        }
        let request = self.client.post(format!("{http}/v1/events"));
        let request = request.bearer_auth("demo-write-key").body(body(events, sent_at_ms));
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                *self.book.lock().told.entry("no reply".to_owned()).or_default() += 1;
                return Err(error.to_string());
            }
        };
        let status = response.status().as_u16();
        *self.book.lock().told.entry(status.to_string()).or_default() += 1;
        let text = response.text().await.map_err(|error| error.to_string())?;
        if status != 200 {
            return Err(format!("{status}: {text}"));
        }
        let reply: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        self.note(events, &reply)
    }

    fn note(&self, events: &[Sent], reply: &Value) -> Result<(), String> {
        let mut book = self.book.lock();
        let mut outcomes: HashMap<usize, &str> = HashMap::new();
        for result in reply["results"].as_array().into_iter().flatten() {
            let index = result["index"].as_u64().unwrap_or(u64::MAX) as usize;
            outcomes.insert(index, result["outcome"].as_str().unwrap_or_default());
        }
        let mut again = 0;
        for (index, event) in events.iter().enumerate() {
            match outcomes.get(&index) {
                None => *book.accepted.entry(event.id.clone()).or_default() += 1,
                Some(&"duplicate") => *book.duplicate.entry(event.id.clone()).or_default() += 1,
                Some(&"retry") => again += 1,
                Some(other) => return Err(format!("{}: {other}: {reply}", event.id)),
            }
        }
        if again == 0 { Ok(()) } else { Err(format!("{again} events wanted again")) }
    }

    /// Posts until it succeeds; `http` is asked for the address before each try,
    /// since a restarted gateway listens elsewhere.
    pub async fn deliver(
        &self,
        http: impl Fn() -> String,
        events: &[Sent],
        now_ms: impl Fn() -> i64,
        at_most: Duration,
    ) -> Result<u32, String> {
        let begun = Instant::now();
        let mut tries = 0;
        loop {
            tries += 1;
            match self.post(&http(), events, now_ms()).await {
                Ok(()) => return Ok(tries),
                Err(error) if begun.elapsed() > at_most => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

impl Default for Sender {
    fn default() -> Self {
        Self::new()
    }
}
