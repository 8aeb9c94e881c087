//! One search request, and what makes its answer whole.

use bytes::Bytes;
use elasticsearch::http::Method;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use sluice_seams::StoreError;

use crate::client::{AWAY, Request};
use crate::figures::Counters;
use crate::store::Inner;

/// Where days may come and go: patterns that match nothing find nothing.
const LENIENT: &str = "ignore_unavailable=true&allow_no_indices=true";

/// The answer to a search, as far as it is read.
#[derive(Debug, Deserialize)]
pub struct Searched<A = IgnoredAny, H = IgnoredAny> {
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: Shards,
    /// Documents.
    pub hits: Hits<H>,
    /// Aggregations; absent where no index was searched.
    pub aggregations: Option<A>,
}

#[derive(Debug, Deserialize)]
struct Shards {
    failed: u64,
}

/// Documents found.
#[derive(Debug, Deserialize)]
pub struct Hits<H> {
    /// How many there are; absent where that was not asked for.
    pub total: Option<Total>,
    /// One page of them.
    pub hits: Vec<H>,
}

/// A number of documents.
#[derive(Debug, Deserialize)]
pub struct Total {
    /// The number.
    pub value: u64,
}

#[derive(Deserialize)]
struct Sourced<S> {
    #[serde(rename = "_source")]
    source: S,
}

/// Why a search gave no answer.
#[derive(Debug)]
pub enum SearchError {
    /// More buckets than the cluster allows in one answer: ask for fewer.
    TooManyBuckets(StoreError),
    /// Anything else.
    Other(StoreError),
}

// === impl SearchError ===

impl From<StoreError> for SearchError {
    fn from(error: StoreError) -> Self {
        Self::Other(error)
    }
}

impl From<SearchError> for StoreError {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::TooManyBuckets(error) | SearchError::Other(error) => error,
        }
    }
}

// === impl Searched ===

impl<A, H> Searched<A, H> {
    /// An answer from some of the shards is no answer.
    fn whole(self) -> Result<Self, StoreError> {
        if self.timed_out || self.shards.failed > 0 {
            let failed = self.shards.failed;
            let detail = format!("elasticsearch: a search failed on {failed} shards or timed out");
            return Err(StoreError::retry(AWAY, detail));
        }
        Ok(self)
    }
}

/// Searches; `target` is a path before `_search`, empty for a point in time.
pub async fn search<A: DeserializeOwned, H: DeserializeOwned>(
    inner: &Inner,
    target: &str,
    body: &Value,
) -> Result<Searched<A, H>, SearchError> {
    Counters::add(&inner.counters.searches, 1);
    let path = match target {
        "" => "_search".to_owned(),
        target => format!("{target}/_search?{LENIENT}"),
    };
    let mut request = Request::new(Method::Post, path);
    request.body = Some(Bytes::from(body.to_string()));
    // Too many buckets is 503 in older engines: not to be tried again as it is.
    let reply = inner.client.call(&request, &[400, 503]).await?;
    if !reply.is_success() {
        let cause = reply.cause();
        if cause.is("too_many_buckets_exception") {
            return Err(SearchError::TooManyBuckets(reply.error()));
        }
        return Err(SearchError::Other(reply.error()));
    }
    let searched: Searched<A, H> = reply.read()?;
    Ok(searched.whole()?)
}

/// Searches indices once and reads the aggregations; `None` where no index is.
pub async fn search_aggregations<A: DeserializeOwned>(
    inner: &Inner,
    target: &str,
    body: &Value,
) -> Result<Option<A>, StoreError> {
    // An engine that finds no index answers with aggregations that are empty objects.
    let searched: Searched<Value, IgnoredAny> = search(inner, target, body).await?;
    match searched.aggregations {
        None => Ok(None),
        Some(found) => Ok(serde_json::from_value(found).ok()),
    }
}

/// Searches indices once and reads the sources of one page.
pub async fn search_sources<S: DeserializeOwned>(
    inner: &Inner,
    target: &str,
    body: &Value,
) -> Result<Vec<S>, StoreError> {
    let searched: Searched<IgnoredAny, Sourced<S>> = search(inner, target, body).await?;
    Ok(searched.hits.hits.into_iter().map(|hit| hit.source).collect())
}
