//! Appending: one idempotent producer, and one in its place where it failed for
//! good.
//!
//! The record is handed to librdkafka by the call itself, so that the order of
//! the calls is the order of the log and a dropped future takes nothing back.
//! The delivery report resolves the append. What timed out may be in the log.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use parking_lot::RwLock;
use rdkafka::Statistics;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};
use sluice_seams::{AppendError, BoxFuture};
use tokio::sync::oneshot;

use crate::client;
use crate::config::KafkaConfig;
use crate::ends::Ends;
use crate::figures::{Counters, add};

/// Where a client is told to come back after a full queue or a silent broker.
const COME_BACK: Duration = Duration::from_secs(1);

/// Memory of a queued record besides its payload, about.
const RECORD_OVERHEAD_BYTES: u64 = 256;

type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;
type Running = Arc<ThreadedProducer<Reports>>;

/// Appends records to one topic.
pub(crate) struct Producer {
    config: KafkaConfig,
    topic: String,
    shared: Arc<Shared>,
    running: RwLock<Running>,
}

/// What delivery reports touch.
pub(crate) struct Shared {
    pub counters: Arc<Counters>,
    pub ends: Arc<Ends>,
    pub now_ms: Clock,
}

/// Hears of deliveries.
struct Reports(Arc<Shared>);

/// A record on its way.
struct Pending {
    payload_bytes: u64,
    /// What it takes of the queue.
    bytes: u64,
    done: oneshot::Sender<Result<u64, AppendError>>,
}

// === impl Producer ===

impl Producer {
    pub(crate) fn new(
        config: &KafkaConfig,
        topic: &str,
        shared: Arc<Shared>,
    ) -> Result<Self, KafkaError> {
        let running = RwLock::new(run(config, &shared)?);
        Ok(Self { config: config.clone(), topic: topic.to_owned(), shared, running })
    }

    /// Hands a record over; resolves with its offset once it is durable.
    pub(crate) fn append(
        &self,
        partition: u32,
        payload: &Bytes,
    ) -> BoxFuture<'static, Result<u64, AppendError>> {
        match self.hand_over(partition, payload) {
            Ok(done) => async move {
                // A producer that is dropped reports all its records before.
                let lost = |_| Err(AppendError::Unknown("kafka: no delivery report came".into()));
                done.await.unwrap_or_else(lost)
            }
            .boxed(),
            Err(detail) => {
                add(&self.shared.counters.refused, 1);
                let error = AppendError::NotWritten { after: COME_BACK, detail };
                async move { Err(error) }.boxed()
            }
        }
    }

    fn hand_over(
        &self,
        partition: u32,
        payload: &Bytes,
    ) -> Result<oneshot::Receiver<Result<u64, AppendError>>, String> {
        let (counters, payload_bytes) = (&self.shared.counters, payload.len() as u64);
        let max = self.config.record_bytes_max;
        if payload.len() > max {
            return Err(format!(
                "kafka: a record of {payload_bytes} bytes; allowed is kafka.record_bytes_max = {max}"
            ));
        }
        if let Some(silent) = self.silent() {
            return Err(silent);
        }
        let bytes = payload_bytes + RECORD_OVERHEAD_BYTES;
        let queued = counters.queue_bytes.fetch_add(bytes, Ordering::AcqRel);
        if queued + bytes > self.config.queue_bytes_max as u64 {
            counters.queue_bytes.fetch_sub(bytes, Ordering::AcqRel);
            let max = self.config.queue_bytes_max;
            return Err(format!("kafka: {queued} bytes wait for the broker; allowed is {max}"));
        }
        if counters.queue_records.fetch_add(1, Ordering::AcqRel) == 0 {
            counters.progress_ms.store((self.shared.now_ms)(), Ordering::Release);
        }
        let (done, report) = oneshot::channel();
        let pending = Box::new(Pending { payload_bytes, bytes, done });
        let record = BaseRecord::<(), [u8], _>::with_opaque_to(&self.topic, pending)
            .partition(partition as i32)
            .payload(payload);
        let sent = self.running.read().send(record);
        if let Err((error, record)) = sent {
            self.shared.settle(record.delivery_opaque.bytes);
            if matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::Fatal)) {
                self.replace();
            }
            return Err(format!("kafka: not handed over: {error}"));
        }
        Ok(report)
    }

    /// The broker has acknowledged nothing for long, although something waits.
    pub(crate) fn silent(&self) -> Option<String> {
        let counters = &self.shared.counters;
        let waiting = counters.queue_records.load(Ordering::Acquire);
        if waiting == 0 {
            return None;
        }
        let since_ms = (self.shared.now_ms)() - counters.progress_ms.load(Ordering::Acquire);
        (since_ms > self.config.silent_ms_max as i64).then(|| {
            format!(
                "kafka: {waiting} records wait and the brokers ({}) have acknowledged none for \
                 {since_ms} ms",
                self.config.brokers
            )
        })
    }

    /// A producer that failed for good (a gap in its sequence that it cannot
    /// explain) takes nothing more; its records get their reports.
    fn replace(&self) {
        let mut running = self.running.write();
        let Some((code, reason)) = running.client().fatal_error() else { return };
        match run(&self.config, &self.shared) {
            Ok(fresh) => {
                tracing::warn!(%code, reason, "the producer failed for good; another takes over");
                add(&self.shared.counters.producers_replaced, 1);
                let failed = std::mem::replace(&mut *running, fresh);
                // Ending it waits for its thread.
                std::thread::spawn(move || drop(failed));
            }
            Err(error) => tracing::error!(%error, "no new producer could be made"),
        }
    }

    /// Waits for the reports of everything handed over; blocks.
    pub(crate) fn flush(&self, within: Duration) -> Result<(), KafkaError> {
        let running = Arc::clone(&self.running.read());
        running.flush(within)
    }
}

