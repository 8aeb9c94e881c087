//! A node that answers as it is told: what a store does when nodes do what real
//! ones do rarely.
//!
//! It keeps the keys that it took, so that what is sent again is answered as a
//! real node would.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What becomes of one bulk request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Taken as it is.
    None,
    /// The item at this position is answered with a status and a type, not taken.
    Item(usize, u16, &'static str),
    /// Every item is.
    Items(u16, &'static str),
    /// The whole request is, nothing taken.
    Whole(u16, &'static str),
    /// More than this many documents are 413.
    AtMost(usize),
    /// Any request with a document whose source holds this text is 400.
    Chokes(&'static str),
    /// Taken; no answer comes.
    Silence,
    /// Taken; the answer is cut short.
    Cut,
}

type Body = BoxBody<Bytes, std::io::Error>;

/// The node.
#[derive(Clone)]
pub struct Fake(Arc<State>);

struct State {
    address: String,
    script: Mutex<VecDeque<Fault>>,
    otherwise: Mutex<Fault>,
    held: Mutex<HashSet<String>>,
    bulks: Mutex<Vec<Vec<String>>>,
    layout_version: Mutex<u64>,
}

// === impl Fake ===

impl Fake {
    /// A node on a free port that takes everything.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let fake = Self(Arc::new(State {
            address: format!("http://127.0.0.1:{port}"),
            script: Mutex::default(),
            otherwise: Mutex::new(Fault::None),
            held: Mutex::default(),
            bulks: Mutex::default(),
            layout_version: Mutex::new(1),
        }));
        let node = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let node = node.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| node.clone().answer(request));
                    let io = TokioIo::new(stream);
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(io, service)
                        .await;
                });
            }
        });
        fake
    }

    /// Its address.
    pub fn address(&self) -> String {
        self.0.address.clone()
    }

    /// The next bulk requests fare so; those after them are taken.
    pub fn then(&self, faults: impl IntoIterator<Item = Fault>) {
        self.0.script.lock().extend(faults);
    }

    /// Bulk requests without a script of their own fare so.
    pub fn otherwise(&self, fault: Fault) {
        *self.0.otherwise.lock() = fault;
    }

    /// Indices and templates say that they are of this layout.
    pub fn layout_version(&self, version: u64) {
        *self.0.layout_version.lock() = version;
    }

    /// The ids in each bulk request so far.
    pub fn bulks(&self) -> Vec<Vec<String>> {
        self.0.bulks.lock().clone()
    }

    /// Number of documents taken.
    pub fn held(&self) -> usize {
        self.0.held.lock().len()
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let (method, path) =
            (request.method().as_str().to_owned(), request.uri().path().to_owned());
        let body = match request.into_body().collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return Ok(plain(400, &json!({}))),
        };
        if path == "/_bulk" {
            return Ok(self.bulk(&body).await);
        }
        let version = *self.0.layout_version.lock();
        let meta = json!({"managed_by": "sluice", "version": version});
        let mappings = json!({"_meta": meta, "dynamic": "false"});
        Ok(match (method.as_str(), path.as_str()) {
            ("GET", path) if path.starts_with("/_index_template/") => plain(404, &json!({})),
            ("POST", path) if path.starts_with("/_index_template/_simulate_index/") => {
                plain(200, &json!({"template": {"mappings": mappings}}))
            }
            ("GET", path) if path.ends_with("/_mapping") => {
                let index = path.trim_start_matches('/').trim_end_matches("/_mapping");
                plain(200, &json!({index: {"mappings": mappings}}))
            }
            (_, path) if path.ends_with("/_refresh") => {
                plain(200, &json!({"_shards": {"total": 1, "failed": 0}}))
            }
            _ => plain(200, &json!({"status": "green"})),
        })
    }

    async fn bulk(&self, body: &[u8]) -> Response<Body> {
        let text = std::str::from_utf8(body).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        let actions: Vec<(Value, &str)> = lines
            .chunks(2)
            .map(|pair| (serde_json::from_str(pair[0]).expect("an action"), pair[1]))
            .collect();
        let ids: Vec<String> = actions.iter().map(|(action, _)| id_of(action)).collect();
        self.0.bulks.lock().push(ids.clone());
        let fault =
            self.0.script.lock().pop_front().unwrap_or_else(|| self.0.otherwise.lock().clone());
        match fault {
            Fault::Whole(status, kind) => plain(status, &error(kind)),
            Fault::AtMost(most) if actions.len() > most => plain(413, &json!({})),
            Fault::Chokes(on) if actions.iter().any(|(_, source)| source.contains(on)) => {
                plain(400, &error("illegal_argument_exception"))
            }
            Fault::Silence => {
                self.take(&ids, &Fault::None);
                tokio::time::sleep(Duration::from_secs(20)).await;
                plain(500, &json!({}))
            }
            Fault::Cut => {
                let whole = self.take(&ids, &Fault::None).to_string();
                cut(&whole.as_bytes()[..whole.len() / 2])
            }
            fault => plain(200, &self.take(&ids, &fault)),
        }
    }

    fn take(&self, ids: &[String], fault: &Fault) -> Value {
        let mut held = self.0.held.lock();
        let items = ids.iter().enumerate().map(|(at, id)| {
            let refused = match fault {
                Fault::Item(of, status, kind) if *of == at => Some((*status, *kind)),
                Fault::Items(status, kind) => Some((*status, *kind)),
                _ => None,
            };
            let item = match refused {
                Some((status, kind)) => json!({"status": status, "error": error(kind)["error"]}),
                None if held.insert(id.clone()) => json!({"status": 201}),
                None => {
                    let kind = "version_conflict_engine_exception";
                    json!({"status": 409, "error": error(kind)["error"]})
                }
            };
            json!({"create": item})
        });
        json!({"errors": true, "items": items.collect::<Vec<_>>()})
    }
}

fn id_of(action: &Value) -> String {
    let of = action.get("create").unwrap_or(&action["index"]);
    format!("{}/{}", of["_index"].as_str().unwrap_or(""), of["_id"].as_str().unwrap_or(""))
}

fn error(kind: &str) -> Value {
    json!({"error": {"type": kind, "reason": "scripted"}, "status": 0})
}

fn plain(status: u16, body: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(body.to_string())).map_err(|never| match never {}).boxed();
    let builder = Response::builder().status(status).header("x-elastic-product", "Elasticsearch");
    builder.body(body).expect("a response")
}

fn cut(part: &[u8]) -> Response<Body> {
    let part = Bytes::copy_from_slice(part);
    let broken = std::io::Error::other("cut");
    let frames = stream::iter([Ok(Frame::data(part)), Err(broken)]);
    let body = BodyExt::boxed(StreamBody::new(frames));
    Response::builder().status(200).body(body).expect("a response")
}
