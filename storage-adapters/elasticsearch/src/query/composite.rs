//! A composite aggregation, page by page.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};
use sluice_seams::StoreError;

use super::filter::{all, within};
use super::search::{SearchError, Searched};
use super::view::View;
use crate::layout::TIME;

/// Filters whose counts one bucket may have.
const FILTERS_MAX: usize = 10_000;
/// Pages are not made smaller than this, whatever the cluster allows.
const PAGE_BUCKETS_MIN: usize = 100;

/// What is read: documents, and what their buckets are keyed by.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Queries that documents pass, besides `within`.
    pub filters: Vec<Value>,
    /// Corrected time: from, to (exclusive).
    pub within: (i64, i64),
    /// Even time buckets as the first source: a first edge, and their length.
    pub time: Option<(i64, i64)>,
    /// Further sources.
    pub sources: Vec<KeySource>,
    /// Queries whose documents are counted in each bucket.
    pub counted: Vec<Value>,
}

/// A field that buckets are keyed by.
#[derive(Debug, Clone)]
pub struct KeySource {
    /// The engine's field.
    pub field: String,
    /// Whether documents without a value have a bucket.
    pub missing: bool,
}

/// One part of a bucket's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// There is no value.
    Null,
    /// A time.
    Time(i64),
    /// A term.
    Term(Arc<str>),
}

/// A bucket.
#[derive(Debug)]
pub struct Bucket {
    /// A part for each source.
    pub key: Vec<Part>,
    /// Documents in it.
    pub documents: u64,
    /// Documents in it that pass each of `counted`.
    pub counted: Vec<u64>,
}

/// Buckets that one question may still read.
pub struct Budget {
    left: AtomicUsize,
    allowed: usize,
}

/// Reads pages.
pub struct Pager<'a> {
    view: &'a View<'a>,
    budget: &'a Budget,
    reading: Reading,
    after: Option<Value>,
    size: usize,
    ended: bool,
}

#[derive(Deserialize)]
struct Aggregations {
    keys: Composite,
}

/// An engine that finds no index answers with empty objects.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Composite {
    after_key: Option<Value>,
    buckets: Vec<Bucket>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Counted {
    doc_count: u64,
}

// === impl Budget ===

impl Budget {
    /// This many.
    pub fn new(allowed: usize) -> Self {
        Self { left: AtomicUsize::new(allowed), allowed }
    }

    fn take(&self, buckets: usize) -> Result<(), StoreError> {
        let taken = self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(buckets));
        taken.map(drop).map_err(|_| {
            let allowed = self.allowed;
            StoreError::Refused(format!(
                "the question reads more than {allowed} combinations of groups and distinct \
                 values (question_buckets_max): ask for a shorter time, fewer groups, or filter"
            ))
        })
    }
}

// === impl Pager ===

impl<'a> Pager<'a> {
    /// Of a view that is not empty; `reading` has some source.
    pub fn new(view: &'a View<'a>, budget: &'a Budget, reading: Reading) -> Self {
        let size = view.inner.config.page_buckets;
        Self { view, budget, reading, after: None, size, ended: false }
    }

    /// Begins after a key of a single source.
    pub fn after(mut self, term: &str) -> Self {
        self.after = Some(json!({"0": term}));
        self
    }

    /// The next page; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<Bucket>>, StoreError> {
        if self.ended {
            return Ok(None);
        }
        let page = loop {
            let found: Result<Searched<Aggregations, IgnoredAny>, SearchError> =
                self.view.search(self.body()).await;
            match found {
                Ok(searched) => break searched.aggregations,
                Err(SearchError::TooManyBuckets(_)) if self.size / 2 >= PAGE_BUCKETS_MIN => {
                    self.size /= 2;
                }
                Err(error) => return Err(error.into()),
            }
        };
        let Some(Aggregations { keys }) = page else {
            self.ended = true;
            return Ok(None);
        };
        self.budget.take(keys.buckets.len())?;
        self.ended = keys.buckets.len() < self.size || keys.after_key.is_none();
        self.after = keys.after_key;
        // Time is the first source: what lies before the last bucket is read.
        if let (Some(_), Some(last)) = (self.reading.time, keys.buckets.last())
            && let Some(Part::Time(start)) = last.key.first()
        {
            self.reading.within.0 = self.reading.within.0.max(*start);
        }
        Ok(Some(keys.buckets))
    }

    /// Whether pages are left, after the first.
    pub fn has_more(&self) -> bool {
        !self.ended
    }

    fn body(&self) -> Value {
        let reading = &self.reading;
        let time = reading.time.map(|(start, interval)| {
            json!({"date_histogram": {
                "field": TIME,
                "fixed_interval": format!("{interval}ms"),
                "offset": format!("{}ms", start.rem_euclid(interval)),
            }})
        });
        let terms = reading.sources.iter().map(
            |source| json!({"terms": {"field": source.field, "missing_bucket": source.missing}}),
        );
        let sources: Vec<Value> = time
            .into_iter()
            .chain(terms)
            .enumerate()
            .map(|(at, source)| json!({at.to_string(): source}))
            .collect();
        let mut composite = json!({"size": self.size, "sources": sources});
        if let Some(after) = &self.after {
            composite["after"] = after.clone();
        }
        let mut keys = json!({"composite": composite});
        if !reading.counted.is_empty() {
            keys["aggs"] = counted(&reading.counted);
        }
        json!({
            "size": 0,
            "track_total_hits": false,
            "query": reading.query(),
            "aggs": {"keys": keys},
        })
    }
}

