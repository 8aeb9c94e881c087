//! State of the cluster, as far as this store's indices go.

use std::time::Duration;

use elasticsearch::http::Method;
use serde::Deserialize;
use serde_json::Value;
use sluice_seams::StoreError;
use sluice_seams::document::StoreStatus;

use crate::client::Request;
use crate::indices::Daily;
use crate::store::Inner;

/// The longest that a question about the state takes.
const WITHIN: Duration = Duration::from_secs(5);
/// Blocks that keep an index from taking documents.
const BLOCKS: [&str; 4] = [
    "index.blocks.read_only",
    "index.blocks.read_only_allow_delete",
    "index.blocks.write",
    "index.blocks.metadata",
];

#[derive(Deserialize)]
struct Health {
    status: String,
}

/// Why the store takes no writes, and how much it holds.
pub async fn status(inner: &Inner) -> StoreStatus {
    if inner.closed() {
        return StoreStatus { refusing: Some("closed".to_owned()), ..StoreStatus::default() };
    }
    let refusing = match refusing(inner).await {
        Ok(refusing) => refusing.or_else(|| inner.bulk.blocked()),
        Err(why) => Some(why.to_string()),
    };
    let (disk_bytes, entries) = sizes(inner).await.unwrap_or_default();
    StoreStatus { refusing, disk_bytes, entries }
}

async fn get(inner: &Inner, path: String) -> Result<Value, StoreError> {
    let request = Request::new(Method::Get, path).within(WITHIN);
    inner.client.call(&request, &[]).await?.read()
}

async fn refusing(inner: &Inner) -> Result<Option<String>, StoreError> {
    let ours = format!("{}*", inner.config.index_prefix);
    let path = format!("_cluster/health/{ours}?level=cluster&timeout=2s");
    let request = Request::new(Method::Get, path).within(WITHIN);
    // 408: answered, but the state asked for did not come about in time.
    let health: Health = inner.client.call(&request, &[408]).await?.read()?;
    if health.status == "red" {
        return Ok(Some(format!("elasticsearch: indices {ours} lack a primary shard")));
    }
    let found = get(inner, format!("{ours}/_settings/index.blocks.*?flat_settings=true")).await?;
    let blocked = found.as_object().into_iter().flatten().find_map(|(index, of)| {
        let set = |name: &&str| {
            let value = &of["settings"][name];
            value == "true" || value == true
        };
        let block = BLOCKS.iter().find(|name| set(name))?;
        Some(format!("elasticsearch: {index} is set {block} (a full disk does that, too)"))
    });
    Ok(blocked)
}

/// Bytes on disk of everything, and number of event documents.
async fn sizes(inner: &Inner) -> Result<(Option<u64>, Option<u64>), StoreError> {
    let ours = format!("{}*", inner.config.index_prefix);
    let stats = get(inner, format!("{ours}/_stats/store?level=cluster")).await?;
    let disk = stats["_all"]["total"]["store"]["size_in_bytes"].as_u64();
    let events = inner.indices.pattern(Daily::Events);
    let counted = get(inner, format!("{events}/_count?ignore_unavailable=true")).await?;
    Ok((disk, counted["count"].as_u64()))
}
