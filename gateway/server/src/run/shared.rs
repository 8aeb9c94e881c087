//! Opens what is kept in engines of their own: Kafka, Elasticsearch, HBase.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_elasticsearch::{Deps, ElasticsearchDocuments};
use sluice_hbase::{HbaseDeps, HbaseRows};
use sluice_kafka::{KafkaAssignment, KafkaConfig, KafkaDeps, KafkaLog, TopicConfig};
use sluice_seams::StoreError;
use sluice_telemetry::Clock;

use super::embedded::DEAD_LETTERS_RETENTION_MS;
use crate::config::Config;

/// An engine that does not answer at start is waited for this long: processes
/// and their engines are often started together.
const START_WITHIN: Duration = Duration::from_secs(60);

type NowMs = Arc<dyn Fn() -> i64 + Send + Sync>;

fn now_ms(clock: &Arc<dyn Clock>) -> NowMs {
    let clock = Arc::clone(clock);
    Arc::new(move || clock.now_ms())
}

/// The event log and the dead-letter log.
pub(super) async fn logs(
    kafka: &KafkaConfig,
    clock: &Arc<dyn Clock>,
) -> Result<[KafkaLog; 2], String> {
    let events = TopicConfig {
        name: kafka.topic.clone(),
        partitions: kafka.partitions,
        retention_ms: Some(kafka.retention_ms),
    };
    let dead_letters = TopicConfig {
        name: kafka.dead_letter_topic.clone(),
        partitions: 1,
        retention_ms: Some(DEAD_LETTERS_RETENTION_MS),
    };
    let open = |topic: TopicConfig| {
        insist("kafka", move || {
            KafkaLog::open(kafka.clone(), topic.clone(), KafkaDeps { now_ms: now_ms(clock) })
        })
    };
    Ok([open(events).await?, open(dead_letters).await?])
}

/// Settings of the log for a process that keeps a copy of its own: its offsets
/// belong to its data directory, not to a group that others share.
pub(super) fn of_copy(config: &Config) -> Result<KafkaConfig, String> {
    let id = copy_id(&config.data_dir)?;
    let group = format!("{}.copy-{id}", config.kafka.group);
    Ok(KafkaConfig { group, ..config.kafka.clone() })
}

/// The name of the copy in a data directory; made where there is none.
fn copy_id(data_dir: &Path) -> Result<String, String> {
    let path = data_dir.join("copy-id");
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    match std::fs::read_to_string(&path) {
        Ok(id) => Ok(id.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let id = uuid::Uuid::now_v7().simple().to_string();
            std::fs::write(&path, &id).map_err(failed)?;
            Ok(id)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Membership in the group of fan-out workers.
pub(super) fn assignment(kafka: &KafkaConfig) -> Result<KafkaAssignment, String> {
    KafkaAssignment::join(kafka).map_err(|error| error.to_string())
}

/// The document store.
pub(super) async fn documents(
    config: &Config,
    clock: &Arc<dyn Clock>,
) -> Result<ElasticsearchDocuments, String> {
    insist("elasticsearch", || {
        let deps = Deps { now_ms: now_ms(clock) };
        ElasticsearchDocuments::open(config.elasticsearch.clone(), deps)
    })
    .await
}

/// The row store.
pub(super) async fn rows(config: &Config, clock: &Arc<dyn Clock>) -> Result<HbaseRows, String> {
    insist("hbase", || HbaseRows::open(config.hbase.clone(), HbaseDeps { now_ms: now_ms(clock) }))
        .await
}

/// Opens an engine, however often it fails in passing, for a bounded time.
async fn insist<T, F, O>(engine: &str, open: F) -> Result<T, String>
where
    F: Fn() -> O,
    O: Future<Output = Result<T, StoreError>>,
{
    let begun = Instant::now();
    loop {
        match open().await {
            Ok(opened) => return Ok(opened),
            Err(StoreError::Retry { after, detail }) if begun.elapsed() < START_WITHIN => {
                tracing::warn!(engine, detail, "not ready yet; trying again");
                tokio::time::sleep(after.max(Duration::from_millis(500))).await;
            }
            Err(StoreError::Retry { detail, .. }) => {
                return Err(format!("{detail}; given up after {START_WITHIN:?}"));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_its_name() {
        let dir = tempfile::tempdir().expect("temp dir");
        let first = copy_id(dir.path()).expect("made");
        assert_eq!(copy_id(dir.path()).expect("read"), first);
        assert!(copy_id(&dir.path().join("none")).is_err());
    }
}
