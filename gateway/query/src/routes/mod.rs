//! The table of routes. It makes the router and the OpenAPI document, so that
//! neither can say what the other does not.

mod catalogue;
mod ledger;
mod live;
mod query;
mod users;

use std::collections::HashMap;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use jiff::tz::TimeZone;
use serde::de::DeserializeOwned;

use crate::api::{AppTerms, QueryApi, Shared};
use crate::problem::Problem;

/// What a route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Answers a question.
    Query,
    /// What can be asked.
    Catalogue,
    /// A user's events.
    Timeline,
    /// A user's profile.
    Profile,
    /// What became of an event.
    Ledger,
    /// Events as they are filed.
    Live,
    /// The OpenAPI document.
    OpenApi,
    /// Served by the wire, described here.
    Ingest,
}

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Anyone.
    None,
    /// Holders of a read token of the app.
    Read,
    /// Holders of a write or server key.
    Write,
}

/// One parameter in the query string: name and description.
pub type Parameter = (&'static str, &'static str);

/// One route.
#[derive(Debug, PartialEq)]
pub struct Route {
    /// What it does.
    pub operation: Operation,
    /// Operation id; the metric label.
    pub id: &'static str,
    /// Method, lower case.
    pub method: &'static str,
    /// Path, parameters in braces.
    pub path: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Who may call it.
    pub auth: Auth,
    /// Parameters in the query string.
    pub parameters: &'static [Parameter],
    /// Schema of the request body, by name.
    pub body: Option<&'static str>,
    /// Content type and schema (by name) of the answer.
    pub answer: (&'static str, &'static str),
    /// Statuses other than 200, all with a problem as body.
    pub problems: &'static [u16],
}

const TOKEN: Parameter = ("token", "Read token, where a header cannot be set.");
const KEY: Parameter = ("key", "Write key, where a header cannot be set.");
const JSON: &str = "application/json";
const READ_PROBLEMS: &[u16] = &[400, 401, 403, 404, 405, 503, 504];
const WRITE_PROBLEMS: &[u16] = &[400, 401, 403, 408, 413, 415, 429, 503];

/// Every route of the main listener.
pub static ROUTES: &[Route] = &[
    Route {
        operation: Operation::Query,
        id: "query",
        method: "post",
        path: "/v1/apps/{app}/query",
        summary: "Answers a question: metrics by dimensions over a period, exactly.",
        auth: Auth::Read,
        parameters: &[TOKEN],
        body: Some("Question"),
        answer: (JSON, "Answer"),
        problems: &[400, 401, 403, 405, 413, 503, 504],
    },
    Route {
        operation: Operation::Catalogue,
        id: "catalogue",
        method: "get",
        path: "/v1/apps/{app}/catalogue",
        summary: "What can be asked: metrics and their definitions, dimensions, operators, and \
                  the event names and properties that the app has sent.",
        auth: Auth::Read,
        parameters: &[TOKEN],
        body: None,
        answer: (JSON, "Catalogue"),
        problems: READ_PROBLEMS,
    },
    Route {
        operation: Operation::Timeline,
        id: "timeline",
        method: "get",
        path: "/v1/apps/{app}/users/{user}/events",
        summary: "A user's events, newest first.",
        auth: Auth::Read,
        parameters: &[
            ("limit", "Events wanted, 1 to 1000; 100 by default."),
            ("cursor", "`next` of the page before."),
            ("timezone", "IANA time zone of the times shown."),
            TOKEN,
        ],
        body: None,
        answer: (JSON, "Timeline"),
        problems: READ_PROBLEMS,
    },
    Route {
        operation: Operation::Profile,
        id: "profile",
        method: "get",
        path: "/v1/apps/{app}/users/{user}",
        summary: "A user's profile, and when the user was first and last seen.",
        auth: Auth::Read,
        parameters: &[("timezone", "IANA time zone of the times shown."), TOKEN],
        body: None,
        answer: (JSON, "Profile"),
        problems: READ_PROBLEMS,
    },
    Route {
        operation: Operation::Ledger,
        id: "ledger",
        method: "get",
        path: "/v1/apps/{app}/events/{id}",
        summary: "What became of an event: outcome, place in the log, times, and which stores \
                  have it.",
        auth: Auth::Read,
        parameters: &[("timezone", "IANA time zone of the times shown."), TOKEN],
        body: None,
        answer: (JSON, "Ledger"),
        problems: READ_PROBLEMS,
    },
    Route {
        operation: Operation::Live,
        id: "live",
        method: "get",
        path: "/v1/apps/{app}/live",
        summary: "Events as they are filed, as server-sent events: `open` first, then `event`; \
                  `missed` where the reader was too slow.",
        auth: Auth::Read,
        parameters: &[
            ("name", "Only events of this name."),
            ("user", "Only events of this user."),
            ("timezone", "IANA time zone of the times shown."),
            TOKEN,
        ],
        body: None,
        answer: ("text/event-stream", "EventStream"),
        problems: &[400, 401, 403, 405, 503],
    },
    Route {
        operation: Operation::OpenApi,
        id: "openapi",
        method: "get",
        path: "/openapi.json",
        summary: "This document.",
        auth: Auth::None,
        parameters: &[],
        body: None,
        answer: (JSON, "OpenApi"),
        problems: &[405],
    },
    ingest(
        "collect",
        "post",
        "/v1/events",
        "Takes a batch of events; 200 gives each event's outcome.",
    ),
    ingest(
        "validate",
        "post",
        "/v1/debug/validate",
        "The verdicts a batch would get; nothing is stored.",
    ),
    Route {
        operation: Operation::Ingest,
        id: "sdk_config",
        method: "get",
        path: "/v1/config",
        summary: "Settings for the app's SDKs: sampling, kill switch, flush interval.",
        auth: Auth::Write,
        parameters: &[KEY],
        body: None,
        answer: (JSON, "SdkConfig"),
        problems: &[401, 403, 429],
    },
    sensors(
        "sensors_post",
        "post",
        "/sa",
        "Takes events of the Sensors mini-program SDK (form body).",
    ),
    sensors(
        "sensors_get",
        "get",
        "/sa",
        "Takes an event of the Sensors SDK (`data` in the query).",
    ),
    sensors("sensors_gif_post", "post", "/sa.gif", "The same as `POST /sa`."),
    sensors("sensors_gif_get", "get", "/sa.gif", "The same as `GET /sa`."),
];

