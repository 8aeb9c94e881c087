//! A client that does everything right, all the time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use load_tests::gateway::Gateway;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::now_ms;

/// The name of its events; nobody else sends it.
pub const NAME: &str = "steady_event";
/// Half of its batches must be answered within this.
pub const MEDIAN_MAX: Duration = Duration::from_millis(250);
/// No batch may wait longer: its time-out.
const WAIT_MAX: Duration = Duration::from_secs(5);
const BATCH_EVENTS: u64 = 20;
const PAUSE: Duration = Duration::from_millis(25);

#[derive(Default)]
struct Book {
    waits: Mutex<Vec<Duration>>,
    failures: Mutex<Vec<String>>,
    posted: AtomicU64,
    stop: AtomicBool,
}

/// The client at work.
pub struct Steady {
    book: Arc<Book>,
    task: JoinHandle<()>,
}

/// How it went.
#[derive(Debug)]
pub struct Report {
    /// Batches posted.
    pub batches: usize,
    /// Their median wait.
    pub median: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// Everything that went wrong.
    pub failures: Vec<String>,
}

// === impl Steady ===

impl Steady {
    /// Begins to post, over one connection.
    pub fn start(gateway: &Gateway) -> Self {
        let book = Arc::<Book>::default();
        let url = format!("{}/v1/events", gateway.http);
        let task = tokio::spawn(work(Arc::clone(&book), url));
        Self { book, task }
    }

    /// Batches answered so far.
    pub fn batches(&self) -> usize {
        self.book.waits.lock().len()
    }

    /// How it goes, in one line.
    pub fn line(&self) -> String {
        self.book.report().to_string()
    }

    /// Ends after the batch in work; gives the events posted.
    pub async fn stop(self) -> (u64, Report) {
        self.book.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("the steady client");
        (self.book.posted.load(Ordering::Relaxed), self.book.report())
    }
}

// === impl Book ===

impl Book {
    fn report(&self) -> Report {
        let mut waits = self.waits.lock().clone();
        waits.sort_unstable();
        Report {
            batches: waits.len(),
            median: waits.get(waits.len() / 2).copied().unwrap_or_default(),
            longest: waits.last().copied().unwrap_or_default(),
            failures: self.failures.lock().clone(),
        }
    }
}

// === impl Report ===

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batches, median, longest, failures } = self;
        let failed = failures.len();
        write!(f, "{batches} good batches, median {median:?}, longest {longest:?}, {failed} failed")
    }
}

async fn work(book: Arc<Book>, url: String) {
    let client = reqwest::Client::builder().no_proxy().timeout(WAIT_MAX);
    let client = client.build().expect("a client without TLS");
    while !book.stop.load(Ordering::Relaxed) {
        let first = book.posted.load(Ordering::Relaxed);
        let begun = Instant::now();
        match post(&client, &url, first).await {
            Ok(()) => {
                book.posted.fetch_add(BATCH_EVENTS, Ordering::Relaxed);
                book.waits.lock().push(begun.elapsed());
            }
            Err(error) => book.failures.lock().push(error),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn post(client: &reqwest::Client, url: &str, first: u64) -> Result<(), String> {
    let event = |number: u64| {
        json!({"id": format!("steady-{number}"), "name": NAME, "time": now_ms(),
               "device_id": format!("steady-{}", number % 7), "properties": {"n": number}})
    };
    let events: Vec<Value> = (first..first + BATCH_EVENTS).map(event).collect();
    let body = json!({"platform": "wx", "sent_at": now_ms(), "events": events});
    let request = client.post(url).bearer_auth("demo-write-key").json(&body);
    let response = request.send().await.map_err(|error| format!("{error:?}"))?;
    let status = response.status();
    let answer: Value = response.json().await.map_err(|error| format!("{error:?}"))?;
    if status == 200 && answer["accepted"] == json!(BATCH_EVENTS) {
        return Ok(());
    }
    Err(format!("{status}: {answer}"))
}
