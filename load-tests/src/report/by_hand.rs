//! The console's question as somebody would write it for Elasticsearch who knows
//! the indices: searches with aggregations by day and page, over plain HTTP.
//!
//! Users are counted exactly, as Sluice counts them: the buckets of composite
//! aggregations by page and user. `cardinality` would be one search, and an
//! estimate.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::stored::{DAYS, FIRST_MS, ZONE_MS};

/// Buckets of one page; the engine allows 65,536.
const PAGE: usize = 50_000;
/// Searches under way at a time.
const SEARCHES: usize = 4;
/// Pages of one answer: a search that does not end is none.
const PAGES_MAX: usize = 1_000;
const DAY_MS: i64 = 86_400_000;
const ZONE: &str = "Asia/Shanghai";

/// Visits and visitors by day, from 0, and page.
pub type Answer = BTreeMap<(i64, String), (u64, u64)>;

/// Which numbers are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Visits.
    Counts,
    /// Visits and visitors.
    Users,
}

/// Asks an engine.
pub struct ByHand {
    client: reqwest::Client,
    /// `http://…` of the engine.
    address: String,
    /// What the names of indices begin with.
    prefix: String,
    /// The condition that the question is filtered by.
    filter: Value,
}

/// A page of a composite aggregation, as far as it is read.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(rename = "_shards")]
    shards: Shards,
    #[serde(borrow)]
    aggregations: Aggregations<'a>,
}

#[derive(Deserialize)]
struct Shards {
    failed: u64,
}

#[derive(Deserialize)]
struct Aggregations<'a> {
    #[serde(borrow)]
    keys: Keys<'a>,
}

#[derive(Deserialize)]
struct Keys<'a> {
    #[serde(default)]
    after_key: Value,
    #[serde(borrow)]
    buckets: Vec<Bucket<'a>>,
}

#[derive(Deserialize)]
struct Bucket<'a> {
    #[serde(borrow)]
    key: Key<'a>,
}

#[derive(Deserialize)]
struct Key<'a> {
    #[serde(borrow)]
    page: Cow<'a, str>,
}

// === impl Wanted ===

impl Wanted {
    /// Metrics of the question, as Sluice names them.
    pub fn metrics(self) -> &'static [&'static str] {
        match self {
            Self::Counts => &["visit_pv"],
            Self::Users => &["visit_pv", "visit_uv"],
        }
    }
}

// === impl ByHand ===

impl ByHand {
    /// Looks at one document for the field that holds `list`: Sluice shares fields
    /// among properties.
    ///
    /// # Errors
    /// What the engine said, or that no document has such a property.
    pub async fn new(address: &str, prefix: &str) -> Result<Self, String> {
        let client = reqwest::Client::builder().no_proxy().build();
        let client = client.map_err(|error| error.to_string())?;
        let (address, prefix) = (address.to_owned(), prefix.to_owned());
        let mut by_hand = Self { client, address, prefix, filter: Value::Null };
        let found = by_hand.search(&json!({ "size": 1, "_source": ["p"] })).await?;
        let slots = &found["hits"]["hits"][0]["_source"]["p"];
        let term = "list=recommend";
        let holds = |values: &Value| {
            let values = values.as_array().map(Vec::as_slice).unwrap_or_default();
            values.iter().any(|value| value == term)
        };
        let slot = slots.as_object().into_iter().flatten().find(|(_, values)| holds(values));
        let (slot, _) = slot.ok_or_else(|| format!("no document with {term}: {found}"))?;
        by_hand.filter = json!({ "term": { format!("p.{slot}"): term } });
        Ok(by_hand)
    }

