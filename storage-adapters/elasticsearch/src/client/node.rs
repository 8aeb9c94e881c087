//! One node: its transport, its time-outs, its circuit.
//!
//! A failure opens the circuit for a pause that doubles with each further one;
//! afterwards a single request finds out. Before a node that has been quiet is
//! given a request, a bare connection is tried: the crate's transport knows no
//! time-out of its own for connecting.

use std::sync::Arc;
use std::time::Duration;

use elasticsearch::auth::Credentials;
use elasticsearch::cert::{Certificate, CertificateValidation};
use elasticsearch::http::headers::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use elasticsearch::http::transport::{SingleNodeConnectionPool, Transport, TransportBuilder};
use elasticsearch::http::{StatusCode, Url};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::{Reply, Request, Unreached, full_jitter};
use crate::config::ElasticsearchConfig;
use crate::figures::NodeFigures;

/// The clock: milliseconds since the Unix epoch.
pub type NowMs = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The pause after a first failure.
const DEAD_MIN: Duration = Duration::from_millis(250);
/// The longest pause: a node that is back is found within it.
const DEAD_MAX: Duration = Duration::from_secs(5);
/// A node that has not answered for this long is tried with a bare connection.
const QUIET: Duration = Duration::from_secs(5);
/// Longest body that is read, bytes, where the node says its length.
const REPLY_BYTES_MAX: u64 = 256 << 20;

/// A node.
pub struct Node {
    address: String,
    authority: String,
    transport: Transport,
    request_timeout: Duration,
    connect_timeout: Duration,
    circuit: Mutex<Circuit>,
    now_ms: NowMs,
}

#[derive(Debug, Default)]
struct Circuit {
    failures: u32,
    dead_until: Option<Instant>,
    answered: Option<Instant>,
    failed_at_ms: Option<i64>,
    last_failure: String,
    requests: u64,
    failed: u64,
}

// === impl Node ===

