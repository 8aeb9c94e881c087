//! One HTTP/1.1 connection, a request at a time.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Target;
use super::answer::Answer;
use super::forge::Made;
use super::kind::Kind;

/// Longest wait for an answer.
pub const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A connection that is made when it is needed.
pub struct HttpLine {
    target: Target,
    kind: Kind,
    uri: String,
    /// How the protocol presents a key, where it has one.
    authorization: Option<String>,
    open: Option<SendRequest<Full<Bytes>>>,
}

// === impl HttpLine ===

impl HttpLine {
    /// Not yet connected.
    pub fn new(target: Target, kind: Kind) -> Self {
        let uri = match kind {
            Kind::Sensors => format!("{}?project={}", kind.path(), target.sensors_project),
            Kind::DataRangers => format!("{}?sdk_version=2.15.1&sdk_name=sdk-mp", kind.path()),
            _ => kind.path().to_owned(),
        };
        let authorization = authorization(kind, &target.key);
        Self { target, kind, uri, authorization, open: None }
    }

    /// From now on posts come with this write key.
    pub fn speak_for(&mut self, key: &str) {
        self.authorization = authorization(self.kind, key);
    }

    /// Posts a body.
    pub async fn post(&mut self, made: &Made) -> Answer {
        let answered = timeout(ANSWER_MAX, self.try_post(made)).await;
        let answer = match answered {
            Ok(Ok(answer)) => return answer,
            Ok(Err(error)) => Answer::Lost(error),
            Err(_) => Answer::Lost(format!("no answer within {ANSWER_MAX:?}")),
        };
        // What may still come belongs to a request that nobody waits for.
        self.open = None;
        answer
    }

    async fn try_post(&mut self, made: &Made) -> Result<Answer, String> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.uri)
            .header(HOST, &self.target.authority)
            .header(CONTENT_TYPE, self.kind.media());
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if self.kind == Kind::JsonGzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        let request = request.body(Full::new(made.body.clone()));
        let request = request.map_err(|error| error.to_string())?;
        let sender = self.connected().await?;
        let reply = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let (status, wait) = (reply.status().as_u16(), reply.headers().contains_key(RETRY_AFTER));
        let body = reply.into_body().collect().await.map_err(|error| error.to_string())?;
        Ok(Answer::of_http(self.kind, status, wait, &body.to_bytes(), &made.bad))
    }

    async fn connected(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, String> {
        let mut open = self.open.take();
        if let Some(line) = &mut open
            && line.ready().await.is_err()
        {
            // The other side has closed it.
            open = None;
        }
        let open = match open {
            Some(open) => open,
            None => connect(&self.target.authority).await?,
        };
        Ok(self.open.insert(open))
    }
}

fn authorization(kind: Kind, key: &str) -> Option<String> {
    match kind {
        // Who they are stands in the query, or in the body.
        Kind::Sensors | Kind::DataRangers => None,
        Kind::Segment => Some(format!("Basic {}", STANDARD.encode(format!("{key}:")))),
        _ => Some(format!("Bearer {key}")),
    }
}

/// Connects to `host:port`.
///
/// # Errors
/// What the system said.
pub async fn connect(authority: &str) -> Result<SendRequest<Full<Bytes>>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{authority}: {error}");
    let stream = TcpStream::connect(authority).await.map_err(|error| failed(&error))?;
    stream.set_nodelay(true).map_err(|error| failed(&error))?;
    let (sender, connection) =
        handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    // Its end is seen by the sender.
    tokio::spawn(connection);
    Ok(sender)
}
