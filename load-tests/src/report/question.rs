//! A console's question over stored events: thirty days by page, filtered.

use serde_json::{Value, json};
use sluice_embedded::documents::{DocumentsConfig, EmbeddedDocuments};
use sluice_seams::DocumentStore;

use super::context::Context;
use super::figure::{Better, Figure};
use crate::stored::{RANGE, api, ask, fill};

const EVENTS: usize = 10_000_000;
const EVENTS_QUICK: usize = 20_000;
const TIMES: usize = 40;
const TIMES_QUICK: usize = 5;
/// What 95 of 100 answers may take.
const LIMIT_MS: f64 = 300.0;

/// By day and page, filtered: what a console asks for its table of pages.
pub fn question() -> Value {
    json!({
        "metrics": ["visit_pv", "visit_uv"], "dimensions": ["time:day", "page.path"],
        "date_range": RANGE, "limit": 10_000,
        "filters": [["is", "properties.list", ["recommend"]]],
    })
}

/// Measures it.
///
/// # Errors
/// What the store said.
pub async fn measure(context: &Context) -> Result<Vec<Figure>, String> {
    let dir = context.folder("question")?;
    let open = || {
        let store = EmbeddedDocuments::open(DocumentsConfig::new(&dir));
        store.map_err(|error| error.to_string())
    };
    let store = open()?;
    let events = context.size(EVENTS, EVENTS_QUICK);
    fill(&store, events).await?;
    // Days of which nothing more comes are at rest: their merges have ended.
    store.close().await.map_err(|error| error.to_string())?;
    drop(store);
    // Nor is what was written still on its way to the disk.
    tokio::task::block_in_place(rustix::fs::sync);
    let store = open()?;
    let router = api(store.clone());
    let question = question();
    let mut took = Vec::new();
    for _ in 0..context.size(TIMES, TIMES_QUICK) {
        let (time, answer) = ask(&router, &question).await?;
        if answer["results"].as_array().is_none_or(Vec::is_empty) {
            return Err(format!("no rows: {answer}"));
        }
        took.push(time.as_secs_f64() * 1e3);
    }
    store.close().await.map_err(|error| error.to_string())?;
    took.sort_unstable_by(f64::total_cmp);
    let p95 = took[(took.len() * 95).div_ceil(100) - 1];
    let name = format!("30 days × page, filtered, {events} events, p95");
    let mut figure = Figure::new(&name, "ms", Better::Smaller, &[p95], (LIMIT_MS, 1.0));
    (figure.min, figure.max) = (took.first().copied(), took.last().copied());
    Ok(vec![figure])
}
