//! Names that apps have sent: a small index beside the documents, so that
//! listing them reads no events. Names stay when days are dropped.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use sluice_seams::StoreError;
use sluice_seams::document::Catalogue;

use crate::encode::{Name, NameKind};
use crate::query;
use crate::store::Inner;

/// Names of a kind that this process notes for an app; later ones are left out.
const NAMES_MAX: usize = 10_000;
/// Names that are remembered to be noted, over all apps.
const KNOWN_MAX: usize = 500_000;
/// Names read by one request.
const PAGE: usize = 5_000;

/// Names known to be noted.
#[derive(Default)]
pub struct Names(Mutex<Known>);

#[derive(Default)]
struct Known {
    names: HashSet<Name>,
    counts: HashMap<(Arc<str>, NameKind), usize>,
}

#[derive(Deserialize)]
struct Listed {
    names: Composite,
}

#[derive(Deserialize)]
struct Composite {
    buckets: Vec<Bucket>,
}

#[derive(Deserialize)]
struct Bucket {
    key: Pair,
}

#[derive(Deserialize)]
struct Pair {
    kind: String,
    name: String,
}

// === impl Names ===

impl Names {
    /// Those that are to be noted.
    pub fn unknown(&self, names: HashSet<Name>) -> Vec<Name> {
        let known = self.0.lock();
        let room = |name: &Name| {
            let held = known.counts.get(&(name.app.clone(), name.kind));
            held.is_none_or(|held| *held < NAMES_MAX)
        };
        names.into_iter().filter(|name| !known.names.contains(name) && room(name)).collect()
    }

    /// Remembers names that were noted.
    pub fn know(&self, names: Vec<Name>) {
        let mut known = self.0.lock();
        if known.names.len() + names.len() > KNOWN_MAX {
            *known = Known::default();
        }
        for name in names {
            let (app, kind) = (name.app.clone(), name.kind);
            if known.names.insert(name) {
                *known.counts.entry((app, kind)).or_default() += 1;
            }
        }
    }
}

/// All names of an app.
pub async fn of_app(inner: &Inner, app_id: &str) -> Result<Catalogue, StoreError> {
    let mut names: [BTreeSet<String>; 3] = Default::default();
    let mut after: Option<Value> = None;
    // Three kinds of names; a few processes may each have noted up to the bound.
    for _ in 0..=(3 * NAMES_MAX * 4) / PAGE {
        let mut page = json!({"size": PAGE, "sources": [
            {"kind": {"terms": {"field": "kind"}}},
            {"name": {"terms": {"field": "name"}}},
        ]});
        if let Some(after) = after.take() {
            page["after"] = after;
        }
        let body = json!({
            "size": 0,
            "track_total_hits": false,
            "query": {"term": {"app": app_id}},
            "aggs": {"names": {"composite": page}},
        });
        let index = inner.indices.names();
        let listed = query::search_aggregations::<Listed>(inner, &index, &body).await?;
        let buckets = listed.map(|listed| listed.names.buckets).unwrap_or_default();
        if let Some(Bucket { key }) = buckets.last() {
            after = Some(json!({"kind": key.kind, "name": key.name}));
        }
        let count = buckets.len();
        for Bucket { key } in buckets {
            let kinds = [NameKind::Event, NameKind::Property, NameKind::Id];
            if let Some(at) = kinds.iter().position(|kind| kind.spelling() == key.kind) {
                names[at].insert(key.name);
            }
        }
        if count < PAGE {
            break;
        }
    }
    let [events, properties, ids] = names.map(|names| names.into_iter().collect());
    Ok(Catalogue { events, properties, ids })
}
