//! A gateway that answers as a script says and writes down what it saw.

#![allow(dead_code, unreachable_pub)] // each test binary uses its own part

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};
use sluice_client::{Builder, Client, Event};

/// Longest that a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A request with events.
#[derive(Debug, Clone)]
pub struct Seen {
    pub at: Instant,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub batch: Value,
}

/// An answer to one of them.
#[derive(Debug, Clone)]
pub enum Say {
    /// Status, headers, body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// Nothing, ever.
    Hang,
    /// Breaks off in the body.
    Cut,
    /// All accepted, after a while.
    Slow(Duration),
}

#[derive(Default)]
pub struct Fake {
    seen: Mutex<Vec<Seen>>,
    script: Mutex<VecDeque<Say>>,
    settings: Mutex<Option<Value>>,
    under_way: AtomicUsize,
    pub at_once: AtomicUsize,
}

pub struct Gateway {
    pub fake: Arc<Fake>,
    pub url: String,
}

// === impl Say ===

impl Say {
    pub fn status(status: u16) -> Self {
        Self::Answer(status, Vec::new(), String::new())
    }

    pub fn json(status: u16, body: Value) -> Self {
        Self::Answer(status, Vec::new(), body.to_string())
    }

    pub fn wait(status: u16, seconds: u32) -> Self {
        Self::Answer(status, vec![("retry-after", seconds.to_string())], String::new())
    }
}

// === impl Gateway ===

impl Gateway {
    /// Answers as scripted, and from then on accepts everything.
    pub async fn start(script: impl IntoIterator<Item = Say>) -> Self {
        let fake = Arc::new(Fake::default());
        fake.script.lock().extend(script);
        let app = Router::new()
            .route("/v1/events", post(events))
            .route("/v1/config", get(settings))
            .with_state(Arc::clone(&fake));
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = listener.await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { fake, url }
    }

    pub fn set(&self, settings: Value) {
        *self.fake.settings.lock() = Some(settings);
    }

    /// A client that sends what it has within 20 ms.
    pub fn builder(&self) -> Builder {
        let quick = Duration::from_millis(20);
        Client::builder(&self.url, "key").linger(quick).remote_settings(false)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.fake.seen.lock().clone()
    }

    /// Waits for that many requests.
    pub async fn requests(&self, count: usize) -> Vec<Seen> {
        let begun = Instant::now();
        while self.fake.seen.lock().len() < count {
            assert!(begun.elapsed() < PATIENCE, "{} of {count} requests", self.seen().len());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.seen()
    }
}

// === impl Seen ===

impl Seen {
    /// Names of the events, in order.
    pub fn names(&self) -> Vec<String> {
        let events = self.batch["events"].as_array().cloned().unwrap_or_default();
        events.iter().map(|event| event["name"].as_str().expect("a name").to_owned()).collect()
    }

    pub fn events(&self) -> usize {
        self.batch["events"].as_array().map_or(0, Vec::len)
    }

    pub fn dropped(&self) -> u64 {
        self.batch["dropped"].as_u64().expect("a count")
    }
}

/// Queues events of these names, so that they go in one batch.
pub fn push(client: &Client, names: &[&str]) {
    for name in names {
        client.push(Event::new(*name)).expect("taken");
    }
}

async fn settings(State(fake): State<Arc<Fake>>) -> Response<Body> {
    let settings = fake.settings.lock().clone();
    let status = if settings.is_some() { 200 } else { 404 };
    let body = Body::from(settings.unwrap_or_default().to_string());
    Response::builder().status(status).header("etag", "\"1\"").body(body).expect("valid")
}

async fn events(State(fake): State<Arc<Fake>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let batch: Value = serde_json::from_slice(&body).unwrap_or_default();
    let count = batch["events"].as_array().map_or(0, Vec::len);
    fake.seen.lock().push(Seen { at: Instant::now(), headers, body, batch });
    let together = fake.under_way.fetch_add(1, SeqCst) + 1;
    fake.at_once.fetch_max(together, SeqCst);
    let say = fake.script.lock().pop_front();
    let accepted = json!({"accepted": count, "duplicates": 0, "rejected": 0, "retry": 0});
    let (status, headers, body) = match say {
        None => (200, Vec::new(), Body::from(accepted.to_string())),
        Some(Say::Answer(status, headers, body)) => (status, headers, Body::from(body)),
        Some(Say::Slow(wait)) => {
            tokio::time::sleep(wait).await;
            (200, Vec::new(), Body::from(accepted.to_string()))
        }
        Some(Say::Hang) => {
            fake.under_way.fetch_sub(1, SeqCst);
            std::future::pending().await
        }
        Some(Say::Cut) => {
            let broken = Err::<Bytes, _>(std::io::Error::other("cut"));
            let pieces = [Ok(Bytes::from_static(b"{\"accep")), broken];
            (200, Vec::new(), Body::from_stream(tokio_stream::iter(pieces)))
        }
    };
    fake.under_way.fetch_sub(1, SeqCst);
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(body).expect("valid")
}
