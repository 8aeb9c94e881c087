//! Rounds of one question to a store, by the wall, as a reader waits.

use std::time::Duration;

use axum::Router;
use serde_json::{Value, json};

use super::context::{Bound, Context, tell};
use super::table::Table;
use crate::report::figure::median;
use crate::stored::ask;

/// Questions of a round.
const QUESTIONS: usize = 20;
const QUESTIONS_QUICK: usize = 3;
/// Longest for one round; it has a question at least.
const ROUND_MAX: Duration = Duration::from_secs(20);

/// How many questions a round has, for a note.
pub fn rounds_of(context: &Context) -> String {
    format!("{} questions a round", context.size(QUESTIONS, QUESTIONS_QUICK))
}

/// By day and page, filtered, over the last days.
pub fn by_day_and_page(days: i32) -> Value {
    let last = format!("{days}d");
    json!({
        "metrics": ["visit_pv", "visit_uv"], "dimensions": ["time:day", "page.path"],
        "date_range": { "last": last }, "limit": 10_000,
        "filters": [["is", "properties.list", ["recommend"]]],
    })
}

/// One number over the last days.
pub fn one_number(days: i32) -> Value {
    let last = format!("{days}d");
    json!({ "metrics": ["visit_uv"], "date_range": { "last": last } })
}

/// Asks in rounds, after one question that warms caches; two rows: the median
/// answer and the slowest but one in twenty, milliseconds.
///
/// # Errors
/// What was answered instead, or that there were no rows.
pub async fn measure(
    context: &Context,
    table: &mut Table,
    router: &Router,
    (series, value): (&str, &str),
    question: &Value,
) -> Result<(), String> {
    let (mut p50, mut p95) = (Vec::new(), Vec::new());
    answered(router, question).await?;
    for round in 1..=context.rounds {
        let (mut took, bound) = (Vec::new(), Bound::within(ROUND_MAX));
        while took.is_empty()
            || (took.len() < context.size(QUESTIONS, QUESTIONS_QUICK) && !bound.over())
        {
            took.push(answered(router, question).await?);
        }
        took.sort_unstable_by(f64::total_cmp);
        p50.push(median(&took));
        p95.push(took[(took.len() * 95).div_ceil(100) - 1]);
        let (rounds, half) = (context.rounds, median(&took));
        let of = took.len();
        tell(
            table.axis,
            &format!("round {round} of {rounds}: {value}, {series}: {half:.1} ms, {of} questions"),
        );
    }
    table.add(series, value, "p50, ms", &p50);
    table.add(series, value, "p95, ms", &p95);
    Ok(())
}

/// Milliseconds of one answer with rows.
async fn answered(router: &Router, question: &Value) -> Result<f64, String> {
    let (took, answer) = ask(router, question).await?;
    match answer["results"].as_array().is_none_or(Vec::is_empty) {
        true => Err(format!("no rows: {answer}")),
        false => Ok(took.as_secs_f64() * 1e3),
    }
}
