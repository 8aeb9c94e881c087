//! The seam's log on one topic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use sluice_seams::log::LogStatus;
use sluice_seams::{AppendError, BoxFuture, EventLog, LogRecord, StoreError};
use tokio_util::task::AbortOnDropHandle;

use crate::client::{Plain, store_error};
use crate::config::{KafkaConfig, TopicConfig};
use crate::cursor::Waited;
use crate::ends::Ends;
use crate::figures::{Counters, KafkaFigures, add};
use crate::offsets::Offsets;
use crate::producer::{Producer, Shared};
use crate::readers::Readers;
use crate::topic;

/// How often the broker is asked for the ends of all partitions.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Longest wait for a record that must be there.
const READ_WITHIN: Duration = Duration::from_secs(20);
/// A reader that failed tries again after this.
const AGAIN: Duration = Duration::from_millis(200);
/// Between two failures of a reader: it reports each once and reconnects by itself.
const BREATH: Duration = Duration::from_millis(10);
/// Longest wait for the last reports when the log closes.
const FLUSH_WITHIN: Duration = Duration::from_secs(30);

/// What the log stands on besides its settings.
#[derive(Clone)]
pub struct KafkaDeps {
    /// Milliseconds since the Unix epoch.
    pub now_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
}

/// An event log on one topic. Cloning shares it.
#[derive(Clone)]
pub struct KafkaLog {
    inner: Arc<Inner>,
    _asking: Arc<AbortOnDropHandle<()>>,
}

struct Inner {
    config: KafkaConfig,
    topic: TopicConfig,
    now_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
    counters: Arc<Counters>,
    ends: Arc<Ends>,
    asker: BaseConsumer<Plain>,
    /// When the brokers last answered.
    answered_ms: AtomicI64,
    producer: Producer,
    readers: Readers,
    offsets: Arc<Offsets>,
    closed: AtomicBool,
}

// === impl KafkaLog ===

impl KafkaLog {
    /// Opens the log on a topic, which is made or verified. Within a tokio runtime.
    ///
    /// # Errors
    /// `Retry`: the brokers do not answer. `Poisoned`: a setting is out of range
    /// or the topic is not as wanted; says what to do.
    pub async fn open(
        config: KafkaConfig,
        topic: TopicConfig,
        deps: KafkaDeps,
    ) -> Result<Self, StoreError> {
        config.check().map_err(|problem| StoreError::Poisoned(format!("kafka.{problem}")))?;
        topic::ensure(&config, &topic).await?;
        let made = |error: KafkaError| StoreError::Poisoned(format!("kafka: no client: {error}"));
        let counters = Arc::new(Counters::default());
        let ends = Arc::new(Ends::new(topic.partitions));
        let now_ms = deps.now_ms;
        let shared = Shared {
            counters: Arc::clone(&counters),
            ends: Arc::clone(&ends),
            now_ms: Arc::clone(&now_ms),
        };
        let asker = config.asker(&format!("{}.readers", config.group));
        let inner = Arc::new(Inner {
            producer: Producer::new(&config, &topic.name, topic.partitions, shared)
                .map_err(made)?,
            asker: BaseConsumer::from_config_and_context(&asker, Plain).map_err(made)?,
            readers: Readers::new(&config, &topic.name, Arc::clone(&counters)),
            offsets: Arc::new(Offsets::new(&config, &topic.name)),
            answered_ms: AtomicI64::new(now_ms()),
            closed: AtomicBool::new(false),
            config,
            topic,
            now_ms,
            counters,
            ends,
        });
        blocking(&inner, |inner| inner.ask_bounds()).await?;
        let asking = AbortOnDropHandle::new(tokio::spawn(keep_asking(Arc::clone(&inner))));
        Ok(Self { inner, _asking: Arc::new(asking) })
    }

    /// What it has done.
    pub fn figures(&self) -> KafkaFigures {
        self.inner.counters.figures()
    }
}

async fn keep_asking(inner: Arc<Inner>) {
    let mut failures = 0u32;
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        match blocking(&inner, |inner| inner.ask_bounds()).await {
            Ok(()) => failures = 0,
            Err(error) => {
                failures += 1;
                // Readiness tells it all the time; the log now and then.
                if failures.is_power_of_two() {
                    let topic = &inner.topic.name;
                    tracing::warn!(topic, failures, %error, "the brokers do not tell the log's end");
                }
            }
        }
        inner.readers.tidy();
    }
}

async fn blocking<T: Send + 'static>(
    inner: &Arc<Inner>,
    work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let inner = Arc::clone(inner);
    let done = tokio::task::spawn_blocking(move || work(&inner)).await;
    done.unwrap_or_else(|error| Err(StoreError::retry(AGAIN, format!("kafka: {error}"))))
}

// === impl Inner ===

impl Inner {
    fn timeout(&self) -> Duration {
        Duration::from_millis(self.config.request_timeout_ms.into())
    }