const fn ingest(
    id: &'static str,
    method: &'static str,
    path: &'static str,
    summary: &'static str,
) -> Route {
    Route {
        operation: Operation::Ingest,
        id,
        method,
        path,
        summary,
        auth: Auth::Write,
        parameters: &[KEY],
        body: Some("Batch"),
        answer: (JSON, "Receipt"),
        problems: WRITE_PROBLEMS,
    }
}

const fn sensors(
    id: &'static str,
    method: &'static str,
    path: &'static str,
    summary: &'static str,
) -> Route {
    Route {
        operation: Operation::Ingest,
        id,
        method,
        path,
        summary,
        auth: Auth::None,
        parameters: &[
            ("project", "Sensors project: the app."),
            ("token", "The project's token, where it has one."),
        ],
        body: None,
        answer: ("text/plain", "Text"),
        problems: &[],
    }
}

/// The handler of an operation; `None` where another crate serves it.
pub(crate) fn handler(operation: Operation) -> Option<MethodRouter<QueryApi>> {
    Some(match operation {
        Operation::Query => post(query::serve),
        Operation::Catalogue => get(catalogue::serve),
        Operation::Timeline => get(users::timeline),
        Operation::Profile => get(users::profile),
        Operation::Ledger => get(ledger::serve),
        Operation::Live => get(live::serve),
        Operation::OpenApi => get(|| async { axum::Json(crate::openapi::document()) }),
        Operation::Ingest => return None,
    })
}

/// 405, with what is allowed.
pub(crate) async fn wrong_method(route: &'static Route) -> impl IntoResponse {
    let allowed = route.method.to_ascii_uppercase();
    let detail = format!("{} takes {allowed} only", route.path);
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
        .allowed([allowed.as_str()]);
    ([(header::ALLOW, allowed)], problem)
}

/// Parameters of a query string.
pub(crate) type Parameters = Result<Query<HashMap<String, String>>, QueryRejection>;

/// Parameters in the path.
pub(crate) struct Segments<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let segments = Path::<T>::from_request_parts(parts, state).await;
        segments
            .map(|Path(segments)| Self(segments))
            .map_err(|error| Problem::invalid("path", error.body_text()))
    }
}

/// A request that was let in.
pub(crate) struct Reader {
    pub(crate) terms: AppTerms,
    pub(crate) parameters: HashMap<String, String>,
}

// === impl Reader ===

impl Reader {
    /// Checks the parameters against the route's, and the token against the app.
    pub(crate) fn admit(
        shared: &Shared,
        operation: Operation,
        app: &str,
        headers: &HeaderMap,
        parameters: Parameters,
    ) -> Result<Self, Problem> {
        let Query(parameters) =
            parameters.map_err(|error| Problem::invalid("query string", error.body_text()))?;
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let token = bearer.or_else(|| parameters.get("token").map(String::as_str));
        let terms = (shared.access)(app, token)?;
        let known = || {
            let route = ROUTES.iter().find(|route| route.operation == operation);
            route.map_or(&[][..], |route| route.parameters).iter().map(|(name, _)| *name)
        };
        if let Some(name) = parameters.keys().find(|name| !known().any(|known| known == **name)) {
            return Err(Problem::unknown(name.as_str(), "parameter", name, known()));
        }
        Ok(Self { terms, parameters })
    }

    /// The time zone asked for, else the app's.
    pub(crate) fn timezone(&self) -> Result<TimeZone, Problem> {
        let name = self.parameters.get("timezone").map_or(&*self.terms.timezone, String::as_str);
        let name: String = name.chars().take(64).collect();
        TimeZone::get(&name)
            .map_err(|_| Problem::invalid("timezone", format!("`{name}` is no IANA time zone")))
    }
}
