//! An answer as it goes out: rows in order, one page of them, totals, the period
//! compared with, and what the asker should know.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use sluice_seams::{DocumentStore, KeyValue};

use crate::calendar::rfc3339;
use crate::config::QueryConfig;
use crate::plan::plan;
use crate::problem::Problem;
use crate::request::Request;
use crate::rows::{Cell, Grouping, RowKey, Rows};
use crate::run::{Run, named_paths};
use crate::seen::Seen;

/// Stores are this far behind where nothing is wrong: a period that reaches into the last
/// seconds is not worth a warning; `complete_until` says it of every answer.
const COMPLETE_WITHIN_MS: i64 = 10_000;

/// What an answer is given from.
pub struct Terms<'a> {
    /// Where documents are.
    pub documents: &'a dyn DocumentStore,
    /// Names that the store need not be asked for.
    pub seen: &'a Seen,
    /// App.
    pub app_id: Arc<str>,
    /// Bounds.
    pub config: &'a QueryConfig,
    /// Milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// Events before this are all there, milliseconds.
    pub complete_until_ms: i64,
}

/// Answers a question. The second value is the number of rows in the answer.
pub async fn answer(terms: Terms<'_>, request: &Request) -> Result<(Value, usize), Problem> {
    let passes = plan(request);
    let mut run = Run {
        documents: terms.documents,
        app_id: terms.app_id.clone(),
        request,
        passes: &passes,
        config: terms.config,
        complete_until_ms: terms.complete_until_ms.min(terms.now_ms),
        warnings: Vec::new(),
        exact: true,
    };
    let grouping = Grouping::by(request, request.range)?;
    let mut groupings = vec![grouping.clone()];
    if request.totals {
        groupings.push(Grouping::total(request.range));
    }
    // At the same time: what the app has sent says nothing about the rows.
    let never_seen = never_seen(&terms, request);
    let (unseen, sets) = futures::try_join!(never_seen, run.rows(request.range, &groupings))?;
    run.warnings.splice(0..0, unseen);
    let mut sets = sets.into_iter();
    let mut rows = sets.next().unwrap_or_else(|| Rows::new(Vec::new()));
    let totals = sets.next().map(|rows| metrics_of(rows.get(&Vec::new())));
    if request.empty_rows {
        rows.fill(&grouping, terms.config.groups_max).map_err(|wanted| {
            let max = terms.config.groups_max;
            let detail = format!("would make {wanted} rows, at most {max} are allowed");
            Problem::invalid("include.empty_rows", detail)
        })?;
    }
    let total_rows = rows.len();
    let page: Vec<(RowKey, Vec<Cell>)> = rows
        .sorted(&request.order_by, grouping.time_at)
        .into_iter()
        .skip(request.offset)
        .take(request.limit)
        .collect();

    let mut body = Map::new();
    let results: Vec<Value> = page.iter().map(|(key, cells)| row(key, cells, &grouping)).collect();
    body.insert("results".into(), Value::Array(results));
    if let Some(totals) = totals {
        body.insert("totals".into(), totals);
    }
    let keys: Vec<&RowKey> = page.iter().map(|(key, _)| key).collect();
    if let Some(compared) = compare(&mut run, &keys).await? {
        body.insert("compare".into(), compared);
    }
    let (exact, warnings) = (run.exact, run.warnings);
    body.insert("meta".into(), meta(&terms, request, exact, warnings, total_rows));
    let count = page.len();
    Ok((Value::Object(body), count))
}

/// The period compared with: its rows are those of `keys`, in the same order.
async fn compare(run: &mut Run<'_>, keys: &[&RowKey]) -> Result<Option<Value>, Problem> {
    let request = run.request;
    let Some(with) = request.compare else { return Ok(None) };
    let range = request.range.compared(with, &request.tz)?;
    let grouping = Grouping::by(request, range)?;
    let mut groupings = vec![grouping.clone()];
    if request.totals {
        groupings.push(Grouping::total(range));
    }
    let mut sets = run.rows(range, &groupings).await?.into_iter();
    let rows = sets.next().unwrap_or_else(|| Rows::new(Vec::new()));
    let results: Vec<Value> = keys.iter().map(|key| row(key, rows.get(key), &grouping)).collect();
    let mut body = Map::new();
    body.insert("period".into(), json!(with.name()));
    body.insert("date_range".into(), range.normal(&request.tz));
    body.insert("results".into(), Value::Array(results));
    if let Some(totals) = sets.next() {
        body.insert("totals".into(), metrics_of(totals.get(&Vec::new())));
    }
    Ok(Some(Value::Object(body)))
}

/// Warnings of properties and identities that the app has never sent.
async fn never_seen(terms: &Terms<'_>, request: &Request) -> Result<Vec<String>, Problem> {
    let (app, seen) = (&terms.app_id, terms.seen);
    let (properties, ids) = named_paths(request);
    let properties = seen.unknown(app, "properties.", properties);
    let ids = seen.unknown(app, "ids.", ids);
    if properties.is_empty() && ids.is_empty() {
        return Ok(Vec::new());
    }
    let catalogue = terms.documents.catalogue(app).await?;
    let missing = |wanted: HashSet<String>, sent: &[String], prefix| {
        let (there, missing) = wanted.into_iter().partition(|name| sent.contains(name));
        seen.know(app, prefix, there);
        let mut missing: Vec<String> = HashSet::into_iter(missing)
            .map(|name| format!("`{prefix}{name}` was never sent by this app"))
            .collect();
        missing.sort_unstable();
        missing
    };
    let mut warnings = missing(properties, &catalogue.properties, "properties.");
    warnings.extend(missing(ids, &catalogue.ids, "ids."));
    Ok(warnings)
}

fn meta(
    terms: &Terms<'_>,
    request: &Request,
    exact: bool,
    mut warnings: Vec<String>,
    total_rows: usize,
) -> Value {
    let wanted_ms = request.range.to_ms.min(terms.now_ms - COMPLETE_WITHIN_MS);
    if terms.complete_until_ms < wanted_ms {
        warnings.push("the period is not complete yet: see complete_until".into());
    }
    warnings.dedup();
    let units: Map<String, Value> = (request.metrics.iter())
        .map(|metric| (metric.label.clone(), json!(metric.definition.unit.name())))
        .collect();
    json!({
        "query": request.normal(),
        "timezone": request.timezone,
        "as_of": rfc3339(terms.now_ms, &request.tz),
        "complete_until": rfc3339(terms.complete_until_ms, &request.tz),
        "exact": exact,
        "units": units,
        "warnings": warnings,
        "total_rows": total_rows,
    })
}

fn row(key: &RowKey, cells: &[Cell], grouping: &Grouping) -> Value {
    let dimensions: Vec<Value> = key
        .iter()
        .map(|value| match value {
            KeyValue::Bucket(bucket) => json!(grouping.buckets.labels.get(*bucket as usize)),
            KeyValue::Text(text) => json!(&**text),
            KeyValue::Missing => Value::Null,
        })
        .collect();
    json!({"dimensions": dimensions, "metrics": metrics_of(cells)})
}

fn metrics_of(cells: &[Cell]) -> Value {
    let values = cells.iter().map(|cell| match cell {
        Cell::Whole(count) => json!(count),
        Cell::Real(value) => json!(value),
        Cell::Null => Value::Null,
    });
    Value::Array(values.collect())
}
