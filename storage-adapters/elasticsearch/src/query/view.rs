//! A view of the indices that stays as it is while a question reads it page by
//! page: a point in time, spelled differently by the two engines. To open one
//! takes a request; who needs one search only reads what is there now.

use std::sync::Arc;

use elasticsearch::http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sluice_seams::{Source, StoreError};

use super::search::{SearchError, Searched, search};
use crate::client::{AWAY, Client, Request};
use crate::indices::Daily;
use crate::store::Inner;

/// How long a view is kept after its last page.
const KEPT: &str = "2m";

/// A view.
pub struct View<'a> {
    /// The store.
    pub inner: &'a Inner,
    reads: Reads,
}

/// What searches read.
enum Reads {
    /// Nothing: no index is there.
    Nothing,
    /// A point in time.
    Held(Held),
    /// What is there when they come: these indices.
    Now(String),
}

struct Held {
    id: String,
    elastic: bool,
    client: Arc<Client>,
}

#[derive(Deserialize)]
struct Opened {
    #[serde(alias = "pit_id")]
    id: String,
    #[serde(rename = "_shards")]
    shards: Shards,
}

#[derive(Deserialize)]
struct Shards {
    total: u64,
    failed: u64,
}

// === impl View ===

impl<'a> View<'a> {
    /// What is there now: for one search, since another may find other things.
    pub fn now(inner: &'a Inner, source: Source) -> Self {
        Self { inner, reads: Reads::Now(target(inner, source)) }
    }

    /// A view of everything that a source is asked for. Any day can hold events
    /// of any corrected time, so it covers all of them; engines pass over
    /// shards whose times do not fit.
    pub async fn open(inner: &'a Inner, source: Source) -> Result<Self, StoreError> {
        let target = target(inner, source);
        let elastic = inner.elastic;
        let path = match elastic {
            true => format!("{target}/_pit?keep_alive={KEPT}"),
            false => format!("{target}/_search/point_in_time?keep_alive={KEPT}"),
        };
        let reply = inner.client.call(&Request::new(Method::Post, path), &[400, 404]).await?;
        if !reply.is_success() {
            // OpenSearch cannot make a view of nothing.
            let nothing = source == Source::Events && Self::no_days(inner).await?;
            let view = Self { inner, reads: Reads::Nothing };
            return if nothing { Ok(view) } else { Err(reply.error()) };
        }
        let opened: Opened = reply.read()?;
        let client = inner.client.clone();
        let held = Held { id: opened.id, elastic, client };
        if opened.shards.failed > 0 {
            let failed = opened.shards.failed;
            let detail = format!("elasticsearch: no view: {failed} shards failed");
            return Err(StoreError::retry(AWAY, detail));
        }
        let nothing = opened.shards.total == 0;
        Ok(Self { inner, reads: if nothing { Reads::Nothing } else { Reads::Held(held) } })
    }

    async fn no_days(inner: &Inner) -> Result<bool, StoreError> {
        let events = inner.indices.pattern(Daily::Events);
        let path = format!("_cat/indices/{events}?format=json&h=index");
        let reply = inner.client.call(&Request::new(Method::Get, path), &[404]).await?;
        Ok(reply.status == 404 || reply.read::<Vec<Value>>()?.is_empty())
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        matches!(self.reads, Reads::Nothing)
    }

    /// Searches; not to be called where the view is empty.
    pub async fn search<A: DeserializeOwned, H: DeserializeOwned>(
        &self,
        mut body: Value,
    ) -> Result<Searched<A, H>, SearchError> {
        let target = match &self.reads {
            Reads::Now(target) => target,
            Reads::Held(held) => {
                body["pit"] = json!({"id": held.id, "keep_alive": KEPT});
                ""
            }
            Reads::Nothing => "",
        };
        search(self.inner, target, &body).await
    }
}

/// The indices of a source.
fn target(inner: &Inner, source: Source) -> String {
    match source {
        Source::Events => inner.indices.pattern(Daily::Events),
        Source::FirstSeen => inner.indices.users(),
        Source::Follows => inner.indices.follows(),
    }
}

impl Drop for Held {
    /// Given back whatever becomes of the question; if that fails it expires.
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (client, id) = (self.client.clone(), std::mem::take(&mut self.id));
        let request = match self.elastic {
            true => Request::new(Method::Delete, "_pit").json(&json!({"id": id})),
            false => {
                let path = "_search/point_in_time";
                Request::new(Method::Delete, path).json(&json!({"pit_id": [id]}))
            }
        };
        runtime.spawn(async move {
            let _ = client.send(&request).await;
        });
    }
}
