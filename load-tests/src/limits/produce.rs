//! librdkafka and nothing else: records handed to it until all are acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};

use crate::crowd::now_ms;
use crate::drive::tally::histogram;
use crate::measure::{Spent, Stopwatch};

/// Partitions of the topic: as many as Sluice makes.
const PARTITIONS: i32 = 8;
/// Longest wait for everything to be acknowledged.
const FLUSH_MAX: Duration = Duration::from_secs(60);

/// A producer with the settings of the adapter: idempotent, `acks=all`, lz4.
pub struct Produce {
    producer: ThreadedProducer<Reports>,
    topic: String,
    seen: Arc<Seen>,
}

struct Reports(Arc<Seen>);

struct Seen {
    failed: AtomicU64,
    /// Microseconds from when a record was due to its report.
    latency: Mutex<Histogram<u64>>,
}

/// Makes a topic of as many partitions as Sluice's.
///
/// # Errors
/// What the broker said.
pub async fn make_topic(brokers: &str, topic: &str) -> Result<(), String> {
    let failed = |error: KafkaError| format!("{brokers}: {error}");
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    let admin: AdminClient<DefaultClientContext> = config.create().map_err(failed)?;
    let new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1))
        .set("max.message.bytes", "8388608");
    let made = admin.create_topics([&new], &AdminOptions::new()).await.map_err(failed)?;
    match made.into_iter().next() {
        Some(Err((name, code))) => Err(format!("{brokers}: topic {name}: {code}")),
        _ => Ok(()),
    }
}

// === impl Reports ===

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Instant>;

    fn delivery(&self, result: &DeliveryResult<'_>, due: Box<Instant>) {
        if result.is_err() {
            self.0.failed.fetch_add(1, Ordering::Relaxed);
        }
        self.0.latency.lock().saturating_record((due.elapsed().as_micros() as u64).max(1));
    }
}

// === impl Produce ===

impl Produce {
    /// Makes a topic of its own.
    ///
    /// # Errors
    /// What the broker said.
    pub async fn open(brokers: &str, linger_ms: u32) -> Result<Self, String> {
        let failed = |error: KafkaError| format!("{brokers}: {error}");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers);
        let topic = format!("limit-{}-{linger_ms}", now_ms());
        make_topic(brokers, &topic).await?;
        let seen = Arc::new(Seen { failed: 0.into(), latency: Mutex::new(histogram()) });
        let producer = config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", linger_ms.to_string())
            .set("compression.type", "lz4")
            .set("message.max.bytes", "8388608")
            .set("batch.size", "4000000")
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", "131072")
            .create_with_context(Reports(Arc::clone(&seen)))
            .map_err(failed)?;
        Ok(Self { producer, topic, seen })
    }

    /// Produces `count` records as fast as the broker takes them.
    ///
    /// # Errors
    /// Where one was not acknowledged.
    pub fn saturate(&self, records: &[Bytes], count: usize) -> Result<Spent, String> {
        let watch = Stopwatch::start();
        for (number, record) in records.iter().cycle().take(count).enumerate() {
            self.send(number, record, Instant::now())?;
        }
        self.flush()?;
        Ok(watch.spent())
    }

    /// Hands one record over that was due at `due`.
    ///
    /// # Errors
    /// Where librdkafka does not take it.
    pub fn send(&self, number: usize, payload: &Bytes, due: Instant) -> Result<(), String> {
        let partition = number as i32 % PARTITIONS;
        let mut record = BaseRecord::<(), [u8], _>::with_opaque_to(&self.topic, Box::new(due))
            .partition(partition)
            .payload(payload);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    std::thread::sleep(Duration::from_millis(1));
                    record = back;
                }
                Err((error, _)) => return Err(error.to_string()),
            }
        }
    }

    /// Waits until everything is acknowledged.
    ///
    /// # Errors
    /// Where something was not.
    pub fn flush(&self) -> Result<(), String> {
        self.producer.flush(FLUSH_MAX).map_err(|error| error.to_string())?;
        match self.seen.failed.load(Ordering::Relaxed) {
            0 => Ok(()),
            failed => Err(format!("{failed} records were not acknowledged")),
        }
    }

    /// Latencies since the last call.
    pub fn latency(&self) -> Histogram<u64> {
        std::mem::replace(&mut *self.seen.latency.lock(), histogram())
    }
}
