//! What the store is told: where the nodes are, how to speak to them, how
//! indices are made, and every bound.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Most nodes that may be listed.
pub const NODES_MAX: usize = 64;
/// Longest `index_prefix`, bytes: index names are at most 255 bytes long.
pub const PREFIX_BYTES_MAX: usize = 100;

/// The section of the config. Everything has a default.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ElasticsearchConfig {
    /// `http://` or `https://` addresses of the nodes, without credentials;
    /// 1 to 64. Default: `http://127.0.0.1:9200`.
    pub nodes: Vec<String>,
    /// Certificates (PEM) that nodes are trusted by, besides the built-in ones.
    pub ca_file: Option<PathBuf>,
    /// User of basic authentication; with `password`.
    pub username: Option<String>,
    /// Secret. Password of basic authentication.
    pub password: Option<String>,
    /// Secret. An API key as the engine prints it encoded (base64 of `id:key`);
    /// instead of `username`.
    pub api_key: Option<String>,
    /// Begins the name of every index and template: lower-case letters, digits,
    /// `-` and `_`, not beginning with `-` or `_`; at most 100 bytes. Two stores
    /// on one cluster have different ones, and none begins with the other.
    /// Default: `sluice-`.
    pub index_prefix: String,
    /// Primary shards of an index of events or visitors, 1 to 64. Default: 1.
    pub shards: u32,
    /// Copies of each shard beside the primary, 0 to 10. Default: 1.
    pub replicas: u32,
    /// How often the engine refreshes by itself, milliseconds, 100 to 3,600,000.
    /// Writes do not wait for it. Default: 30,000.
    pub refresh_interval_ms: u64,
    /// An existing life-cycle policy to attach to daily indices; the engine
    /// must have that plugin. Default: none (days are dropped by the caller).
    pub ilm_policy: Option<String>,
    /// Bytes of one bulk request, 64 KiB to 64 MiB. Default: 5,000,000.
    pub bulk_bytes_max: usize,
    /// Documents of one bulk request, 1 to 50,000. Default: 5,000, where a call
    /// of 8,000 events took two thirds of the time that it takes with 1,000:
    /// each request costs an fsync in each index.
    pub bulk_documents_max: usize,
    /// Bulk requests under way at a time, 1 to 64; the store goes down to one
    /// by itself where the engine pushes back. Default: 4.
    pub in_flight_max: usize,
    /// Searches under way at a time for one question, 1 to 64. Default: 4.
    pub searches_max: usize,
    /// The longest a connection may take, milliseconds, 50 to 60,000.
    /// Default: 2,000.
    pub connect_timeout_ms: u64,
    /// The longest a request may take, milliseconds, 100 to 600,000.
    /// Default: 30,000.
    pub request_timeout_ms: u64,
    /// Buckets in one page of an aggregation, 100 to 65,000; `search.max_buckets`
    /// of the cluster must allow it, else the store halves it by itself.
    /// Default: 20,000.
    pub page_buckets: usize,
    /// Buckets that one question may read before it is refused, at least one
    /// page. Default: 20,000,000.
    pub question_buckets_max: usize,
}

/// A setting that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("elasticsearch.{field}: {detail}")]
pub struct ConfigError {
    /// Name of the field.
    pub field: &'static str,
    /// What is wrong and what is allowed.
    pub detail: String,
}

// === impl ElasticsearchConfig ===

impl Default for ElasticsearchConfig {
    fn default() -> Self {
        Self {
            nodes: vec!["http://127.0.0.1:9200".to_owned()],
            ca_file: None,
            username: None,
            password: None,
            api_key: None,
            index_prefix: "sluice-".to_owned(),
            shards: 1,
            replicas: 1,
            refresh_interval_ms: 30_000,
            ilm_policy: None,
            bulk_bytes_max: 5_000_000,
            bulk_documents_max: 5_000,
            in_flight_max: 4,
            searches_max: 4,
            connect_timeout_ms: 2_000,
            request_timeout_ms: 30_000,
            page_buckets: 20_000,
            question_buckets_max: 20_000_000,
        }
    }
}

