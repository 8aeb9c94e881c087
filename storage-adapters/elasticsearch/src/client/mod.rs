//! Requests to the nodes: which node, how long, how often.
//!
//! The official crate's transport has no default time-out, no retry and does
//! not mark nodes dead; this does. Every request of the store can be sent again
//! without harm, so a request whose outcome is unknown goes to the next node.
//! Passing errors are tried a few times only: whoever calls tries for longer.

mod jitter;
mod node;
mod reply;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use elasticsearch::http::Method;
use sluice_seams::StoreError;

pub use jitter::full_jitter;
pub use node::NowMs;
pub use reply::{Cause, Reply};

use crate::config::ElasticsearchConfig;
use crate::figures::{Counters, NodeFigures};
use node::Node;

/// Most nodes that one request is sent to before it is given up.
const NODES_TRIED_MAX: usize = 3;
/// Times that a passing answer to one request is tried again.
const RETRIES_MAX: u32 = 3;
/// The base of the pause before such a retry.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// How long a caller is told to wait when no node answers.
pub const AWAY: Duration = Duration::from_millis(500);

/// The nodes.
pub struct Client {
    nodes: Vec<Node>,
    next: AtomicUsize,
    counters: Arc<Counters>,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Path and query, without a leading slash.
    pub path: String,
    /// Body.
    pub body: Option<Bytes>,
    /// Whether the body is lines of JSON.
    pub lines: bool,
    /// Instead of the configured time-out.
    pub timeout: Option<Duration>,
}

/// No answer came: the outcome is unknown.
#[derive(Debug, Clone)]
pub struct Unreached {
    /// Which node, and what went wrong.
    pub detail: String,
    /// Whether time ran out.
    pub timed_out: bool,
}

// === impl Request ===

impl Request {
    /// A request without a body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), body: None, lines: false, timeout: None }
    }

    /// With a JSON body.
    pub fn json(mut self, body: &serde_json::Value) -> Self {
        self.body = Some(body.to_string().into());
        self
    }

    /// With lines of JSON.
    pub fn lines(mut self, body: Bytes) -> Self {
        self.body = Some(body);
        self.lines = true;
        self
    }

    /// With a time-out of its own.
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

// === impl Unreached ===

impl From<Unreached> for StoreError {
    fn from(why: Unreached) -> Self {
        Self::retry(AWAY, why.to_string())
    }
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "elasticsearch: {}", self.detail)
    }
}

// === impl Client ===

impl Client {
    /// A client of the configured nodes; connects to none yet.
    pub fn new(
        config: &ElasticsearchConfig,
        now_ms: NowMs,
        counters: Arc<Counters>,
    ) -> Result<Self, StoreError> {
        let nodes = config
            .nodes
            .iter()
            .map(|address| Node::new(address, config, now_ms.clone()))
            .collect::<Result<Vec<_>, String>>()
            .map_err(|why| StoreError::Refused(format!("elasticsearch: {why}")))?;
        Ok(Self { nodes, next: AtomicUsize::new(0), counters })
    }

    /// Sends a request to one node after another until one answers.
    pub async fn send(&self, request: &Request) -> Result<Reply, Unreached> {
        let tries = self.nodes.len().min(NODES_TRIED_MAX);
        let mut last = None;
        for _ in 0..tries {
            let Some(node) = self.pick() else { break };
            match node.send(request).await {
                // A node that is up but without a master, or a proxy before one
                // that is down: another may know better.
                Ok(reply) if matches!(reply.status, 502..=504) && tries > 1 => {
                    last = Some(Ok(reply));
                }
                Ok(reply) => return Ok(reply),
                Err(unreached) => {
                    Counters::add(&self.counters.unreached, 1);
                    last = Some(Err(unreached));
                }
            }
        }
        last.unwrap_or_else(|| {
            let wait = self.nodes.iter().map(Node::dead_for).min().unwrap_or_default();
            let detail = format!("all {} nodes are marked dead for {wait:?}", self.nodes.len());
            Err(Unreached { detail, timed_out: false })
        })
    }

    /// Sends a request; a passing answer is tried again a few times. Answers
    /// other than 2xx and those in `allowed` become errors of their class.
    pub async fn call(&self, request: &Request, allowed: &[u16]) -> Result<Reply, StoreError> {
        let mut tried = 0;
        loop {
            let reply = self.send(request).await?;
            if reply.is_success() || allowed.contains(&reply.status) {
                return Ok(reply);
            }
            if !matches!(reply.status, 429 | 502..=504) || tried == RETRIES_MAX {
                return Err(reply.error());
            }
            Counters::add(&self.counters.requests_retried, 1);
            tokio::time::sleep(full_jitter(RETRY_PAUSE * (1 << (2 * tried)))).await;
            tried += 1;
        }
    }

    /// The next node that is not marked dead.
    fn pick(&self) -> Option<&Node> {
        let start = self.next.fetch_add(1, Relaxed);
        (0..self.nodes.len())
            .map(|step| &self.nodes[start.wrapping_add(step) % self.nodes.len()])
            .find(|node| node.admits())
    }

    /// State of each node.
    pub fn nodes(&self) -> Vec<NodeFigures> {
        self.nodes.iter().map(Node::figures).collect()
    }
}
