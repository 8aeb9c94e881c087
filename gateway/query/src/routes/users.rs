//! `GET /v1/apps/{app}/users/{user}` and `…/events`.

use axum::Json;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use sluice_seams::row::TimelineCursor;

use super::{Operation, Parameters, Reader, Segments};
use crate::api::QueryApi;
use crate::calendar::rfc3339;
use crate::config::TIMELINE_LIMIT_MAX;
use crate::event_json;
use crate::problem::Problem;

const LIMIT_DEFAULT: usize = 100;

pub(crate) async fn timeline(
    State(api): State<QueryApi>,
    Segments((app, user)): Segments<(String, String)>,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Json<Value>, Problem> {
    let shared = &*api.0;
    let reader = Reader::admit(shared, Operation::Timeline, &app, &headers, parameters)?;
    let tz = reader.timezone()?;
    let limit = match reader.parameters.get("limit") {
        None => LIMIT_DEFAULT,
        Some(text) => {
            text.parse().ok().filter(|limit| (1..=TIMELINE_LIMIT_MAX).contains(limit)).ok_or_else(
                || {
                    let detail = format!("must be a whole number, 1 to {TIMELINE_LIMIT_MAX}");
                    Problem::invalid("limit", detail)
                },
            )?
        }
    };
    let after = reader.parameters.get("cursor").map(|text| read_cursor(text)).transpose()?;
    let page = async { Ok(shared.rows.timeline(&app, &user, after, limit).await?) };
    let page = shared.guarded(page).await?;
    shared.metrics.rows.inc_by(page.rows.len() as u64);
    let events: Vec<Value> = page.rows.iter().map(|row| event_json::render(&row.0, &tz)).collect();
    Ok(Json(json!({
        "user": user,
        "timezone": tz.iana_name(),
        "events": events,
        "next": page.next.map(write_cursor),
    })))
}

pub(crate) async fn profile(
    State(api): State<QueryApi>,
    Segments((app, user)): Segments<(String, String)>,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Json<Value>, Problem> {
    let shared = &*api.0;
    let reader = Reader::admit(shared, Operation::Profile, &app, &headers, parameters)?;
    let tz = reader.timezone()?;
    let profile = async { Ok(shared.rows.profile(&app, &user).await?) };
    let Some(profile) = shared.guarded(profile).await? else {
        let detail = "no event of this user has been filed; a user is named by its user id, or \
                      by its device id before it logs in";
        return Err(Problem::new(StatusCode::NOT_FOUND, "user_unknown", detail));
    };
    let time = |at_ms: Option<i64>| at_ms.map(|at_ms| rfc3339(at_ms, &tz));
    Ok(Json(json!({
        "user": user,
        "first_seen": time(profile.first_seen_ms),
        "first_seen_ms": profile.first_seen_ms,
        "last_seen": time(profile.last_seen_ms),
        "last_seen_ms": profile.last_seen_ms,
        "timezone": tz.iana_name(),
        "properties": profile.properties,
    })))
}

fn write_cursor(cursor: TimelineCursor) -> String {
    format!("{}.{:032x}", cursor.time_ms, cursor.key)
}

fn read_cursor(text: &str) -> Result<TimelineCursor, Problem> {
    let read = || {
        let (time_ms, key) = text.split_once('.')?;
        let key = u128::from_str_radix(key, 16).ok()?;
        Some(TimelineCursor { time_ms: time_ms.parse().ok()?, key })
    };
    read().ok_or_else(|| Problem::invalid("cursor", "must be `next` of the page before"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text() {
        for (time_ms, key) in [(0, 0), (-5, u128::MAX), (i64::MAX, 7)] {
            let cursor = TimelineCursor { time_ms, key };
            assert_eq!(read_cursor(&write_cursor(cursor)), Ok(cursor));
        }
        for text in ["", "5", "5.", "x.00", "5.zz"] {
            assert!(read_cursor(text).is_err(), "{text}");
        }
    }
}
