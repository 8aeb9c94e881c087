//! Answers against an oracle that shares no code with the query: plain loops
//! over a list of events, its own civil calendar, offsets by hand.

mod common;
#[path = "oracle/days.rs"]
mod days;
#[path = "oracle/naive.rs"]
mod naive;
#[path = "oracle/world.rs"]
mod world;

use std::collections::HashMap;

use common::World;
use days::Zone;
use naive::{COUNTS, Dim, Key, Pick, Span};
use serde_json::{Value, json};
use sluice_query::QueryConfig;

const EVENT_METRICS: &[&str] = &[
    "visit_pv",
    "visit_uv",
    "event_count",
    "event_users",
    "share_pv",
    "share_uv",
    "js_error_rate",
    "request_success_rate",
    "session_cnt",
    "stay_time_uv",
    "stay_time_session",
    "visit_depth",
    "bounce_rate",
];
const STATE_METRICS: &[&str] = &[
    "visit_uv_new",
    "visit_total",
    "followers",
    "follow_new",
    "follow_lost",
    "retention_1",
    "retention_2",
    "retention_3",
    "retention_4",
    "retention_5",
    "retention_6",
    "retention_7",
    "retention_14",
    "retention_30",
];

/// `(dimensions, whether state metrics can be asked for with them)`.
const DIMENSIONS: &[(&[Dim], bool)] = &[
    (&[], true),
    (&[Dim::Day], true),
    (&[Dim::Hour], false),
    (&[Dim::Week, Dim::Platform], true),
    (&[Dim::Platform, Dim::Day], true),
    (&[Dim::Plan, Dim::Platform], true),
    (&[Dim::Path, Dim::Month], true),
];

/// Events around the end of daylight saving in New York, and around its begin.
const WORLDS: &[(u64, i64, Span)] = &[
    (11, days::days_to(2026, 10, 28), Span { from: (2026, 10, 30), to: (2026, 11, 5) }),
    (7, days::days_to(2026, 3, 3), Span { from: (2026, 3, 5), to: (2026, 3, 11) }),
];

#[tokio::test]
async fn every_metric_by_every_dimension_in_every_zone() {
    let mut compared = 0;
    for (seed, first_day, span) in WORLDS {
        let events = world::generate(*seed, *first_day);
        let world = World::new(QueryConfig::default());
        world.file(events.iter().map(world::document).collect()).await;
        for zone in [Zone::Utc, Zone::Shanghai, Zone::Kathmandu, Zone::NewYork] {
            for (dims, states) in DIMENSIONS {
                for pick in [Pick::Release, Pick::ReleaseJd, Pick::Trial] {
                    let metrics: Vec<&str> = (EVENT_METRICS.iter())
                        .chain(STATE_METRICS.iter().filter(|_| *states))
                        .copied()
                        .collect();
                    let body = ask(&world, &metrics, zone, *span, dims, pick).await;
                    for (n, metric) in metrics.iter().enumerate() {
                        let at = format!("{metric} by {dims:?} in {zone:?} with {pick:?}");
                        let wanted = naive::metric(metric, &events, zone, *span, dims, pick);
                        compared += check(&body["results"], n, &wanted, metric, &at);
                        let total = naive::metric(metric, &events, zone, *span, &[], pick);
                        let got = &body["totals"][n];
                        same(got, total.get(&Vec::new()), metric, &format!("total of {at}"));
                    }
                }
            }
        }
    }
    assert!(compared > 20_000, "only {compared} cells were compared");
}

async fn ask(
    world: &World,
    metrics: &[&str],
    zone: Zone,
    span: Span,
    dims: &[Dim],
    pick: Pick,
) -> Value {
    let filters = match pick {
        Pick::Release => json!([]),
        Pick::ReleaseJd => json!([["is", "platform", "jd"]]),
        Pick::Trial => json!([["is", "env", ["trial"]]]),
    };
    let dims: Vec<&str> = dims.iter().map(|dim| dim.name()).collect();
    let question = json!({
        "metrics": metrics, "date_range": [date(span.from), date(span.to)],
        "timezone": zone.name(), "dimensions": dims, "filters": filters,
        "limit": 10_000, "include": {"totals": true},
    });
    let body = world.answer(&question).await;
    assert_eq!(body["meta"]["exact"], true, "{}", body["meta"]["warnings"]);
    body
}

/// Compares one metric's cells; the number of them.
#[track_caller]
fn check(results: &Value, n: usize, wanted: &HashMap<Key, f64>, metric: &str, at: &str) -> usize {
    let mut rows: HashMap<Key, &Value> = HashMap::new();
    for row in results.as_array().expect("rows") {
        let key: Key = serde_json::from_value(row["dimensions"].clone()).expect("texts");
        assert!(rows.insert(key, &row["metrics"][n]).is_none(), "{at}: a row stands twice");
    }
    for (key, got) in &rows {
        same(got, wanted.get(key), metric, &format!("{at} at {key:?}"));
    }
    for (key, value) in wanted.iter().filter(|(_, value)| **value != 0.0) {
        assert!(rows.contains_key(key), "{at}: no row {key:?}, wanted {value}");
    }
    rows.len()
}

#[track_caller]
fn same(got: &Value, wanted: Option<&f64>, metric: &str, at: &str) {
    let wanted = wanted.copied().or(COUNTS.contains(&metric).then_some(0.0));
    match (got.as_f64(), wanted) {
        (Some(got), Some(wanted)) if (got - wanted).abs() < 1e-9 => {}
        (None, None) => {}
        (got, wanted) => panic!("{at}: answered {got:?}, wanted {wanted:?}"),
    }
}

fn date((year, month, day): (i64, i64, i64)) -> String {
    format!("{year:04}-{month:02}-{day:02}")
}