    /// Sets a setting of every index of events.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn set(&self, setting: &str, value: Value) -> Result<(), String> {
        let url = format!("{}/{}events-*/_settings", self.address, self.prefix);
        let request = self.client.put(&url).json(&json!({ setting: value }));
        let reply = request.send().await.map_err(|error| format!("{url}: {error}"))?;
        match reply.status().is_success() {
            true => Ok(()),
            false => Err(format!("{url}: {}", reply.status())),
        }
    }

    /// Removes the indices and templates whose names begin with the prefix.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn remove(&self) -> Result<(), String> {
        let said = |error: reqwest::Error| error.to_string();
        let url = format!("{}/_cat/indices/{}*?h=index", self.address, self.prefix);
        let names = self.client.get(&url).send().await.map_err(said)?.text().await.map_err(said)?;
        let names: Vec<&str> = names.split_whitespace().collect();
        // By name and few at a time: patterns are not allowed here, nor long addresses.
        for some in names.chunks(20) {
            let url = format!("{}/{}", self.address, some.join(","));
            self.client.delete(&url).send().await.map_err(said)?;
        }
        for name in ["events", "visitors", "users", "follows", "names"] {
            let url = format!("{}/_index_template/{}{name}", self.address, self.prefix);
            self.client.delete(&url).send().await.map_err(said)?;
        }
        Ok(())
    }

    /// The answer.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn ask(&self, wanted: Wanted) -> Result<Answer, String> {
        let none = async { Ok(Vec::new()) };
        let (visits, users) = match wanted {
            Wanted::Counts => tokio::try_join!(self.visits(), none)?,
            Wanted::Users => tokio::try_join!(self.visits(), self.visitors())?,
        };
        let mut answer = Answer::new();
        for (day, page, count) in visits {
            answer.entry((day, page)).or_default().0 += count;
        }
        for (day, page, count) in users {
            answer.entry((day, page)).or_default().1 += count;
        }
        Ok(answer)
    }

    /// Number of visits by day and page: one search.
    async fn visits(&self) -> Result<Vec<(i64, String, u64)>, String> {
        let body = json!({
            "size": 0, "track_total_hits": false,
            "query": self.query(&["page_view"], 0..i64::from(DAYS)),
            "aggs": { "day": {
                "date_histogram": {
                    "field": "time", "calendar_interval": "day", "time_zone": ZONE,
                    "min_doc_count": 1,
                },
                "aggs": { "page": { "terms": { "field": "page.path", "size": 10_000 } } },
            } },
        });
        let found = self.search(&body).await?;
        let days = buckets(&found["aggregations"]["day"]["buckets"])?;
        let mut counts = Vec::new();
        for day in days {
            for page in buckets(&day["page"]["buckets"])? {
                let count = page["doc_count"].as_u64().unwrap_or_default();
                let start = day["key"].as_i64().ok_or_else(|| format!("no time: {day}"))?;
                counts.push((day_of(start), text(&page["key"])?, count));
            }
        }
        Ok(counts)
    }

    /// Number of visitors by day and page: days apart, some at a time, which took
    /// half of the time of one search over all of them.
    async fn visitors(&self) -> Result<Vec<(i64, String, u64)>, String> {
        let days = futures::stream::iter(0..i64::from(DAYS));
        let counts = days.map(|day| self.visitors_on(day)).buffer_unordered(SEARCHES);
        counts.try_concat().await
    }

    /// The same on one day: a bucket of a composite aggregation each, page by page.
    async fn visitors_on(&self, day: i64) -> Result<Vec<(i64, String, u64)>, String> {
        let sources = json!([
            { "page": { "terms": { "field": "page.path" } } },
            { "user": { "terms": { "field": "user" } } },
        ]);
        let mut body = json!({
            "size": 0, "track_total_hits": false,
            "query": self.query(&["app_show", "page_view"], day..day + 1),
            "aggs": { "keys": { "composite": { "size": PAGE, "sources": sources } } },
        });
        let mut counts: Vec<(i64, String, u64)> = Vec::new();
        for _ in 0..PAGES_MAX {
            let bytes = self.post(&body).await?;
            let keys = visitors(&bytes)?;
            let many = keys.buckets.len();
            for Bucket { key } in keys.buckets {
                match counts.last_mut() {
                    // They come in the order of the sources.
                    Some(last) if last.1 == key.page => last.2 += 1,
                    _ => counts.push((day, key.page.into_owned(), 1)),
                }
            }
            if many < PAGE {
                return Ok(counts);
            }
            body["aggs"]["keys"]["composite"]["after"] = keys.after_key;
        }
        Err(format!("more than {PAGES_MAX} pages of visitors"))
    }

    /// The same as an estimate: one search with `cardinality`. Its number of rows.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn estimate(&self) -> Result<usize, String> {
        let numbers = json!({
            "visits": { "filter": { "term": { "name": "page_view" } } },
            "visitors": { "cardinality": { "field": "user" } },
        });
        let body = json!({
            "size": 0, "track_total_hits": false,
            "query": self.query(&["app_show", "page_view"], 0..i64::from(DAYS)),
            "aggs": { "day": {
                "date_histogram": {
                    "field": "time", "calendar_interval": "day", "time_zone": ZONE,
                    "min_doc_count": 1,
                },
                "aggs": { "page": {
                    "terms": { "field": "page.path", "size": 10_000 }, "aggs": numbers,
                } },
            } },
        });
        let found = self.search(&body).await?;
        let days = buckets(&found["aggregations"]["day"]["buckets"])?.iter();
        days.map(|day| buckets(&day["page"]["buckets"]).map(<[Value]>::len)).sum()
    }

    /// Events of these names that the question looks at, of some days.
    fn query(&self, names: &[&str], days: Range<i64>) -> Value {
        let [from, to] = [days.start, days.end].map(|day| FIRST_MS - ZONE_MS + day * DAY_MS);
        let released = json!([
            { "term": { "env": "release" } },
            { "bool": { "must_not": { "exists": { "field": "env" } } } },
        ]);
        json!({ "bool": { "filter": [
            { "term": { "app": "demo" } },
            { "range": { "time": { "gte": from, "lt": to, "format": "epoch_millis" } } },
            { "terms": { "name": names } },
            { "term": { "type": "track" } },
            { "bool": { "should": released, "minimum_should_match": 1 } },
            self.filter,
        ] } })
    }

    async fn search(&self, body: &Value) -> Result<Value, String> {
        let bytes = self.post(body).await?;
        let found: Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        match found["_shards"]["failed"] == 0 {
            true => Ok(found),
            false => Err(format!("some shards failed: {}", found["_shards"])),
        }
    }

    async fn post(&self, body: &Value) -> Result<Bytes, String> {
        let url = format!("{}/{}events-*/_search", self.address, self.prefix);
        let request = self.client.post(&url).json(body);
        let reply = request.send().await.map_err(|error| format!("{url}: {error}"))?;
        let status = reply.status();
        let bytes = reply.bytes().await.map_err(|error| format!("{url}: {error}"))?;
        match status.is_success() {
            true => Ok(bytes),
            false => Err(format!("{url}: {status}: {}", String::from_utf8_lossy(&bytes))),
        }
    }
}

