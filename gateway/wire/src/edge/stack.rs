//! The order of work for a request that brings a batch.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::Method;
use hyper::body::Incoming;
use sluice_event::{Collector, Limits, Receipt, Refusal};

use super::hand_over::{Parcel, hand_over};
use super::{Edge, body};
use crate::dialects::{Answer, Dialect, Route};
use crate::head::Head;
use crate::metrics::observe;

/// Serves one request: the steps, then the dialect's wording of their outcome.
pub(crate) async fn serve<C: Collector>(
    edge: &Arc<Edge<C>>,
    dialect: &'static dyn Dialect,
    route: &Route,
    head: Head,
    mut incoming: Incoming,
) -> Answer {
    let mut app_id = None;
    match steps(edge, dialect, route, &head, &mut incoming, &mut app_id).await {
        Ok((batch_id, receipt)) => dialect.answer(&head, &batch_id, Ok(&receipt)),
        Err(refusal) => {
            edge.collector.refused(app_id.as_deref(), dialect.kind(), &refusal);
            let answer = dialect.answer(&head, "", Err(&refusal));
            if matches!(answer, Answer::Reply(_)) {
                body::linger(&head.parts, incoming);
            }
            answer
        }
    }
}

/// Each step stands where it is because of what it saves the next one.
async fn steps<C: Collector>(
    edge: &Arc<Edge<C>>,
    dialect: &'static dyn Dialect,
    route: &Route,
    head: &Head,
    incoming: &mut Incoming,
    app_id: &mut Option<Arc<str>>,
) -> Result<(String, Receipt), Refusal> {
    // A gateway that can take nothing says so before it spends anything.
    if let Some(refusal) = edge.collector.unready() {
        return Err(refusal);
    }
    // What the head alone rules out.
    dialect.check_head(head)?;
    let encoding = dialect.encoding(head)?;
    let start = Instant::now();
    let mut unverified = Bytes::new();
    let mut _room = None;
    let presented = if dialect.names_app_in_body() {
        // Some SDKs name their app there alone: one budget holds all such bodies.
        let bytes_max = dialect.wire_bytes_max(&Limits::default());
        _room = Some(edge.unverified.room(incoming, bytes_max)?);
        unverified = body::read(incoming, bytes_max, edge.config.pace()).await?;
        dialect.presented_in_body(head, &unverified)
    } else {
        // Else bytes of strangers are never held in memory.
        dialect.presented(head)
    };
    let grant = edge.collector.authenticate(&presented)?;
    *app_id = Some(Arc::clone(&grant.app_id));
    // Within the app's own limit; a claimed length over it is refused unread.
    let body = if dialect.names_app_in_body() {
        let bytes_max = dialect.wire_bytes_max(&grant.limits);
        if unverified.len() > bytes_max {
            return Err(body::too_large(bytes_max));
        }
        unverified.clone()
    } else if head.parts.method == Method::GET {
        // The query is the body; the head's limit has bounded it.
        Bytes::copy_from_slice(head.parts.uri.query().unwrap_or_default().as_bytes())
    } else {
        let bytes_max = dialect.wire_bytes_max(&grant.limits);
        body::read(incoming, bytes_max, edge.config.pace()).await?
    };
    observe(&edge.metrics.read, start.elapsed());
    edge.metrics.wire_bytes.inc_by(body.len() as u64);
    // Before inflating: signature, bytes per second, bytes in flight.
    let permit = edge.collector.admit_bytes(&grant, &presented, &body)?;
    let action = route.action;
    let parcel = Parcel { dialect, action, head, grant: &grant, encoding, body: &body };
    let handed = hand_over(edge, &parcel, permit)?;
    // From here on the batch goes its way even if this request is dropped.
    drop(body);
    let start = Instant::now();
    let batch_id = handed.batch_id.clone();
    let receipt = handed.receipt().await?;
    observe(&edge.metrics.collect, start.elapsed());
    Ok((batch_id, receipt))
}
