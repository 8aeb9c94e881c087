//! Which engine keeps what, and which settings of them go together.

use serde::{Deserialize, Serialize};

use super::Config;
use crate::run::Role;

/// Where the event log is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogEngine {
    /// In the data directory; one process.
    #[default]
    Embedded,
    /// In Kafka; any number of processes.
    Kafka,
}

/// Where documents are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DocumentsEngine {
    /// In the data directory; one process.
    #[default]
    Embedded,
    /// In Elasticsearch or OpenSearch.
    Elasticsearch,
}

/// Where rows are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowsEngine {
    /// In the data directory; one process.
    #[default]
    Embedded,
    /// In HBase, through its Thrift servers.
    Hbase,
}

/// Settings that hold a secret: shown as `***`, by section and key.
pub const SECRETS: [(&str, &str); 3] =
    [("kafka", "sasl_password"), ("elasticsearch", "password"), ("elasticsearch", "api_key")];

// === impl Config ===

impl Config {
    /// Whether the log is shared with other processes while a store is kept in
    /// this one's data directory: then this process brings in every partition,
    /// and keeps lane offsets of its own.
    pub fn keeps_a_copy(&self) -> bool {
        self.log.engine == LogEngine::Kafka && self.embedded_stores()
    }

    /// Whether some store is kept in the data directory.
    pub fn embedded_stores(&self) -> bool {
        self.documents.engine == DocumentsEngine::Embedded
            || self.rows.engine == RowsEngine::Embedded
    }

    /// What is wrong with the settings of the engines that are used.
    pub(super) fn engine_problems(&self) -> Vec<String> {
        let kafka = (self.log.engine == LogEngine::Kafka)
            .then(|| self.kafka.check().err().map(|problem| format!("kafka.{problem}")));
        let elasticsearch = (self.documents.engine == DocumentsEngine::Elasticsearch).then(|| {
            let problem = self.elasticsearch.check().err();
            problem.map(|it| format!("elasticsearch.{}: {}", it.field, it.detail))
        });
        let hbase = (self.rows.engine == RowsEngine::Hbase)
            .then(|| self.hbase.check().err().map(|problem| format!("hbase.{problem}")));
        [kafka, elasticsearch, hbase].into_iter().flatten().flatten().collect()
    }

    /// Why this role cannot run on these engines; `None` where it can.
    pub fn refuses(&self, role: Role) -> Option<String> {
        let alone = role.fan_out != role.query;
        if self.log.engine == LogEngine::Kafka && alone && self.embedded_stores() {
            return Some(format!(
                "`sluice {}` with log.engine = \"kafka\" needs documents.engine = \
                 \"elasticsearch\" and rows.engine = \"hbase\": a store in this process's data \
                 directory is seen by no other process. Or run `sluice serve`, which brings in and \
                 answers by itself",
                role.name
            ));
        }
        None
    }
}
