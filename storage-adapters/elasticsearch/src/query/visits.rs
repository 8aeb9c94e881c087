//! Documents themselves, reduced: for sessions and follow states.
//!
//! Values come from columns, but for properties: those stand sorted and without
//! repetition in their column, so the first is read from the source.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use sluice_seams::key::AppHash;
use sluice_seams::question::Visit;
use sluice_seams::{Field, Question, StoreError, Table};

use super::composite::Budget;
use super::filter::{all, query, scope};
use super::resolve::resolve;
use super::search::{SearchError, Searched};
use super::view::View;
use crate::layout::{Column, KEY, TIME};

/// Documents read by one request: the engines' `index.max_result_window`.
const PAGE: usize = 10_000;

#[derive(Deserialize)]
struct Hit {
    #[serde(default)]
    fields: HashMap<String, Vec<String>>,
    #[serde(rename = "_source", default)]
    source: Sourced,
    sort: Vec<Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Sourced {
    p: HashMap<String, Vec<String>>,
}

/// A field that is wanted.
struct Wanted {
    column: Column,
    /// Whether it is read from the source.
    sourced: bool,
}

/// Reads a view.
pub async fn answer(
    view: &View<'_>,
    question: &Question,
    fields: &[Field],
    visits_max: usize,
) -> Result<Table, StoreError> {
    if view.is_empty() || question.from_ms >= question.to_ms {
        return Ok(Table::Visits(Vec::new()));
    }
    let budget = Budget::new(view.inner.config.question_buckets_max);
    let resolved = resolve(view, question, &[], &budget).await?;
    let mut filters = scope(&question.app_id, question.from_ms, question.to_ms);
    filters.push(query(&question.filter, &resolved));
    let wanted: Vec<Wanted> = fields
        .iter()
        .map(|field| Wanted {
            column: Column::of(field),
            sourced: matches!(field, Field::Property(_)),
        })
        .collect();
    let mut body = body(&wanted, filters);
    let app = AppHash::of(&question.app_id);
    let mut visits: Vec<Visit> = Vec::new();
    loop {
        let found: Result<Searched<IgnoredAny, Hit>, SearchError> = view.search(body.clone()).await;
        let hits = found?.hits;
        if hits.total.is_some_and(|total| total.value > visits_max as u64) {
            return Err(too_many(visits_max));
        }
        let count = hits.hits.len();
        let last = hits.hits.last().map(|hit| Value::Array(hit.sort.clone()));
        for hit in hits.hits {
            visits.push(visit(hit, app, &wanted)?);
        }
        if visits.len() > visits_max {
            return Err(too_many(visits_max));
        }
        match last {
            Some(last) if count == PAGE => body["search_after"] = last,
            _ => break,
        }
        // The first page has told how many there are.
        body["track_total_hits"] = json!(false);
    }
    visits.sort_unstable_by_key(|visit| (visit.user, visit.time_ms, visit.key));
    Ok(Table::Visits(visits))
}

fn body(wanted: &[Wanted], filters: Vec<Value>) -> Value {
    let mut columns = BTreeSet::from(["user", "name"]);
    let mut sources = BTreeSet::new();
    for one in wanted {
        let name = one.column.name.as_str();
        if one.sourced {
            sources.insert(name)
        } else {
            columns.insert(name)
        };
    }
    let mut body = json!({
        "size": PAGE,
        "track_total_hits": true,
        "query": all(filters),
        "sort": [{TIME: "asc"}, {KEY: "asc"}],
        "docvalue_fields": columns,
        "_source": false,
    });
    if sources.is_empty() {
        body["stored_fields"] = json!("_none_");
        body.as_object_mut().expect("an object").remove("_source");
    } else {
        body["_source"] = json!(sources);
    }
    body
}

fn visit(hit: Hit, app: AppHash, wanted: &[Wanted]) -> Result<Visit, StoreError> {
    let unreadable = || {
        StoreError::Refused(
            "elasticsearch: a document lacks its time or key: it is none of ours".into(),
        )
    };
    let time_ms = hit.sort.first().and_then(Value::as_i64).ok_or_else(unreadable)?;
    let key = hit.sort.get(1).and_then(Value::as_str);
    let key = key.and_then(|key| u128::from_str_radix(key, 16).ok()).ok_or_else(unreadable)?;
    let first = |name: &str| hit.fields.get(name).and_then(|values| values.first());
    let value = |one: &Wanted| -> Option<Arc<str>> {
        let terms = match one.sourced {
            true => hit.source.p.get(one.column.name.strip_prefix("p.")?)?,
            false => hit.fields.get(&one.column.name)?,
        };
        terms.iter().find_map(|term| one.column.value(term)).map(Into::into)
    };
    Ok(Visit {
        user: app.user(first("user").map_or("", String::as_str)).0,
        time_ms,
        key,
        name: first("name").map_or("", String::as_str).into(),
        fields: wanted.iter().map(value).collect(),
    })
}

fn too_many(visits_max: usize) -> StoreError {
    StoreError::Refused(format!("more than {visits_max} visits: at most {visits_max} are allowed"))
}
