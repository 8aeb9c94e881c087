//! Posts batches over some connections as fast as answers come, to whichever
//! system: what is measured differs, who asks does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use tokio::time::timeout;

use super::bodies::Bodies;
use crate::drive::http::{ANSWER_MAX, connect};

/// Connections; each has one request under way.
pub const CONNECTIONS: usize = 64;
/// Longest round, whatever a system does.
const ROUND_MAX: Duration = Duration::from_secs(120);

/// Whether a body that came with status 200 says that all of the batch is durable.
pub type Taken = fn(&[u8]) -> bool;

/// Where batches go, and in which words.
#[derive(Debug, Clone)]
pub struct Post {
    /// `host:port`.
    pub authority: String,
    /// Of the URL.
    pub path: &'static str,
    /// `content-type`.
    pub media: &'static str,
    /// Sent as a bearer token; who knows no keys passes it over.
    pub key: &'static str,
    /// Reads answers of status 200.
    pub taken: Taken,
}

/// What the connections of a round share.
struct Shared {
    post: Post,
    bodies: Bodies,
    batches: u64,
    begun: Instant,
    next: AtomicU64,
    acknowledged: AtomicU64,
    stop: AtomicBool,
}

/// How a round ended.
#[derive(Debug)]
pub struct Posted {
    /// Batches that were acknowledged whole.
    pub acknowledged: u64,
    /// The first answer that was anything else; no more was sent after it.
    pub fault: Option<String>,
}

// === impl Post ===

impl Post {
    /// Posts `batches` batches and waits for all answers; stops at the first that
    /// is no acknowledgement.
    pub async fn all(&self, bodies: Bodies, batches: u64) -> Posted {
        let shared = Arc::new(Shared {
            post: self.clone(),
            bodies,
            batches,
            begun: Instant::now(),
            next: 0.into(),
            acknowledged: 0.into(),
            stop: false.into(),
        });
        let lines = (0..CONNECTIONS).map(|_| tokio::spawn(Arc::clone(&shared).line()));
        let ended = join_all(lines.collect::<Vec<_>>()).await;
        let fault = ended.into_iter().find_map(|ended| match ended {
            Ok(Ok(())) => None,
            Ok(Err(fault)) => Some(fault),
            Err(error) => Some(format!("a connection panicked: {error}")),
        });
        Posted { acknowledged: shared.acknowledged.load(Ordering::Relaxed), fault }
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
        Request::builder()
            .method(Method::POST)
            .uri(self.path)
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, self.media)
            .header(AUTHORIZATION, format!("Bearer {}", self.key))
            .body(Full::new(body))
            .map_err(|error| error.to_string())
    }
}

// === impl Shared ===

impl Shared {
    async fn line(self: Arc<Self>) -> Result<(), String> {
        let ended = self.posts().await;
        if ended.is_err() {
            self.stop.store(true, Ordering::Relaxed);
        }
        ended
    }

    async fn posts(&self) -> Result<(), String> {
        let mut sender = connect(&self.post.authority).await?;
        while !self.stop.load(Ordering::Relaxed) {
            let batch = self.next.fetch_add(1, Ordering::Relaxed);
            if batch >= self.batches {
                break;
            }
            if self.begun.elapsed() > ROUND_MAX {
                return Err(format!("{batch} of {} batches in {ROUND_MAX:?}", self.batches));
            }
            let request = self.post.request(self.bodies.make(batch))?;
            let asked = async {
                sender.ready().await.map_err(|error| error.to_string())?;
                let reply =
                    sender.send_request(request).await.map_err(|error| error.to_string())?;
                let status = reply.status();
                let body = reply.into_body().collect().await.map_err(|error| error.to_string())?;
                Ok::<_, String>((status, body.to_bytes()))
            };
            let answered = timeout(ANSWER_MAX, asked).await;
            let (status, body) =
                answered.map_err(|_| format!("no answer within {ANSWER_MAX:?}"))??;
            if status != http::StatusCode::OK || !(self.post.taken)(&body) {
                let shown = &body[..body.len().min(300)];
                return Err(format!("batch {batch}: {status}: {}", String::from_utf8_lossy(shown)));
            }
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