    /// Asks where all partitions begin and end; blocks.
    fn ask_bounds(&self) -> Result<(), StoreError> {
        let asked_ms = (self.now_ms)();
        for partition in 0..self.topic.partitions {
            let asked =
                self.asker.fetch_watermarks(&self.topic.name, partition as i32, self.timeout());
            let (first, end) = asked.map_err(|error| store_error("the log's bounds", &error))?;
            self.ends.begins_at(partition, u64::try_from(first).unwrap_or(0));
            self.ends.at_least(partition, u64::try_from(end).unwrap_or(0));
        }
        self.ends.hold_at(asked_ms);
        self.answered_ms.store((self.now_ms)(), Ordering::Release);
        Ok(())
    }

    async fn read(
        self: &Arc<Self>,
        partition: u32,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<LogRecord>, StoreError> {
        self.known(partition)?;
        let (first, end) = self.ends.bounds(partition);
        let from = from.max(first);
        if from >= end {
            return Ok(Vec::new());
        }
        let opened = self.readers.at(partition, from);
        let mut cursor = opened.map_err(|error| store_error("a reader", &error))?;
        let deadline = tokio::time::Instant::now() + READ_WITHIN;
        let mut last = String::new();
        loop {
            let waited = tokio::time::timeout_at(deadline, cursor.wait()).await;
            match waited {
                Ok(Waited::Ready) => {
                    let records = cursor.take(bytes_max);
                    add(&self.counters.read, records.len() as u64);
                    if let Some(last) = records.last() {
                        self.ends.at_least(partition, last.offset + 1);
                    }
                    return Ok(records);
                }
                // What was known to be there was no record (a gap at the end).
                Ok(Waited::End) if cursor.next >= end => return Ok(Vec::new()),
                // Of the place before, or the broker's view is a moment old.
                Ok(Waited::End) => {}
                Ok(Waited::OutOfRange) => {
                    blocking(self, |inner| inner.ask_bounds()).await?;
                    let (first, end) = self.ends.bounds(partition);
                    if cursor.next >= end {
                        return Ok(Vec::new());
                    }
                    if cursor.next >= first {
                        // The broker has forgotten what it had: no hot loop.
                        tokio::time::sleep(AGAIN).await;
                    }
                    let place = cursor.next.max(first);
                    cursor.place(place).map_err(|error| store_error("a reader", &error))?;
                }
                Ok(Waited::Failed(error)) => match store_error("reading", &error) {
                    // It reconnects by itself. A reader that stood still while the
                    // brokers were away meets every failure since, one by one.
                    StoreError::Retry { detail, .. } => last = detail,
                    error => return Err(error),
                },
                Err(_) => {
                    // Whatever it is, another cursor does not share it.
                    cursor.astray = true;
                    let detail = format!(
                        "kafka: no record of partition {partition} from {from} on within \
                         {READ_WITHIN:?}; {last}"
                    );
                    return Err(StoreError::retry(AGAIN, detail));
                }
            }
        }
    }

    /// Reads on until there is a record, so that the log's end rises as soon as
    /// somebody else appends.
    async fn watch(self: &Arc<Self>, partition: u32, offset: u64) {
        loop {
            let mut cursor = match self.readers.at(partition, offset) {
                Ok(cursor) => cursor,
                Err(error) => {
                    tracing::warn!(partition, %error, "a reader cannot be placed");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            match cursor.wait().await {
                Waited::Ready => {
                    self.ends.at_least(partition, offset + 1);
                    return;
                }
                Waited::End => {}
                Waited::OutOfRange => {
                    // Past the end as the broker sees it, or dropped: `past` tells.
                    tokio::time::sleep(AGAIN).await;
                    // A passing error: it is asked again every second anyway.
                    let _ = blocking(self, |inner| inner.ask_bounds()).await;
                    if let Err(error) = cursor.place(offset) {
                        tracing::warn!(partition, %error, "a reader cannot be placed");
                    }
                }
                Waited::Failed(error) => {
                    tracing::debug!(partition, %error, "reading failed; trying again");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }

    fn offset_at(&self, partition: u32, time_ms: i64) -> Result<u64, StoreError> {
        self.known(partition)?;
        let failed = |error: KafkaError| store_error("the offset of a time", &error);
        let mut asked = TopicPartitionList::new();
        let time = Offset::Offset(time_ms.max(0));
        asked.add_partition_offset(&self.topic.name, partition as i32, time).map_err(failed)?;
        let found = self.asker.offsets_for_times(asked, self.timeout()).map_err(failed)?;
        let element = found.elements_for_topic(&self.topic.name).into_iter().next();
        if let Some(Offset::Offset(offset)) = element.map(|element| element.offset()) {
            return Ok(u64::try_from(offset).unwrap_or(0));
        }
        // Nothing is as young: the end.
        let bounds =
            self.asker.fetch_watermarks(&self.topic.name, partition as i32, self.timeout());
        let end = u64::try_from(bounds.map_err(failed)?.1).unwrap_or(0);
        self.ends.at_least(partition, end);
        Ok(end)
    }

    /// Refuses what names no partition of the topic.
    fn known(&self, partition: u32) -> Result<(), StoreError> {
        if partition < self.topic.partitions {
            return Ok(());
        }
        Err(StoreError::Refused(self.unknown(partition)))
    }

    fn unknown(&self, partition: u32) -> String {
        let TopicConfig { name, partitions, .. } = &self.topic;
        format!("kafka: the topic `{name}` has {partitions} partitions, there is no {partition}")
    }

    fn commit(&self, lane: &str, partition: u32, next: u64) -> Result<(), StoreError> {
        self.known(partition)?;
        if next > self.ends.bounds(partition).1 {
            // Others append: the end may be a moment old.
            self.ask_bounds()?;
            let end = self.ends.bounds(partition).1;
            if next > end {
                let detail = format!("kafka: commit of {next} past the end {end} of {partition}");
                return Err(StoreError::Refused(detail));
            }
        }
        self.offsets.commit(lane, partition, next)
    }

    fn refusing(&self) -> Option<String> {
        if self.closed.load(Ordering::Acquire) {
            return Some("kafka: the log is closed".to_owned());
        }
        if let Some(silent) = self.producer.silent() {
            return Some(silent);
        }
        let since_ms = (self.now_ms)() - self.answered_ms.load(Ordering::Acquire);
        (since_ms > self.config.silent_ms_max as i64 + ASK_EVERY.as_millis() as i64).then(|| {
            let brokers = &self.config.brokers;
            format!("kafka: the brokers ({brokers}) have not answered for {since_ms} ms")
        })
    }
}

// === impl EventLog ===

impl EventLog for KafkaLog {
    fn partitions(&self) -> u32 {
        self.inner.topic.partitions
    }

    fn append(
        &self,
        partition: u32,
        payload: Bytes,
    ) -> BoxFuture<'static, Result<u64, AppendError>> {
        let known = self.inner.known(partition).map_err(|error| error.to_string());
        let closed = self.inner.closed.load(Ordering::Acquire);
        let taken = known.and_then(|()| match closed {
            false => Ok(()),
            true => Err("kafka: the log is closed".to_owned()),
        });
        if let Err(detail) = taken {
            return async move { Err(AppendError::NotWritten { after: AGAIN, detail }) }.boxed();
        }
        self.inner.producer.append(partition, &payload)
    }

    fn read(
        &self,
        partition: u32,
        from: u64,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<LogRecord>, StoreError>> {
        self.inner.read(partition, from, bytes_max).boxed()
    }

    fn wait(&self, partition: u32, offset: u64) -> BoxFuture<'_, ()> {
        async move {
            if self.inner.ends.bounds(partition).1 > offset {
                return;
            }
            tokio::select! {
                () = self.inner.ends.past(partition, offset) => {}
                () = self.inner.watch(partition, offset) => {}
            }
        }
        .boxed()
    }

    fn bounds(&self, partition: u32) -> (u64, u64) {
        self.inner.ends.bounds(partition)
    }

    fn bounds_at_ms(&self, now_ms: i64) -> i64 {
        self.inner.ends.known_at_ms().min(now_ms)
    }

    fn offset_at(&self, partition: u32, time_ms: i64) -> BoxFuture<'_, Result<u64, StoreError>> {
        blocking(&self.inner, move |inner| inner.offset_at(partition, time_ms)).boxed()
    }

    fn declare_lane(&self, _: &str) -> Result<(), StoreError> {
        // The topic's retention does not wait for lanes.
        Ok(())
    }

    fn committed(&self, lane: &str, partition: u32) -> Result<Option<u64>, StoreError> {
        self.inner.known(partition)?;
        self.inner.offsets.committed(lane, partition)
    }

    fn commit(
        &self,
        lane: &str,
        partition: u32,
        next: u64,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let lane = lane.to_owned();
        blocking(&self.inner, move |inner| inner.commit(&lane, partition, next)).boxed()
    }

    fn rewind(&self, lane: &str, partition: u32, to: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        let lane = lane.to_owned();
        blocking(&self.inner, move |inner| {
            inner.known(partition)?;
            inner.offsets.set(&lane, partition, to)
        })
        .boxed()
    }

    fn status(&self) -> LogStatus {
        let delivered_ms = self.inner.counters.delivered_ms.load(Ordering::Acquire);
        let age_ms = || u64::try_from((self.inner.now_ms)() - delivered_ms).unwrap_or(0);
        LogStatus {
            refusing: self.refusing(),
            disk_bytes: None,
            disk_free_bytes: None,
            last_append_age_ms: (delivered_ms > 0).then(age_ms),
        }
    }

    fn refusing(&self) -> Option<String> {
        self.inner.refusing()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            self.inner.closed.store(true, Ordering::Release);
            self.inner.readers.close();
            blocking(&self.inner, |inner| {
                let flushed = inner.producer.flush(FLUSH_WITHIN);
                flushed.map_err(|error| store_error("the last reports", &error))
            })
            .await
        }
        .boxed()
    }
}
