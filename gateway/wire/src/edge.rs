//! The edge: one service per connection that sends each request on its way.

mod body;
mod cors;
mod fallback;
mod hand_over;
mod health;
mod ids;
mod sdk_config;
mod stack;
mod stream;
mod unverified;

use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{ALLOW, HeaderName, HeaderValue};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use sluice_event::{Collector, Reason, Refusal};
use sluice_telemetry::Registry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tracing::Instrument;

pub use fallback::{Fallback, RequestId};

use crate::config::WireConfig;
use crate::dialects::{self, Action, Answer, Dialect, Route};
use crate::head::Head;
use crate::metrics::Metrics;
use crate::reply::{self, Body};
use ids::Ids;
use unverified::Unverified;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What all connections share.
pub(crate) struct Edge<C> {
    pub collector: Arc<C>,
    pub config: WireConfig,
    pub fallback: Fallback,
    pub metrics: Metrics,
    /// gRPC health and reflection.
    pub grpc: tonic::service::Routes,
    /// Ids of requests that bring none.
    ids: Ids,
    /// Batches handed over, which outlive their connections.
    pub handed: TaskTracker,
    /// Room for bodies that are not yet known to be anybody's.
    pub unverified: Unverified,
    /// Set when the drain begins.
    pub draining: CancellationToken,
}

/// The request ends without an answer; hyper closes the connection, or resets
/// the stream.
#[derive(Debug)]
pub(crate) struct HungUp;

impl fmt::Display for HungUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed without an answer, so that the client resends")
    }
}

impl std::error::Error for HungUp {}

// === impl Edge ===

impl<C: Collector> Edge<C> {
    pub(crate) fn new(
        config: WireConfig,
        collector: Arc<C>,
        fallback: Fallback,
        registry: &Registry,
        draining: CancellationToken,
    ) -> Self {
        Self {
            grpc: health::routes(Arc::clone(&collector), draining.clone()),
            collector,
            unverified: Unverified::new(config.unverified_bytes_in_flight_max),
            config,
            fallback,
            metrics: Metrics::new(registry),
            ids: Ids::new(),
            handed: TaskTracker::new(),
            draining,
        }
    }

    /// Serves one request.
    pub(crate) async fn call(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: Option<IpAddr>,
    ) -> Result<Response<Body>, HungUp> {
        let id = self.request_id(&request);
        let span = tracing::info_span!(
            "request",
            id = id.to_str().unwrap_or_default(),
            method = %request.method(),
            path = request.uri().path(),
        );
        async move {
            let (route, answer) = self.dispatch(request, peer, &id).await;
            match answer {
                Answer::Reply(mut response) => {
                    self.metrics.request(route, response.status().as_u16());
                    response.headers_mut().insert(REQUEST_ID, id);
                    tracing::debug!(route, status = response.status().as_u16(), "answered");
                    Ok(response)
                }
                Answer::HangUp => {
                    self.metrics.request(route, 0);
                    tracing::debug!(route, "closed without an answer");
                    Err(HungUp)
                }
            }
        }
        .instrument(span)
        .await
    }

    async fn dispatch(
        self: &Arc<Self>,
        request: Request<Incoming>,
        peer: Option<IpAddr>,
        id: &HeaderValue,
    ) -> (&'static str, Answer) {
        let Some((dialect, route)) = dialects::find(request.uri().path()) else {
            let media = request.headers().get(http::header::CONTENT_TYPE);
            let media = media.and_then(|value| value.to_str().ok()).unwrap_or_default();
            if dialects::grpc::speaks(media) {
                return ("grpc", Answer::Reply(self.grpc_services(request).await));
            }
            return ("fallback", Answer::Reply(self.elsewhere(request, peer, id).await));
        };
        let (parts, body) = request.into_parts();
        let head = Head::new(parts, peer);
        let cors = route.cors.then_some(route);
        let mut answer = match head.parts.method {
            Method::OPTIONS if route.cors => Answer::Reply(cors::preflight(route)),
            ref method if !route.methods.contains(&method.as_str()) => {
                self.method_not_allowed(dialect, route, &head)
            }
            _ => match route.action {
                Action::CollectStream => {
                    Answer::Reply(stream::serve(Arc::clone(self), dialect, head, body))
                }
                Action::SdkConfig => Answer::Reply(sdk_config::serve(&*self.collector, &head)),
                Action::Collect | Action::Validate => {
                    stack::serve(self, dialect, route, head, body).await
                }
            },
        };
        if let (Answer::Reply(response), Some(_)) = (&mut answer, cors) {
            cors::allow(response.headers_mut());
        }
        (route.path, answer)
    }

    fn method_not_allowed(&self, dialect: &dyn Dialect, route: &Route, head: &Head) -> Answer {
        let mut allowed = route.methods.join(", ");
        let detail = format!("this path takes {allowed}");
        if route.cors {
            allowed.push_str(", OPTIONS");
        }
        let refusal = Refusal::new(Reason::MethodNotAllowed, detail);
        self.collector.refused(None, dialect.kind(), &refusal);
        let mut answer = dialect.answer(head, "", Err(&refusal));
        if let (Answer::Reply(response), Ok(allowed)) =
            (&mut answer, HeaderValue::from_str(&allowed))
        {
            response.headers_mut().insert(ALLOW, allowed);
        }
        answer
    }

    /// gRPC health, reflection, and "unimplemented" for the rest.
    async fn grpc_services(&self, request: Request<Incoming>) -> Response<Body> {
        let request = request.map(tonic::body::Body::new);
        let answered: Result<_, Infallible> = self.grpc.clone().oneshot(request).await;
        match answered {
            Ok(response) => response.map(|body| {
                use http_body_util::BodyExt;
                body.map_err(Into::into).boxed_unsync()
            }),
            Err(never) => match never {},
        }
    }

    async fn elsewhere(
        &self,
        request: Request<Incoming>,
        peer: Option<IpAddr>,
        id: &HeaderValue,
    ) -> Response<Body> {
        let (parts, mut incoming) = request.into_parts();
        let max = self.config.fallback_body_bytes_max;
        let body = match body::read(&mut incoming, max, self.config.pace()).await {
            Ok(body) => body,
            Err(mut refusal) => {
                if refusal.reason == Reason::BodyTooLarge {
                    refusal.detail = format!("a body may have {max} bytes at most here");
                }
                body::linger(&parts, incoming);
                return reply::refusal(&refusal);
            }
        };
        self.fallback.call(parts, body, peer, id.to_str().unwrap_or_default()).await
    }

    /// The request's id: the client's where it is sane, else a new one (GW-REPLY-10).
    fn request_id(&self, request: &Request<Incoming>) -> HeaderValue {
        let sane = |value: &&HeaderValue| {
            let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
            (1..=64).contains(&value.len()) && value.as_bytes().iter().all(plain)
        };
        let sent = request.headers().get(&REQUEST_ID).filter(sane).cloned();
        sent.unwrap_or_else(|| self.ids.next())
    }
}
