//! The sections of the config, with their defaults and ranges.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sluice_admit::{AppConfig, AppsConfig, GlobalLimits};
use sluice_append::CollectConfig;
use sluice_elasticsearch::ElasticsearchConfig;
use sluice_fanout::FanOutConfig;
use sluice_hbase::HbaseConfig;
use sluice_kafka::KafkaConfig;
use sluice_query::QueryConfig;
use sluice_remember::RememberConfig;
use sluice_wire::WireConfig;

use super::{ADMIN_LISTEN_DEFAULT, DocumentsEngine, LISTEN_DEFAULT, LogEngine, RowsEngine};
use crate::logging::TelemetryConfig;

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
const DAY_MS: u64 = 86_400_000;

/// The whole config.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address for HTTP and gRPC.
    pub listen: SocketAddr,
    /// Address for health, metrics and operations.
    pub admin_listen: SocketAddr,
    /// Directory for log, stores and `addresses.json`.
    pub data_dir: PathBuf,
    /// Connections, time-outs and sizes.
    pub wire: WireConfig,
    /// Limits over all apps together.
    pub limits: GlobalLimits,
    /// The set of recently appended ids.
    pub remember: RememberConfig,
    /// The append step.
    pub append: CollectConfig,
    /// The event log: its engine, and the embedded one.
    pub log: LogSection,
    /// The event log in Kafka.
    pub kafka: KafkaConfig,
    /// Fan out.
    pub fan_out: FanOutConfig,
    /// The document store: its engine, and the embedded one.
    pub documents: DocumentsSection,
    /// The document store in Elasticsearch or OpenSearch.
    pub elasticsearch: ElasticsearchConfig,
    /// The row store: its engine, and the embedded one.
    pub rows: RowsSection,
    /// The row store in HBase.
    pub hbase: HbaseConfig,
    /// The query API.
    pub query: QueryConfig,
    /// Shutting down.
    pub drain: DrainSection,
    /// The process's own log.
    pub telemetry: TelemetryConfig,
    /// Apps by id.
    pub apps: BTreeMap<String, AppConfig>,
}

/// `[log]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// `embedded`: in the data directory; `kafka`: see `[kafka]`, the other keys
    /// here are not used then.
    pub engine: LogEngine,
    /// Partitions; fixed once the log exists. 1..=1024.
    pub partitions: u32,
    /// Bytes of one segment file; 1 MiB..=1 GiB.
    pub segment_bytes_max: u64,
    /// Records older than this may go once every lane has taken them,
    /// milliseconds.
    pub retention_ms: u64,
    /// Beyond this many bytes the oldest segments may go once every lane has
    /// taken them; 0: no such bound.
    pub retention_bytes: u64,
    /// Appends are refused while less than this is free on the disk, bytes;
    /// absent: 1 GiB, or a twentieth of a smaller disk.
    pub disk_reserve_bytes: Option<u64>,
    /// Records handed over and not yet durable, bytes; beyond it appends are
    /// refused.
    pub queue_bytes_max: u64,
}

/// `[documents]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DocumentsSection {
    /// `embedded`: in the data directory; `elasticsearch`: see `[elasticsearch]`,
    /// the other keys here are not used then.
    pub engine: DocumentsEngine,
    /// Memory for a day's index being written, bytes; at least 16 MiB.
    pub writer_heap_bytes: usize,
    /// Days being written at the same time.
    pub open_writers_max: usize,
}

/// `[rows]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RowsSection {
    /// `embedded`: in the data directory; `hbase`: see `[hbase]`, the other keys
    /// here are not used then.
    pub engine: RowsEngine,
    /// Memory for blocks read back, bytes.
    pub cache_bytes: u64,
}

/// `[drain]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrainSection {
    /// Longest time from the signal to the end, milliseconds; 100..=600 000.
    pub deadline_ms: u64,
}

// === impl Config ===

impl Config {
    /// The apps as the admit stage takes them.
    pub fn apps(&self) -> AppsConfig {
        AppsConfig { apps: self.apps.clone(), limits: self.limits.clone() }
    }

    /// Every value that is out of its range, with the range.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |name: &str, value: u64, min: u64, max: u64| {
            if !(min..=max).contains(&value) {
                problems.push(format!("{name} = {value}: allowed is {min} to {max}"));
            }
        };
        check("log.partitions", self.log.partitions.into(), 1, 1024);
        check("log.segment_bytes_max", self.log.segment_bytes_max, MIB, GIB);
        check("log.retention_ms", self.log.retention_ms, 60_000, 3_650 * DAY_MS);
        check("log.queue_bytes_max", self.log.queue_bytes_max, MIB, 16 * GIB);
        let heap = self.documents.writer_heap_bytes as u64;
        check("documents.writer_heap_bytes", heap, 16 * MIB, 4 * GIB);
        let open = self.documents.open_writers_max as u64;
        check("documents.open_writers_max", open, 1, 64);
        check("rows.cache_bytes", self.rows.cache_bytes, MIB, 64 * GIB);
        check("drain.deadline_ms", self.drain.deadline_ms, 100, 600_000);
        problems.extend(self.engine_problems());
        problems.extend(self.apps().validate().err().into_iter().flatten());
        problems.extend(self.remember.check().err().map(|problem| format!("remember.{problem}")));
        problems.extend(self.append.check().err().map(|problem| format!("append.{problem}")));
        problems.extend(self.wire.check().err().map(|problem| format!("wire.{problem}")));
        problems
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: LISTEN_DEFAULT,
            admin_listen: ADMIN_LISTEN_DEFAULT,
            data_dir: PathBuf::from("./sluice-data"),
            wire: WireConfig::default(),
            limits: GlobalLimits::default(),
            remember: RememberConfig::default(),
            append: CollectConfig::default(),
            log: LogSection::default(),
            kafka: KafkaConfig::default(),
            fan_out: FanOutConfig::default(),
            documents: DocumentsSection::default(),
            elasticsearch: ElasticsearchConfig::default(),
            rows: RowsSection::default(),
            hbase: HbaseConfig::default(),
            query: QueryConfig::default(),
            drain: DrainSection::default(),
            telemetry: TelemetryConfig::default(),
            apps: BTreeMap::new(),
        }
    }
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            engine: LogEngine::default(),
            partitions: 4,
            segment_bytes_max: 64 * MIB,
            retention_ms: 7 * DAY_MS,
            retention_bytes: 0,
            disk_reserve_bytes: None,
            queue_bytes_max: 64 * MIB,
        }
    }
}

impl Default for DocumentsSection {
    fn default() -> Self {
        Self {
            engine: DocumentsEngine::default(),
            writer_heap_bytes: 32 << 20,
            open_writers_max: 4,
        }
    }
}

impl Default for RowsSection {
    fn default() -> Self {
        Self { engine: RowsEngine::default(), cache_bytes: 64 * MIB }
    }
}

impl Default for DrainSection {
    fn default() -> Self {
        Self { deadline_ms: 20_000 }
    }
}
