//! The lines in which records wait for their partition's slot.
//!
//! A line sends when its slot frees: while records of a partition are on their
//! way to the broker, what comes meanwhile waits and then goes in one request. So
//! a lone record waits for nothing, and the busier the broker is, the more each
//! request carries: a group commit, without a timer.
//!
//! What still waits was not written: where the records before it time out, it is
//! given back as such instead of being sent into the same silence.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use rdkafka::Statistics;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer};
use sluice_seams::AppendError;
use tokio::sync::oneshot;

use crate::client;
use crate::figures::add;
use crate::producer::{COME_BACK, Shared};

pub(crate) type Running = ThreadedProducer<Reports>;
/// Resolves with the record's offset, or why it has none.
pub(crate) type Report = oneshot::Receiver<Outcome>;
type Outcome = Result<u64, AppendError>;

/// The lines of all partitions, and the producer that they feed.
pub(crate) struct Lines {
    topic: String,
    pub(crate) shared: Shared,
    lines: Box<[Mutex<Line>]>,
    /// `None` once it ended. It is taken out to end it: its own thread comes here with
    /// reports and must not be the one that ends it.
    pub(crate) running: RwLock<Option<Running>>,
}

/// Records of one partition.
#[derive(Default)]
struct Line {
    /// Handed to librdkafka and not yet reported.
    under_way: usize,
    waiting: VecDeque<(Bytes, Box<Pending>)>,
}

/// A record that was not reported yet.
pub(crate) struct Pending {
    payload_bytes: u64,
    /// What it takes of the queue.
    bytes: u64,
    done: oneshot::Sender<Outcome>,
}

/// Hears of deliveries.
pub(crate) struct Reports(pub(crate) Arc<Lines>);

// === impl Lines ===

impl Lines {
    pub(crate) fn new(topic: &str, partitions: u32, shared: Shared) -> Self {
        let lines = (0..partitions).map(|_| Mutex::default()).collect();
        Self { topic: topic.to_owned(), shared, lines, running: RwLock::new(None) }
    }

    /// Puts a record into its line, `bytes` of the queue, and sends it where nothing is under
    /// way there.
    pub(crate) fn put(
        &self,
        partition: u32,
        payload: &Bytes,
        bytes: u64,
    ) -> Result<Report, KafkaError> {
        let (done, report) = oneshot::channel();
        let pending = Box::new(Pending { payload_bytes: payload.len() as u64, bytes, done });
        let mut line = self.lines[partition as usize].lock();
        if line.under_way > 0 {
            line.waiting.push_back((payload.clone(), pending));
            return Ok(report);
        }
        match self.send(partition, payload, pending) {
            Ok(()) => line.under_way += 1,
            Err((error, pending)) => {
                self.shared.settle(pending.bytes);
                return Err(error);
            }
        }
        Ok(report)
    }

    /// Whether a line has records that were not handed over.
    pub(crate) fn waits(&self) -> bool {
        self.lines.iter().any(|line| !line.lock().waiting.is_empty())
    }

    fn send(
        &self,
        partition: u32,
        payload: &Bytes,
        pending: Box<Pending>,
    ) -> Result<(), (KafkaError, Box<Pending>)> {
        let running = self.running.read();
        let Some(producer) = running.as_ref() else {
            return Err((KafkaError::MessageProduction(RDKafkaErrorCode::BrokerDestroy), pending));
        };
        let record = BaseRecord::<(), [u8], _>::with_opaque_to(&self.topic, pending)
            .partition(partition as i32)
            .payload(payload);
        producer.send(record).map_err(|(error, record)| (error, record.delivery_opaque))
    }

    /// A record of a partition was reported: the next ones go once all before them were.
    fn reported(&self, partition: u32, timed_out: bool) {
        let Some(line) = self.lines.get(partition as usize) else { return };
        let mut line = line.lock();
        line.under_way = line.under_way.saturating_sub(1);
        if timed_out {
            for (_, pending) in line.waiting.drain(..) {
                self.give_back(*pending, "kafka: the records before it were not acknowledged");
            }
        }
        if line.under_way > 0 {
            return;
        }
        while let Some((payload, pending)) = line.waiting.pop_front() {
            match self.send(partition, &payload, pending) {
                Ok(()) => line.under_way += 1,
                Err((error, pending)) => {
                    self.give_back(*pending, &format!("kafka: not handed over: {error}"));
                }
            }
        }
    }

    /// Tells whoever waits that a record was never written.
    fn give_back(&self, pending: Pending, detail: &str) {
        add(&self.shared.counters.refused, 1);
        self.shared.settle(pending.bytes);
        let detail = detail.to_owned();
        // Whoever waited may have gone away.
        let _ = pending.done.send(Err(AppendError::NotWritten { after: COME_BACK, detail }));
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
        let counters = &self.0.shared.counters;
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
        let (shared, counters) = (&self.0.shared, &self.0.shared.counters);
        let (partition, outcome, timed_out) = match result {
            Ok(message) => {
                let offset = u64::try_from(message.offset()).unwrap_or_default();
                let partition = u32::try_from(message.partition()).unwrap_or_default();
                shared.ends.at_least(partition, offset + 1);
                let now_ms = (shared.now_ms)();
                counters.progress_ms.store(now_ms, Ordering::Release);
                counters.delivered_ms.store(now_ms, Ordering::Release);
                add(&counters.delivered, 1);
                add(&counters.delivered_bytes, payload_bytes);
                (partition, Ok(offset), false)
            }
            Err((error, message)) => {
                add(&counters.failed, 1);
                let partition = u32::try_from(message.partition()).unwrap_or_default();
                let code = RDKafkaErrorCode::MessageTimedOut;
                let timed_out = matches!(error, KafkaError::MessageProduction(it) if *it == code);
                let detail = format!("kafka: not acknowledged: {error}");
                (partition, Err(AppendError::Unknown(detail)), timed_out)
            }
        };
        shared.settle(bytes);
        // Before the answer: who sends again once it knows is not one of those that waited
        // behind this record.
        self.0.reported(partition, timed_out);
        // Whoever waited may have gone away; the record is where it is.
        let _ = done.send(outcome);
    }
}