// === impl Reading ===

impl Reading {
    fn query(&self) -> Value {
        let mut filters = self.filters.clone();
        filters.push(within(self.within.0, self.within.1));
        all(filters)
    }

    /// Reads documents that are keyed by nothing: one bucket.
    pub async fn single(&self, view: &View<'_>) -> Result<Bucket, StoreError> {
        let mut body = json!({"size": 0, "track_total_hits": true, "query": self.query()});
        if !self.counted.is_empty() {
            body["aggs"] = counted(&self.counted);
        }
        let found: Searched<Filtered, IgnoredAny> = view.search(body).await?;
        let documents = found.hits.total.map_or(0, |total| total.value);
        let counted = found.aggregations.map(|filtered| filtered.0).unwrap_or_default();
        Ok(Bucket { key: Vec::new(), documents, counted })
    }
}

fn counted(queries: &[Value]) -> Value {
    let filters = queries.iter().enumerate();
    Value::Object(filters.map(|(at, query)| (format!("f{at}"), json!({"filter": query}))).collect())
}

// === reading buckets ===

/// Counts of filter aggregations named `f0`, `f1` …
struct Filtered(Vec<u64>);

/// The name of a member of a bucket, read without keeping it: there are many buckets.
enum Name {
    Key,
    Documents,
    /// A filter aggregation, by number.
    Filter(usize),
    Other,
}

/// The parts of a key, in the order of the sources.
struct Parts(Vec<Part>);

fn note(counts: &mut Vec<u64>, at: usize, count: u64) {
    if counts.len() <= at {
        counts.resize(at + 1, 0);
    }
    counts[at] = count;
}

impl Name {
    fn of(name: &str) -> Self {
        match name {
            "key" => Self::Key,
            "doc_count" => Self::Documents,
            name => {
                let at = name.strip_prefix('f').and_then(|at| at.parse::<usize>().ok());
                at.filter(|at| *at < FILTERS_MAX).map_or(Self::Other, Self::Filter)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl Visitor<'_> for Of {
            type Value = Name;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a member")
            }
            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                Ok(Name::of(name))
            }
        }
        deserializer.deserialize_identifier(Of)
    }
}

impl<'de> Deserialize<'de> for Bucket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = Bucket;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a bucket")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Bucket, M::Error> {
                let mut bucket = Bucket { key: Vec::new(), documents: 0, counted: Vec::new() };
                while let Some(name) = map.next_key::<Name>()? {
                    match name {
                        Name::Key => bucket.key = map.next_value::<Parts>()?.0,
                        Name::Documents => bucket.documents = map.next_value()?,
                        Name::Filter(at) => {
                            let count = map.next_value::<Counted>()?.doc_count;
                            note(&mut bucket.counted, at, count);
                        }
                        Name::Other => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(bucket)
            }
        }
        deserializer.deserialize_map(Of)
    }
}

impl<'de> Deserialize<'de> for Filtered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = std::collections::HashMap::<String, Counted>::deserialize(deserializer)?;
        let mut counts = Vec::new();
        for (name, counted) in &read {
            if let Name::Filter(at) = Name::of(name) {
                note(&mut counts, at, counted.doc_count);
            }
        }
        Ok(Self(counts))
    }
}

impl<'de> Deserialize<'de> for Parts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = Parts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the key of a bucket")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Parts, M::Error> {
                let mut parts = Vec::with_capacity(4);
                while map.next_key::<IgnoredAny>()?.is_some() {
                    parts.push(map.next_value()?);
                }
                Ok(Parts(parts))
            }
        }
        deserializer.deserialize_map(Of)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl Visitor<'_> for Of {
            type Value = Part;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a term, a time or null")
            }
            fn visit_unit<E>(self) -> Result<Part, E> {
                Ok(Part::Null)
            }
            fn visit_i64<E>(self, time: i64) -> Result<Part, E> {
                Ok(Part::Time(time))
            }
            fn visit_u64<E: serde::de::Error>(self, time: u64) -> Result<Part, E> {
                i64::try_from(time).map(Part::Time).map_err(E::custom)
            }
            fn visit_str<E>(self, term: &str) -> Result<Part, E> {
                Ok(Part::Term(term.into()))
            }
        }
        deserializer.deserialize_any(Of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_read_with_its_counts_in_order() {
        let text = r#"{"key":{"0":-5,"1":"a\u0000","2":null},"doc_count":3,
            "f1":{"doc_count":1},"f0":{"doc_count":2}}"#;
        let bucket: Bucket = serde_json::from_str(text).expect("a bucket");
        let term = Part::Term("a\0".into());
        assert_eq!(bucket.key, [Part::Time(-5), term, Part::Null]);
        assert_eq!((bucket.documents, bucket.counted), (3, vec![2, 1]));
    }

    #[test]
    fn a_question_that_reads_too_much_is_refused() {
        let budget = Budget::new(10);
        assert!(budget.take(10).is_ok());
        assert!(matches!(budget.take(1), Err(StoreError::Refused(_))));
    }
}