impl Node {
    /// A node at an address. An error is a sentence on what is wrong with it.
    pub fn new(address: &str, config: &ElasticsearchConfig, now_ms: NowMs) -> Result<Self, String> {
        let url = Url::parse(address).map_err(|why| format!("node `{address}`: {why}"))?;
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(format!("node `{address}`: has no host or port"));
        };
        let authority = format!("{host}:{port}");
        let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url))
            .disable_proxy()
            .enable_meta_header(false);
        if let Some(key) = &config.api_key {
            builder = builder.auth(Credentials::EncodedApiKey(key.clone()));
        } else if let (Some(user), Some(password)) = (&config.username, &config.password) {
            builder = builder.auth(Credentials::Basic(user.clone(), password.clone()));
        }
        if let Some(file) = &config.ca_file {
            let named = |why: &dyn std::fmt::Display| format!("ca_file {}: {why}", file.display());
            let pem = std::fs::read(file).map_err(|why| named(&why))?;
            let certificate = Certificate::from_pem(&pem).map_err(|why| named(&why))?;
            builder = builder.cert_validation(CertificateValidation::Full(certificate));
        }
        let transport = builder.build().map_err(|why| format!("node `{address}`: {why}"))?;
        Ok(Self {
            address: address.to_owned(),
            authority,
            transport,
            request_timeout: Duration::from_millis(config.request_timeout_ms),
            connect_timeout: Duration::from_millis(config.connect_timeout_ms),
            circuit: Mutex::default(),
            now_ms,
        })
    }

    /// Whether a request may be sent. After a pause exactly one caller is let
    /// through; the others wait for what becomes of it.
    pub fn admits(&self) -> bool {
        let mut circuit = self.circuit.lock();
        let now = Instant::now();
        match circuit.dead_until {
            None => true,
            Some(until) if until > now => false,
            Some(_) => {
                circuit.dead_until = Some(now + self.connect_timeout + DEAD_MIN);
                true
            }
        }
    }

    /// How much longer the node is marked dead.
    pub fn dead_for(&self) -> Duration {
        let until = self.circuit.lock().dead_until;
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    /// Sends one request and reads the whole answer.
    pub async fn send(&self, request: &Request) -> Result<Reply, Unreached> {
        let limit = request.timeout.unwrap_or(self.request_timeout);
        let outcome = match self.reach().await {
            Ok(()) => match timeout(limit, self.exchange(request, limit)).await {
                Ok(outcome) => outcome,
                Err(_) => Err((format!("no answer within {limit:?}"), true)),
            },
            Err(why) => Err((why, false)),
        };
        let mut circuit = self.circuit.lock();
        circuit.requests += 1;
        match outcome {
            Ok(reply) => {
                circuit.answered = Some(Instant::now());
                circuit.failures = 0;
                circuit.dead_until = None;
                Ok(reply)
            }
            Err((why, timed_out)) => {
                let detail = format!("{}: {why}", self.address);
                circuit.fail(why, (self.now_ms)());
                Err(Unreached { detail, timed_out })
            }
        }
    }

    /// Tries a bare connection if the node has been quiet.
    async fn reach(&self) -> Result<(), String> {
        let answered = self.circuit.lock().answered;
        if answered.is_some_and(|at| at.elapsed() < QUIET) {
            return Ok(());
        }
        let connect = tokio::net::TcpStream::connect(&self.authority);
        match timeout(self.connect_timeout, connect).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(why)) => Err(format!("cannot connect: {why}")),
            Err(_) => Err(format!("cannot connect within {:?}", self.connect_timeout)),
        }
    }

    async fn exchange(&self, request: &Request, limit: Duration) -> Result<Reply, (String, bool)> {
        let mut headers = HeaderMap::new();
        // Answers are read on the same network: packing them costs more than it saves.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if request.lines {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        }
        let (method, path) = (request.method, request.path.as_str());
        let failed = |why: &dyn std::error::Error, timed_out| (innermost(why), timed_out);
        let response = self
            .transport
            .send(method, path, headers, None::<&()>, request.body.clone(), Some(limit))
            .await
            .map_err(|why| failed(&why, why.is_timeout()))?;
        if response.content_length().is_some_and(|bytes| bytes > REPLY_BYTES_MAX) {
            return Err((format!("an answer of more than {REPLY_BYTES_MAX} bytes"), false));
        }
        let status: StatusCode = response.status_code();
        let product = response.headers().get("x-elastic-product");
        let elastic = product.is_some_and(|product| product == "Elasticsearch");
        let body = response.bytes().await.map_err(|why| failed(&why, why.is_timeout()))?;
        Ok(Reply { status: status.as_u16(), body, elastic, node: self.address.clone() })
    }

    /// State of the node.
    pub fn figures(&self) -> NodeFigures {
        let circuit = self.circuit.lock();
        NodeFigures {
            address: self.address.clone(),
            dead: circuit.dead_until.is_some(),
            requests: circuit.requests,
            failed: circuit.failed,
            failed_at_ms: circuit.failed_at_ms,
            last_failure: circuit.last_failure.clone(),
        }
    }
}

// === impl Circuit ===

impl Circuit {
    fn fail(&mut self, why: String, now_ms: i64) {
        self.failed += 1;
        self.failed_at_ms = Some(now_ms);
        self.last_failure = why;
        if self.dead_until.is_some_and(|until| until > Instant::now()) {
            return; // Requests that were under way together fail together.
        }
        let longest = DEAD_MIN.saturating_mul(1 << self.failures.min(8)).min(DEAD_MAX);
        // Half of it in any case, so that a dead node is not asked at once again.
        let pause = longest / 2 + full_jitter(longest / 2);
        self.failures = self.failures.saturating_add(1);
        self.dead_until = Some(Instant::now() + pause);
    }
}

/// The last of a chain of errors says what happened.
fn innermost(why: &dyn std::error::Error) -> String {
    let mut last = why;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
