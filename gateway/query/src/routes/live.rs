//! `GET /v1/apps/{app}/live`: events as they are filed.
//!
//! A reader that is too slow is told how many events it may have missed; it
//! never slows down anybody else. Each open stream takes one of a fixed number
//! of places.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use futures::StreamExt as _;
use futures::stream;
use http::HeaderMap;
use jiff::tz::TimeZone;
use serde_json::json;
use sluice_seams::EventDocument;
use tokio::sync::OwnedSemaphorePermit;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

use super::{Operation, Parameters, Reader, Segments};
use crate::api::QueryApi;
use crate::event_json;
use crate::metrics::Metrics;
use crate::problem::Problem;

/// One open stream: what it wants, and its place.
struct Client {
    app: String,
    name: Option<String>,
    user: Option<String>,
    tz: TimeZone,
    metrics: Metrics,
    _place: OwnedSemaphorePermit,
}

pub(crate) async fn serve(
    State(api): State<QueryApi>,
    Segments(app): Segments<String>,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let shared = &*api.0;
    let reader = Reader::admit(shared, Operation::Live, &app, &headers, parameters)?;
    let Ok(place) = Arc::clone(&shared.live_clients).try_acquire_owned() else {
        let max = shared.config.live_clients_max;
        let detail = format!("{max} live streams are open already; close one or come back");
        return Err(Problem::busy("overloaded", detail, 5));
    };
    let tz = reader.timezone()?;
    let mut parameters = reader.parameters;
    let client = Client {
        name: parameters.remove("name"),
        user: parameters.remove("user"),
        tz,
        metrics: shared.metrics.clone(),
        _place: place,
        app: app.clone(),
    };
    client.metrics.live_clients.inc();
    let open = Event::default().event("open").data(json!({"app": app}).to_string());
    let events = BroadcastStream::new(shared.live.subscribe())
        .filter_map(move |item| std::future::ready(client.show(item)));
    let stream = stream::once(std::future::ready(open)).chain(events).map(Ok);
    let heartbeat = Duration::from_millis(shared.config.live_heartbeat_ms.max(1));
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(heartbeat).text("heartbeat")))
}

// === impl Client ===

impl Client {
    fn show(&self, item: Result<EventDocument, BroadcastStreamRecvError>) -> Option<Event> {
        match item {
            Ok(document) if self.wants(&document) => {
                let data = event_json::render(&document, &self.tz).to_string();
                Some(Event::default().event("event").id(document.key.to_string()).data(data))
            }
            Ok(_) => None,
            Err(BroadcastStreamRecvError::Lagged(missed)) => {
                self.metrics.live_missed.inc_by(missed);
                // The channel is shared, so how many were this app's is not known.
                let data = json!({"missed_at_most": missed}).to_string();
                Some(Event::default().event("missed").data(data))
            }
        }
    }

    fn wants(&self, document: &EventDocument) -> bool {
        document.app_id() == self.app
            && self.name.as_ref().is_none_or(|name| document.inner().name == *name)
            && self.user.as_ref().is_none_or(|user| document.user() == user)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.metrics.live_clients.dec();
    }
}