fn buckets(value: &Value) -> Result<&[Value], String> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| format!("no buckets: {value}"))
}

/// A page of visitors.
fn visitors(bytes: &[u8]) -> Result<Keys<'_>, String> {
    let page: Page<'_> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    match page.shards.failed {
        0 => Ok(page.aggregations.keys),
        failed => Err(format!("{failed} shards failed")),
    }
}

/// The day, from 0, that a bucket begins at `start_ms`.
fn day_of(start_ms: i64) -> i64 {
    (start_ms + ZONE_MS - FIRST_MS).div_euclid(DAY_MS)
}

fn text(key: &Value) -> Result<String, String> {
    key.as_str().map(str::to_owned).ok_or_else(|| format!("no text: {key}"))
}

/// What Sluice answered, in the same words.
///
/// # Errors
/// What in it is not as expected.
pub fn told(answer: &Value, wanted: Wanted) -> Result<Answer, String> {
    let rows = answer["results"].as_array().ok_or_else(|| format!("no rows: {answer}"))?;
    let row = |row: &Value| {
        let strange = || format!("a row that is none: {row}");
        let day = row["dimensions"][0].as_str().and_then(|day| day.strip_prefix("2026-11-"));
        let day: i64 = day.and_then(|day| day.parse().ok()).ok_or_else(strange)?;
        let page = text(&row["dimensions"][1])?;
        let visits = row["metrics"][0].as_u64().ok_or_else(strange)?;
        let visitors = match wanted {
            Wanted::Counts => 0,
            Wanted::Users => row["metrics"][1].as_u64().ok_or_else(strange)?,
        };
        Ok(((day - 1, page), (visits, visitors)))
    };
    rows.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_both_are_in_the_same_words() {
        let answer = json!({ "results": [
            { "dimensions": ["2026-11-01", "p/a"], "metrics": [5, 3] },
            { "dimensions": ["2026-11-30", "p/b"], "metrics": [1, 1] },
        ] });
        let told = told(&answer, Wanted::Users).expect("rows");
        assert_eq!(told[&(0, "p/a".to_owned())], (5, 3));
        assert_eq!(told[&(29, "p/b".to_owned())], (1, 1));
        // A bucket of a day begins at midnight in Shanghai.
        assert_eq!(day_of(FIRST_MS - ZONE_MS), 0);
        assert_eq!(day_of(FIRST_MS - ZONE_MS + 29 * DAY_MS), 29);
    }

    #[test]
    fn a_page_of_visitors_is_read() {
        let page = br#"{"took":1,"_shards":{"total":1,"failed":0},"aggregations":{"keys":{
            "after_key":{"page":"p","user":"u"},
            "buckets":[{"key":{"page":"p\/\u4e2d","user":"u"},"doc_count":2}]}}}"#;
        let keys = visitors(page).expect("a page");
        assert_eq!(&*keys.buckets[0].key.page, "p/中");
        assert_eq!(keys.after_key["user"], "u");
        let failed = br#"{"_shards":{"failed":1},"aggregations":{"keys":{"buckets":[]}}}"#;
        assert!(visitors(failed).is_err());
    }

    #[test]
    fn a_row_that_is_none_is_named() {
        for row in [json!({ "dimensions": ["2026-12-01", "p"], "metrics": [1] }), json!({})] {
            let answer = json!({ "results": [row] });
            assert!(told(&answer, Wanted::Counts).is_err(), "{answer}");
        }
    }
}
