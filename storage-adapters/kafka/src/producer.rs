//! Appending: one idempotent producer, and one in its place where it failed for
//! good.
//!
//! The call itself puts the record into the line of its partition, so that the
//! order of the calls is the order of the log and a dropped future takes nothing
//! back. The delivery report resolves the append. What timed out may be in the
//! log.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt as _;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer as _;
use sluice_seams::{AppendError, BoxFuture};

use crate::config::KafkaConfig;
use crate::ends::Ends;
use crate::figures::{Counters, add};
use crate::lines::{Lines, Report, Reports, Running};

/// When a client is told to come back after a full queue or a silent broker.
pub(crate) const COME_BACK: Duration = Duration::from_secs(1);

/// Memory of a queued record besides its payload, about.
const RECORD_OVERHEAD_BYTES: u64 = 256;
/// A flush looks so often whether the lines are empty.
const FLUSH_SLICE: Duration = Duration::from_millis(100);

type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Appends records to one topic.
pub(crate) struct Producer {
    config: KafkaConfig,
    lines: Arc<Lines>,
}

/// What appends and delivery reports touch.
pub(crate) struct Shared {
    pub counters: Arc<Counters>,
    pub ends: Arc<Ends>,
    pub now_ms: Clock,
}

// === impl Producer ===

impl Producer {
    pub(crate) fn new(
        config: &KafkaConfig,
        topic: &str,
        partitions: u32,
        shared: Shared,
    ) -> Result<Self, KafkaError> {
        let lines = Arc::new(Lines::new(topic, partitions, shared));
        *lines.running.write() = Some(run(config, &lines)?);
        Ok(Self { config: config.clone(), lines })
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
                add(&self.lines.shared.counters.refused, 1);
                let error = AppendError::NotWritten { after: COME_BACK, detail };
                async move { Err(error) }.boxed()
            }
        }
    }

    fn hand_over(&self, partition: u32, payload: &Bytes) -> Result<Report, String> {
        let (counters, payload_bytes) = (&self.lines.shared.counters, payload.len() as u64);
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
            counters.progress_ms.store((self.lines.shared.now_ms)(), Ordering::Release);
        }
        self.lines.put(partition, payload, bytes).map_err(|error| {
            if matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::Fatal)) {
                self.replace();
            }
            format!("kafka: not handed over: {error}")
        })
    }

    /// The broker has acknowledged nothing for long, although something waits.
    pub(crate) fn silent(&self) -> Option<String> {
        let counters = &self.lines.shared.counters;
        let waiting = counters.queue_records.load(Ordering::Acquire);
        if waiting == 0 {
            return None;
        }
        let since_ms = (self.lines.shared.now_ms)() - counters.progress_ms.load(Ordering::Acquire);
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
        let mut running = self.lines.running.write();
        let failed = running.as_ref().and_then(|producer| producer.client().fatal_error());
        let Some((code, reason)) = failed else { return };
        match run(&self.config, &self.lines) {
            Ok(fresh) => {
                tracing::warn!(%code, reason, "the producer failed for good; another takes over");
                add(&self.lines.shared.counters.producers_replaced, 1);
                let failed = running.replace(fresh);
                // Ending it waits for its thread.
                std::thread::spawn(move || drop(failed));
            }
            Err(error) => tracing::error!(%error, "no new producer could be made"),
        }
    }

    /// Waits for the reports of everything in line; blocks.
    pub(crate) fn flush(&self, within: Duration) -> Result<(), KafkaError> {
        let until = Instant::now() + within;
        loop {
            // In slices, so that a failed producer can be replaced meanwhile.
            let flushed = match &*self.lines.running.read() {
                Some(producer) => producer.flush(FLUSH_SLICE),
                None => Ok(()),
            };
            if (flushed.is_ok() && !self.lines.waits()) || Instant::now() >= until {
                return flushed;
            }
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let ended = self.lines.running.write().take();
        // Outside the lock: ending it waits for its thread, which reports to the lines.
        drop(ended);
    }
}

fn run(config: &KafkaConfig, lines: &Arc<Lines>) -> Result<Running, KafkaError> {
    Running::from_config_and_context(&config.producer(), Reports(Arc::clone(lines)))
}

// === impl Shared ===

impl Shared {
    /// A record no longer takes `bytes` of the queue.
    pub(crate) fn settle(&self, bytes: u64) {
        self.counters.queue_bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.counters.queue_records.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody listens on this port.
    const NOBODY: &str = "127.0.0.1:1";

    fn producer() -> Producer {
        let config = KafkaConfig {
            brokers: NOBODY.to_owned(),
            message_timeout_ms: 1_000,
            ..KafkaConfig::default()
        };
        let counters = Arc::new(Counters::default());
        let shared = Shared { counters, ends: Arc::new(Ends::new(2)), now_ms: Arc::new(|| 0) };
        Producer::new(&config, "events", 2, shared).expect("a producer without brokers")
    }

    #[tokio::test]
    async fn what_waits_behind_a_silent_broker_is_given_back_as_not_written() {
        let producer = producer();
        let payload = Bytes::from_static(b"record");
        let sent = producer.append(0, &payload);
        let behind = [producer.append(0, &payload), producer.append(0, &payload)];
        let elsewhere = producer.append(1, &payload);
        assert_eq!(producer.lines.shared.counters.figures().queue_records, 4);
        for outcome in [sent.await, elsewhere.await] {
            assert!(matches!(outcome, Err(AppendError::Unknown(_))), "{outcome:?}");
        }
        for outcome in futures::future::join_all(behind).await {
            assert!(matches!(outcome, Err(AppendError::NotWritten { .. })), "{outcome:?}");
        }
        let figures = producer.lines.shared.counters.figures();
        assert_eq!((figures.queue_records, figures.queue_bytes), (0, 0));
        assert_eq!((figures.failed, figures.refused), (2, 2));
        assert!(producer.flush(Duration::from_secs(5)).is_ok());
    }

    #[tokio::test]
    async fn whoever_waits_is_told_when_the_producer_ends() {
        let producer = producer();
        let payload = Bytes::from_static(b"record");
        let appends = [producer.append(0, &payload), producer.append(0, &payload)];
        drop(producer);
        let outcomes = futures::future::join_all(appends).await;
        assert!(matches!(outcomes[0], Err(AppendError::Unknown(_))), "{outcomes:?}");
        assert!(matches!(outcomes[1], Err(AppendError::NotWritten { .. })), "{outcomes:?}");
    }
}
