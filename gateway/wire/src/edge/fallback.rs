//! Where requests go that no dialect claims.

use std::convert::Infallible;
use std::net::IpAddr;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, Full};
use sluice_event::{Reason, Refusal};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};

use crate::reply::{self, Body, BoxError};

/// The request's id, in the extensions of a request that the fallback gets.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// A service for all other paths. Bodies reach it whole: the wire has read them
/// under its cap, deadline and minimum rate. The peer's `IpAddr` and the
/// [`RequestId`] are in the request's extensions.
///
/// Any `axum::Router` will do: `Fallback::new(router)`.
#[derive(Clone)]
pub struct Fallback(BoxCloneSyncService<Request<Full<Bytes>>, Response<Body>, Infallible>);

// === impl Fallback ===

impl Fallback {
    /// Sends requests to `service`.
    pub fn new<S, B>(service: S) -> Self
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let boxed =
            |response: Response<B>| response.map(|body| body.map_err(Into::into).boxed_unsync());
        Self(BoxCloneSyncService::new(service.map_response(boxed)))
    }

    /// Answers 404 to everything.
    pub fn not_found() -> Self {
        Self::new(tower::service_fn(|request: Request<Full<Bytes>>| async move {
            let detail = format!("nothing at {}", request.uri().path());
            Ok(reply::refusal(&Refusal::new(Reason::NotFound, detail)))
        }))
    }

    pub(crate) async fn call(
        &self,
        mut parts: Parts,
        body: Bytes,
        peer: Option<IpAddr>,
        id: &str,
    ) -> Response<Body> {
        if let Some(peer) = peer {
            parts.extensions.insert(peer);
        }
        parts.extensions.insert(RequestId(id.to_owned()));
        let answered = self.0.clone().oneshot(Request::from_parts(parts, Full::new(body))).await;
        match answered {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}