fn run(config: &KafkaConfig, shared: &Arc<Shared>) -> Result<Running, KafkaError> {
    let reports = Reports(Arc::clone(shared));
    Ok(Arc::new(ThreadedProducer::from_config_and_context(&config.producer(), reports)?))
}

// === impl Shared ===

impl Shared {
    fn settle(&self, bytes: u64) {
        self.counters.queue_bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.counters.queue_records.fetch_sub(1, Ordering::AcqRel);
    }
}

// === impl Reports ===

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka producer");
    }

    fn stats(&self, statistics: Statistics) {
        let counters = &self.0.counters;
        let brokers = || statistics.brokers.values();
        let trips: Vec<i64> = brokers()
            .filter_map(|broker| Some(broker.rtt.as_ref()?.avg))
            .filter(|us| *us > 0)
            .collect();
        let mean = trips.iter().sum::<i64>() / (trips.len() as i64).max(1);
        counters.round_trip_us.store(mean.max(0) as u64, Ordering::Relaxed);
        let errors: u64 = brokers().map(|broker| broker.txerrs + broker.rxerrs).sum();
        counters.request_errors.store(errors, Ordering::Relaxed);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Pending>;

    fn delivery(&self, result: &DeliveryResult<'_>, pending: Box<Pending>) {
        let Pending { payload_bytes, bytes, done } = *pending;
        let (shared, counters) = (&self.0, &self.0.counters);
        let outcome = match result {
            Ok(message) => {
                let offset = u64::try_from(message.offset()).unwrap_or_default();
                let partition = u32::try_from(message.partition()).unwrap_or_default();
                shared.ends.at_least(partition, offset + 1);
                let now_ms = (shared.now_ms)();
                counters.progress_ms.store(now_ms, Ordering::Release);
                counters.delivered_ms.store(now_ms, Ordering::Release);
                add(&counters.delivered, 1);
                add(&counters.delivered_bytes, payload_bytes);
                Ok(offset)
            }
            Err((error, _)) => {
                add(&counters.failed, 1);
                Err(AppendError::Unknown(format!("kafka: not acknowledged: {error}")))
            }
        };
        shared.settle(bytes);
        // Whoever waited may have gone away; the record is where it is.
        let _ = done.send(outcome);
    }
}
