//! Days that hold documents, and dropping them: whole indices, nothing else.

use std::collections::BTreeMap;

use elasticsearch::http::Method;
use serde::Deserialize;
use serde_json::json;
use sluice_seams::{Day, StoreError};

use crate::client::Request;
use crate::indices::Daily;
use crate::query;
use crate::store::Inner;

/// Indices dropped by one request.
const DROPPED_AT_ONCE: usize = 20;
/// Most daily indices that are looked at.
const DAYS_MAX: usize = 20_000;

#[derive(Deserialize)]
struct Counted {
    days: Buckets,
}

#[derive(Deserialize)]
struct Buckets {
    buckets: Vec<Bucket>,
}

#[derive(Deserialize)]
struct Bucket {
    key: String,
    doc_count: u64,
}

#[derive(Deserialize)]
struct Listed {
    index: String,
}

/// Number of event documents by day, of days that hold some.
pub async fn counts(inner: &Inner) -> Result<BTreeMap<Day, u64>, StoreError> {
    let body = json!({
        "size": 0,
        "track_total_hits": false,
        "aggs": {"days": {"terms": {"field": "_index", "size": DAYS_MAX}}},
    });
    let events = inner.indices.pattern(Daily::Events);
    let Some(counted) = query::search_aggregations::<Counted>(inner, &events, &body).await? else {
        return Ok(BTreeMap::new());
    };
    let day =
        |bucket: Bucket| Some((inner.indices.day(Daily::Events, &bucket.key)?, bucket.doc_count));
    Ok(counted.days.buckets.into_iter().filter_map(day).collect())
}

/// Drops the daily indices of days before `day`; answers how many event
/// documents were in them.
pub async fn drop_before(inner: &Inner, day: Day) -> Result<u64, StoreError> {
    let held = counts(inner).await?;
    let dropped = held.range(..day).map(|(_, documents)| documents).sum();
    let mut old = Vec::new();
    for kind in [Daily::Events, Daily::Visitors] {
        let pattern = inner.indices.pattern(kind);
        let path = format!("_cat/indices/{pattern}?format=json&h=index&expand_wildcards=all");
        let reply = inner.client.call(&Request::new(Method::Get, path), &[404]).await?;
        if reply.status == 404 {
            continue;
        }
        let listed: Vec<Listed> = reply.read()?;
        let before = |index: &String| inner.indices.day(kind, index).is_some_and(|of| of < day);
        old.extend(listed.into_iter().map(|listed| listed.index).filter(before));
    }
    for some in old.chunks(DROPPED_AT_ONCE) {
        let path = format!("{}?ignore_unavailable=true", some.join(","));
        inner.client.call(&Request::new(Method::Delete, path), &[404]).await?;
        let mut ensured = inner.ensured.lock();
        some.iter().for_each(|index| {
            ensured.remove(index.as_str());
        });
    }
    Ok(dropped)
}
