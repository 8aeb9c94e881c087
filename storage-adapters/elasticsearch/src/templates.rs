//! Index templates and the indices that are not daily: made and verified when
//! the store is opened.
//!
//! Every template and index carries the version of the layout. An older or
//! differing template is replaced, an equal one left alone, a newer one refused:
//! then a newer program has been here, and what it wrote is unknown to this one.
//! Several processes may start at once: each step ends in the same state
//! whoever does it, and however often.

use elasticsearch::http::Method;
use serde_json::{Value, json};
use sluice_seams::{Day, StoreError};
use xxhash_rust::xxh3::xxh3_64;

use crate::client::{Client, Request};
use crate::config::ElasticsearchConfig;
use crate::indices::{Daily, Indices};
use crate::layout::{self, LAYOUT_VERSION};

/// Above the priorities of the engines' own templates (100 to 200).
const PRIORITY: u64 = 500;

/// A template: its name's last part, the indices it is for, what it says.
struct Template {
    name: String,
    pattern: String,
    /// An index that the template must be the one for.
    example: String,
    mapping: Value,
    daily: bool,
}

/// Makes and verifies all that has to be there before the first write.
pub async fn install(
    client: &Client,
    indices: &Indices,
    config: &ElasticsearchConfig,
) -> Result<(), StoreError> {
    for template in templates(indices) {
        let wanted = body(&template, config);
        if must_put(client, &template, &wanted).await? {
            let request = Request::new(Method::Put, format!("_index_template/{}", template.name));
            client.call(&request.json(&wanted), &[]).await?;
        }
        verify(client, &template).await?;
        if !template.daily {
            ensure_index(client, &template.pattern).await?;
        }
    }
    Ok(())
}

/// Makes an index from its template unless it is there, and verifies that its
/// layout is one that this program knows.
pub async fn ensure_index(client: &Client, index: &str) -> Result<(), StoreError> {
    // Two rounds: another process may make or drop it in between.
    for _ in 0..2 {
        let path = format!("{index}/_mapping?filter_path=*.mappings._meta,*.mappings.dynamic");
        let reply = client.call(&Request::new(Method::Get, path), &[404]).await?;
        if reply.status != 404 {
            let found: Value = reply.read()?;
            return known(&format!("index {index}"), &found[index]["mappings"]);
        }
        let put = client.call(&Request::new(Method::Put, index), &[400]).await?;
        if put.status == 400 && !put.cause().is("resource_already_exists_exception") {
            // Whatever keeps an index from being made is a matter of the cluster
            // (no room for shards, a foreign template): no event is at fault.
            let detail = format!("elasticsearch: cannot make {index}: {}", put.cause());
            return Err(StoreError::retry(std::time::Duration::from_secs(5), detail));
        }
    }
    let reply = client.call(&Request::new(Method::Get, format!("{index}/_mapping")), &[]).await?;
    known(&format!("index {index}"), &reply.read::<Value>()?[index]["mappings"])
}

fn templates(indices: &Indices) -> Vec<Template> {
    let daily = |name: &str, kind, mapping| Template {
        name: indices.template(name),
        pattern: indices.pattern(kind),
        example: indices.daily(kind, Day(0)),
        mapping,
        daily: true,
    };
    let single = |index: String, mapping| Template {
        name: index.clone(),
        pattern: index.clone(),
        example: index,
        mapping,
        daily: false,
    };
    vec![
        daily("events", Daily::Events, layout::event_mapping()),
        daily("visitors", Daily::Visitors, layout::visitor_mapping()),
        single(indices.users(), layout::event_mapping()),
        single(indices.follows(), layout::event_mapping()),
        single(indices.names(), layout::name_mapping()),
    ]
}

fn body(template: &Template, config: &ElasticsearchConfig) -> Value {
    let mut settings = json!({
        "number_of_shards": if template.daily { config.shards } else { 1 },
        "number_of_replicas": config.replicas,
        "refresh_interval": format!("{}ms", config.refresh_interval_ms),
        "mapping.total_fields.limit": 1_000,
    });
    if let Some(policy) = config.ilm_policy.as_ref().filter(|_| template.daily) {
        settings["lifecycle.name"] = json!(policy);
    }
    let mut body = json!({
        "index_patterns": [template.pattern],
        "priority": PRIORITY,
        "version": LAYOUT_VERSION,
        "template": {"settings": {"index": settings}, "mappings": template.mapping},
    });
    let hash = format!("{:016x}", xxh3_64(body.to_string().as_bytes()));
    body["_meta"] = json!({"managed_by": "sluice", "version": LAYOUT_VERSION, "hash": hash});
    body
}

/// Whether a template is missing, older or differs.
async fn must_put(
    client: &Client,
    template: &Template,
    wanted: &Value,
) -> Result<bool, StoreError> {
    let request = Request::new(Method::Get, format!("_index_template/{}", template.name));
    let reply = client.call(&request, &[404]).await?;
    if reply.status == 404 {
        return Ok(true);
    }
    let found: Value = reply.read()?;
    let meta = &found["index_templates"][0]["index_template"]["_meta"];
    if meta["managed_by"] != "sluice" {
        let name = &template.name;
        return Err(StoreError::Refused(format!(
            "elasticsearch: the template `{name}` belongs to somebody else: choose another index_prefix"
        )));
    }
    not_newer(&format!("template {}", template.name), meta)?;
    Ok(meta["hash"] != wanted["_meta"]["hash"])
}

/// Asks the engine what an index of that name would be like: a template of
/// somebody else with a higher priority would make it another one.
async fn verify(client: &Client, template: &Template) -> Result<(), StoreError> {
    let path = format!("_index_template/_simulate_index/{}", template.example);
    let reply = client.call(&Request::new(Method::Post, path), &[]).await?;
    let found: Value = reply.read()?;
    known(&format!("a new index {}", template.example), &found["template"]["mappings"])
}

fn known(what: &str, mappings: &Value) -> Result<(), StoreError> {
    let meta = &mappings["_meta"];
    let dynamic = &mappings["dynamic"];
    if meta["managed_by"] != "sluice" || (dynamic != "false" && dynamic != false) {
        return Err(StoreError::Refused(format!(
            "elasticsearch: {what} does not have this program's layout: another template or program \
             makes indices of that name; choose another index_prefix or remove it"
        )));
    }
    not_newer(what, meta)
}

fn not_newer(what: &str, meta: &Value) -> Result<(), StoreError> {
    match meta["version"].as_u64() {
        Some(version) if version <= LAYOUT_VERSION => Ok(()),
        version => Err(StoreError::Refused(format!(
            "elasticsearch: {what} has layout version {}, this program knows up to {LAYOUT_VERSION}: \
             run the newer program, or choose another index_prefix",
            version.map_or_else(|| "(none)".to_owned(), |version| version.to_string())
        ))),
    }
}
