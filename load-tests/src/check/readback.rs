//! Reads a log back, without the gateway: each event, as often as it is there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sluice_embedded::log::{EmbeddedLog, LogConfig};
use sluice_proto::v1::{BatchRecord, Event};
use sluice_seams::EventLog;

/// Where a log is.
#[derive(Debug, Clone)]
pub enum Place {
    /// In the data directory of a gateway that has ended.
    Embedded(PathBuf),
    /// In Kafka.
    Kafka {
        /// `host:port` of some brokers.
        brokers: String,
        /// The topic of events.
        topic: String,
    },
}

/// Longest wait for an answer of the broker.
const BROKER_MAX: Duration = Duration::from_secs(30);
const READ_BYTES: usize = 4 << 20;

/// Calls `see` with every event in the log.
///
/// # Errors
/// What could not be read.
pub async fn read(place: &Place, mut see: impl FnMut(&Event)) -> Result<(), String> {
    match place {
        Place::Embedded(dir) => embedded(dir, &mut see).await,
        Place::Kafka { brokers, topic } => {
            let mut take = |payload: &[u8]| record(payload, &mut see);
            tokio::task::block_in_place(|| payloads(brokers, topic, &mut take))
        }
    }
}

/// Calls `see` with every event in a record of the log.
///
/// # Errors
/// Where it is none.
pub fn record(payload: &[u8], see: &mut impl FnMut(&Event)) -> Result<(), String> {
    let record = BatchRecord::decode(payload).map_err(|error| format!("a record: {error}"))?;
    for event in record.events.iter().filter_map(|event| event.event.as_ref()) {
        see(event);
    }
    Ok(())
}

async fn embedded(dir: &Path, see: &mut impl FnMut(&Event)) -> Result<(), String> {
    let folder = dir.join("log");
    if !folder.is_dir() {
        return Err(format!("{}: there is no log in it", dir.display()));
    }
    // The number of partitions stands in the log itself; a wrong one is told.
    let partitions = std::fs::read_dir(&folder)
        .map_err(|error| format!("{}: {error}", folder.display()))?
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir())
        .count() as u32;
    let config = LogConfig::new(folder, partitions, Arc::new(crate::crowd::now_ms));
    let log = EmbeddedLog::open(config).map_err(|error| error.to_string())?;
    for partition in 0..log.partitions() {
        let (mut at, end) = log.bounds(partition);
        while at < end {
            let records = log.read(partition, at, READ_BYTES).await;
            let records = records.map_err(|error| error.to_string())?;
            let last = records.last().ok_or("the log ends before its end")?;
            at = last.offset + 1;
            for read in &records {
                record(&read.payload, see)?;
            }
        }
    }
    log.close().await.map_err(|error| error.to_string())
}

/// Calls `take` with every payload of a topic; blocks for that.
///
/// # Errors
/// What could not be read, or what `take` says.
pub fn payloads(
    brokers: &str,
    topic: &str,
    take: &mut impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let failed = |error: rdkafka::error::KafkaError| format!("{brokers}, {topic}: {error}");
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "load-tests.check")
        .set("enable.auto.commit", "false")
        .set("check.crcs", "true")
        .create()
        .map_err(failed)?;
    let metadata = consumer.fetch_metadata(Some(topic), BROKER_MAX).map_err(failed)?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
    let (mut ends, mut list) = (Vec::new(), TopicPartitionList::new());
    for partition in partitions.map(|partition| partition.id()) {
        let (first, end) =
            consumer.fetch_watermarks(topic, partition, BROKER_MAX).map_err(failed)?;
        if first < end {
            list.add_partition_offset(topic, partition, Offset::Offset(first)).map_err(failed)?;
            ends.push((partition, end));
        }
    }
    consumer.assign(&list).map_err(failed)?;
    let mut heard = Instant::now();
    while !ends.is_empty() {
        match consumer.poll(Duration::from_millis(100)) {
            Some(message) => {
                let message = message.map_err(failed)?;
                take(message.payload().unwrap_or_default())?;
                let (partition, next) = (message.partition(), message.offset() + 1);
                ends.retain(|(of, end)| *of != partition || next < *end);
                heard = Instant::now();
            }
            None if heard.elapsed() > BROKER_MAX => {
                return Err(format!("{brokers}, {topic}: nothing more came within {BROKER_MAX:?}"));
            }
            None => {}
        }
    }
    Ok(())
}