impl ElasticsearchConfig {
    /// Names the first value that is out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_nodes()?;
        self.check_credentials()?;
        self.check_prefix()?;
        within("shards", u64::from(self.shards), 1, 64)?;
        within("replicas", u64::from(self.replicas), 0, 10)?;
        within("refresh_interval_ms", self.refresh_interval_ms, 100, 3_600_000)?;
        within("bulk_bytes_max", self.bulk_bytes_max as u64, 64 << 10, 64 << 20)?;
        within("bulk_documents_max", self.bulk_documents_max as u64, 1, 50_000)?;
        within("in_flight_max", self.in_flight_max as u64, 1, 64)?;
        within("searches_max", self.searches_max as u64, 1, 64)?;
        within("connect_timeout_ms", self.connect_timeout_ms, 50, 60_000)?;
        within("request_timeout_ms", self.request_timeout_ms, 100, 600_000)?;
        within("page_buckets", self.page_buckets as u64, 100, 65_000)?;
        let (least, most) = (self.page_buckets as u64, 1 << 40);
        within("question_buckets_max", self.question_buckets_max as u64, least, most)
    }

    fn check_nodes(&self) -> Result<(), ConfigError> {
        within("nodes", self.nodes.len() as u64, 1, NODES_MAX as u64)?;
        for node in &self.nodes {
            let rest = node.strip_prefix("http://").or_else(|| node.strip_prefix("https://"));
            let Some(rest) = rest.filter(|rest| !rest.is_empty()) else {
                return wrong("nodes", "an address does not begin with http:// or https://");
            };
            if rest.contains('@') {
                return wrong("nodes", "an address holds credentials: use `username` or `api_key`");
            }
        }
        Ok(())
    }

    fn check_credentials(&self) -> Result<(), ConfigError> {
        match (&self.username, &self.password, &self.api_key) {
            (Some(_), None, _) => wrong("password", "is needed with `username`"),
            (None, Some(_), _) => wrong("username", "is needed with `password`"),
            (Some(_), _, Some(_)) => wrong("api_key", "and `username` exclude each other"),
            (_, _, Some(key)) if key.is_empty() || !key.bytes().all(|b| b.is_ascii_graphic()) => {
                wrong("api_key", "is not visible ASCII: give it as the engine prints it, encoded")
            }
            _ => Ok(()),
        }
    }

    fn check_prefix(&self) -> Result<(), ConfigError> {
        let prefix = &self.index_prefix;
        let plain =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        if prefix.len() > PREFIX_BYTES_MAX
            || !prefix.bytes().all(plain)
            || prefix.starts_with(['-', '_'])
        {
            let detail = "is not up to 100 of a-z, 0-9, `-`, `_`, beginning with a letter or digit";
            return wrong("index_prefix", detail);
        }
        Ok(())
    }
}

/// Secrets are left out.
impl fmt::Debug for ElasticsearchConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &Option<String>| secret.as_ref().map(|_| "…");
        f.debug_struct("ElasticsearchConfig")
            .field("nodes", &self.nodes)
            .field("ca_file", &self.ca_file)
            .field("username", &self.username)
            .field("password", &hidden(&self.password))
            .field("api_key", &hidden(&self.api_key))
            .field("index_prefix", &self.index_prefix)
            .field("shards", &self.shards)
            .field("replicas", &self.replicas)
            .field("refresh_interval_ms", &self.refresh_interval_ms)
            .field("ilm_policy", &self.ilm_policy)
            .field("bulk_bytes_max", &self.bulk_bytes_max)
            .field("bulk_documents_max", &self.bulk_documents_max)
            .field("in_flight_max", &self.in_flight_max)
            .field("searches_max", &self.searches_max)
            .field("connect_timeout_ms", &self.connect_timeout_ms)
            .field("request_timeout_ms", &self.request_timeout_ms)
            .field("page_buckets", &self.page_buckets)
            .field("question_buckets_max", &self.question_buckets_max)
            .finish()
    }
}

fn within(field: &'static str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError { field, detail: format!("{value} is not within {least} to {most}") })
}

fn wrong(field: &'static str, detail: &str) -> Result<(), ConfigError> {
    Err(ConfigError { field, detail: detail.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(edit: impl FnOnce(&mut ElasticsearchConfig)) -> &'static str {
        let mut config = ElasticsearchConfig::default();
        edit(&mut config);
        config.check().expect_err("a setting out of range is refused").field
    }

    #[test]
    fn the_default_is_allowed_and_bad_values_are_named() {
        ElasticsearchConfig::default().check().expect("the default");
        assert_eq!(refused(|c| c.nodes.clear()), "nodes");
        assert_eq!(refused(|c| c.nodes = vec!["localhost:9200".into()]), "nodes");
        assert_eq!(refused(|c| c.nodes = vec!["http://u:p@h".into()]), "nodes");
        assert_eq!(refused(|c| c.index_prefix = "Sluice".into()), "index_prefix");
        assert_eq!(refused(|c| c.username = Some("u".into())), "password");
        assert_eq!(refused(|c| c.api_key = Some("a b".into())), "api_key");
        assert_eq!(refused(|c| c.shards = 0), "shards");
        assert_eq!(refused(|c| c.bulk_bytes_max = 1), "bulk_bytes_max");
        assert_eq!(refused(|c| c.question_buckets_max = 5), "question_buckets_max");
    }

    #[test]
    fn secrets_are_not_printed() {
        let config = ElasticsearchConfig {
            username: Some("u".into()),
            password: Some("geheim".into()),
            api_key: Some("geheim".into()),
            ..ElasticsearchConfig::default()
        };
        assert!(!format!("{config:?}").contains("geheim"));
    }
}
