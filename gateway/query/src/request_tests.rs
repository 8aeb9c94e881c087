//! Questions: what they read as, and where a wrong one is said to be wrong.

use serde_json::{Value, json};

use super::{Context, Dimension, Direction, Order, Request};
use crate::calendar::TimeUnit;

fn context() -> Context {
    Context { timezone: "Asia/Shanghai".into(), now_ms: 1_795_190_400_000, limit_max: 1_000 }
}

fn with(changes: Value) -> Value {
    let mut body = json!({"metrics": ["visit_pv"], "date_range": ["2026-11-01", "2026-11-20"]});
    for (key, value) in changes.as_object().expect("an object") {
        body[key] = value.clone();
    }
    body
}

#[test]
fn a_small_question_has_defaults() {
    let request = Request::parse(&with(json!({})), &context()).expect("valid");
    assert_eq!((request.limit, request.offset), (100, 0));
    assert_eq!(request.timezone, "Asia/Shanghai");
    assert!(!request.totals && !request.empty_rows && request.compare.is_none());
    assert!(request.dimensions.is_empty() && request.order_by.is_empty());
}

#[test]
fn a_whole_question_is_read_and_its_normal_form_reads_as_itself() {
    let body = with(json!({
        "metrics": ["visit_pv", {"metric": "event_count", "event": "order", "as": "orders"}],
        "timezone": "america/new_york",
        "dimensions": ["time:day", "page.path", "properties.plan", "ids.openid"],
        "filters": [["is", "platform", "jd"]],
        "order_by": [["orders", "desc"], ["page.path"]],
        "limit": 5, "offset": 10,
        "include": {"totals": true, "empty_rows": true, "compare": "previous_year"},
    }));
    let request = Request::parse(&body, &context()).expect("valid");
    assert_eq!(request.timezone, "America/New_York");
    assert_eq!(request.metrics[1].label, "orders");
    assert_eq!(request.dimensions[0], Dimension::Time(TimeUnit::Day));
    let orders =
        [(Order::Metric(1), Direction::Descending), (Order::Dimension(1), Direction::Ascending)];
    assert_eq!(request.order_by, orders);
    let again = Request::parse(&request.normal(), &context()).expect("its normal form is valid");
    assert_eq!(again.normal(), request.normal());
    assert_eq!(again.range, request.range);
}

#[test]
fn a_wrong_question_is_refused_with_its_path() {
    let cases = [
        (json!([]), "$"),
        (with(json!({"metrix": []})), "metrix"),
        (with(json!({"metrics": "visit_pv"})), "metrics"),
        (with(json!({"metrics": []})), "metrics"),
        (with(json!({"metrics": ["visit_pv", "visit_vu"]})), "metrics[1]"),
        (with(json!({"metrics": ["visit_pv", "visit_pv"]})), "metrics[1]"),
        (with(json!({"metrics": [{"metric": "x"}]})), "metrics[0].metric"),
        (with(json!({"metrics": [{"metric": "visit_pv", "event": "a"}]})), "metrics[0].event"),
        (with(json!({"metrics": [{"metric": "event_count", "event": {}}]})), "metrics[0].event"),
        (with(json!({"metrics": [{"metric": "visit_pv", "as": ""}]})), "metrics[0].as"),
        (with(json!({"metrics": [{"metric": "visit_pv", "filter": []}]})), "metrics[0].filter"),
        (
            with(json!({"metrics": [{"metric": "visit_pv", "filters": [["is", "x", "y"]]}]})),
            "metrics[0].filters[0][1]",
        ),
        (with(json!({"date_range": null})), "date_range"),
        (with(json!({"timezone": "Mars/Olympus"})), "timezone"),
        (with(json!({"timezone": "local"})), "timezone"),
        (with(json!({"timezone": 8})), "timezone"),
        (with(json!({"dimensions": "time:day"})), "dimensions"),
        (with(json!({"dimensions": ["time:year"]})), "dimensions[0]"),
        (with(json!({"dimensions": ["time:day", "time:hour"]})), "dimensions[1]"),
        (with(json!({"dimensions": ["scene", "scene"]})), "dimensions[1]"),
        (with(json!({"dimensions": ["properties."]})), "dimensions[0]"),
        (with(json!({"filters": [["is", "nope", "x"]]})), "filters[0][1]"),
        (with(json!({"order_by": [["visit_uv", "desc"]]})), "order_by[0][0]"),
        (with(json!({"order_by": [["visit_pv", "down"]]})), "order_by[0][1]"),
        (with(json!({"limit": 1_001})), "limit"),
        (with(json!({"limit": -1})), "limit"),
        (with(json!({"offset": "x"})), "offset"),
        (with(json!({"include": {"total": true}})), "include.total"),
        (with(json!({"include": {"totals": 1}})), "include.totals"),
        (with(json!({"include": {"compare": "last_week"}})), "include.compare"),
        (
            with(json!({"metrics": ["visit_pv", "retention_1"], "dimensions": ["time:hour"]})),
            "metrics[1]",
        ),
    ];
    for (body, path) in cases {
        let problem = Request::parse(&body, &context()).expect_err(path);
        assert_eq!(problem.path.as_deref(), Some(path), "{body}: {}", problem.detail);
        assert_eq!(problem.status.as_u16(), 400);
    }
}
