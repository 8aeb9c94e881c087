//! An HTTP proxy that answers some items of bulk requests itself: as an engine
//! does that is full (429), or that cannot take a document (400).
//!
//! An item that is lied about is never forwarded. Everything else passes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderName, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// Largest body that passes.
const BODY_BYTES_MAX: usize = 64 << 20;

/// What is said of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Nothing but the truth.
    None = 0,
    /// Every seventh item: come back later.
    Full = 1,
    /// Every fiftieth event: never.
    Malformed = 2,
    /// Every item: come back later.
    Choked = 3,
}

/// A running proxy. Ends when dropped.
pub struct Liar {
    /// Where clients connect to.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _serving: AbortOnDropHandle<()>,
}

struct Shared {
    engine: String,
    client: reqwest::Client,
    lie: AtomicU8,
    told: AtomicU64,
    /// Events seen while the lie is `Malformed`.
    events: AtomicU64,
}

// === impl Liar ===

impl Liar {
    /// Stands before an engine.
    pub async fn start(engine: SocketAddr) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client without TLS");
        let shared = Arc::new(Shared {
            engine: format!("http://{engine}"),
            client,
            lie: AtomicU8::new(0),
            told: AtomicU64::new(0),
            events: AtomicU64::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let router = Router::new().fallback(pass).with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("serves");
        });
        Self { address, shared, _serving: AbortOnDropHandle::new(serving) }
    }

    /// From now on this is said.
    pub fn set(&self, lie: Lie) {
        self.shared.lie.store(lie as u8, Ordering::SeqCst);
    }

    /// Lies told so far.
    pub fn told(&self) -> u64 {
        self.shared.told.load(Ordering::SeqCst)
    }
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let Ok(body) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
        return status(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let is_bulk = parts.uri.path().ends_with("/_bulk") || parts.uri.path() == "/_bulk";
    let (body, lies) = match is_bulk {
        true => shared.split(&body),
        false => (body, Vec::new()),
    };
    let nothing_left = body.is_empty() && !lies.is_empty();
    let answer = if nothing_left {
        Ok((StatusCode::OK, None, Bytes::from_static(br#"{"items":[]}"#)))
    } else {
        let mut forward = shared.client.request(parts.method, format!("{}{path}", shared.engine));
        for (name, value) in &parts.headers {
            if ![http::header::HOST, http::header::CONTENT_LENGTH].contains(name) {
                forward = forward.header(name, value);
            }
        }
        forwarded(forward.body(body)).await
    };
    // As an engine that went away: the connection ends without an answer.
    let Ok((code, product, answer)) = answer else { return status(StatusCode::BAD_GATEWAY) };
    let answer = if lies.is_empty() { answer } else { merge(&answer, lies) };
    let mut reply = Response::builder().status(code).header("content-type", "application/json");
    if let Some(product) = product {
        reply = reply.header(HeaderName::from_static("x-elastic-product"), product);
    }
    reply.body(Body::from(answer)).expect("a response")
}

type Answer = (StatusCode, Option<http::HeaderValue>, Bytes);

async fn forwarded(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let code = response.status();
    let product = response.headers().get("x-elastic-product").cloned();
    Ok((code, product, response.bytes().await?))
}

fn status(code: StatusCode) -> Response {
    Response::builder().status(code).body(Body::empty()).expect("a response")
}

// === impl Shared ===

impl Shared {
    /// The body without the items that are lied about, and an answer for each of
    /// those with its place.
    fn split(&self, body: &Bytes) -> (Bytes, Vec<(usize, Value)>) {
        let lie = self.lie.load(Ordering::SeqCst);
        if lie == Lie::None as u8 {
            return (body.clone(), Vec::new());
        }
        let (mut kept, mut lies) = (Vec::with_capacity(body.len()), Vec::new());
        let mut lines = body.split_inclusive(|byte| *byte == b'\n');
        let mut at = 0;
        while let (Some(action), Some(source)) = (lines.next(), lines.next()) {
            match self.answer(lie, at, action) {
                Some(answer) => lies.push((at, answer)),
                None => {
                    kept.extend_from_slice(action);
                    kept.extend_from_slice(source);
                }
            }
            at += 1;
        }
        self.told.fetch_add(lies.len() as u64, Ordering::SeqCst);
        (kept.into(), lies)
    }

    fn answer(&self, lie: u8, at: usize, action: &[u8]) -> Option<Value> {
        let action: Value = serde_json::from_slice(action).ok()?;
        let (kind, target) = action.as_object()?.iter().next()?;
        let full = lie == Lie::Full as u8 || lie == Lie::Choked as u8;
        let (code, what) = if full {
            (lie == Lie::Choked as u8 || at % 7 == 3)
                .then_some((429, "es_rejected_execution_exception"))?
        } else {
            let is_event = target["_index"].as_str().is_some_and(|index| index.contains("events-"));
            let unlucky = is_event && self.events.fetch_add(1, Ordering::SeqCst) % 50 == 7;
            unlucky.then_some((400, "document_parsing_exception"))?
        };
        let error = json!({ "type": what, "reason": "as the test wants it" });
        let told = json!({
            "_index": target["_index"], "_id": target["_id"], "status": code, "error": error,
        });
        Some(json!({ kind.as_str(): told }))
    }
}

/// Puts the lies among the engine's answers, each in its place.
fn merge(answer: &Bytes, lies: Vec<(usize, Value)>) -> Bytes {
    let Ok(mut answer) = serde_json::from_slice::<Value>(answer) else { return answer.clone() };
    if let Some(items) = answer["items"].as_array_mut() {
        for (at, lie) in lies {
            items.insert(at.min(items.len()), lie);
        }
    }
    answer["errors"] = json!(true);
    answer["took"] = json!(1);
    Bytes::from(answer.to_string())
}
