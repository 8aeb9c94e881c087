//! A place in one partition that reads on from where it is.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt as _;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use sluice_seams::LogRecord;

use crate::client::Plain;
use crate::config::KafkaConfig;

/// Records taken over at a time beyond what is asked for.
const READY_RECORDS_MAX: usize = 4_096;

/// A reader of one partition, with what it has read ahead.
pub(crate) struct Cursor {
    consumer: StreamConsumer<Plain>,
    topic: String,
    pub partition: u32,
    /// The offset that `take` goes on from.
    pub next: u64,
    ready: VecDeque<LogRecord>,
    /// Met while taking over; the next wait tells it, for librdkafka does not
    /// tell it twice.
    met: Option<KafkaError>,
    /// Cannot go on from where it stands until it is placed anew.
    pub astray: bool,
    pub last_used: Instant,
}

/// What came of waiting for a record.
#[derive(Debug)]
pub(crate) enum Waited {
    /// There is one.
    Ready,
    /// The partition ends here, for now.
    End,
    /// The place is outside of what the broker keeps.
    OutOfRange,
    /// It did not work now.
    Failed(KafkaError),
}

// === impl Cursor ===

impl Cursor {
    pub(crate) fn open(
        config: &KafkaConfig,
        topic: &str,
        partition: u32,
        at: u64,
    ) -> Result<Self, KafkaError> {
        let consumer = StreamConsumer::from_config_and_context(&config.reader(), Plain)?;
        let mut cursor = Self {
            consumer,
            topic: topic.to_owned(),
            partition,
            next: at,
            ready: VecDeque::new(),
            met: None,
            astray: false,
            last_used: Instant::now(),
        };
        cursor.place(at)?;
        Ok(cursor)
    }

    /// Goes on from `at`.
    pub(crate) fn place(&mut self, at: u64) -> Result<(), KafkaError> {
        let mut place = TopicPartitionList::new();
        let offset = Offset::Offset(i64::try_from(at).unwrap_or(i64::MAX));
        place.add_partition_offset(&self.topic, self.partition as i32, offset)?;
        self.ready.clear();
        self.met = None;
        self.next = at;
        self.astray = true;
        self.consumer.assign(&place)?;
        self.astray = false;
        Ok(())
    }

    /// Waits until a record is there, without end where there is none. May be
    /// dropped at any time.
    pub(crate) async fn wait(&mut self) -> Waited {
        if !self.ready.is_empty() {
            return Waited::Ready;
        }
        let met = match self.met.take() {
            Some(error) => Err(error),
            None => self.consumer.recv().await.map(|message| record(&message)),
        };
        match met {
            Ok(record) => {
                self.ready.extend(record);
                Waited::Ready
            }
            Err(KafkaError::PartitionEOF(_)) => Waited::End,
            Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
            )) => {
                self.astray = true;
                Waited::OutOfRange
            }
            Err(error) => Waited::Failed(error),
        }
    }

    /// Takes what is ready, about `bytes_max`, at least one record where one is.
    pub(crate) fn take(&mut self, bytes_max: usize) -> Vec<LogRecord> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.is_empty() || bytes < bytes_max {
            if self.ready.is_empty() {
                self.take_over();
            }
            let Some(record) = self.ready.pop_front() else { break };
            bytes += record.payload.len().max(1);
            self.next = record.offset + 1;
            taken.push(record);
        }
        self.last_used = Instant::now();
        taken
    }

    /// What librdkafka has fetched already.
    fn take_over(&mut self) {
        while self.ready.len() < READY_RECORDS_MAX {
            if self.met.is_some() {
                return;
            }
            let next = self.consumer.recv().now_or_never();
            match next.map(|next| next.map(|message| record(&message))) {
                Some(Ok(record)) => {
                    self.ready.extend(record);
                    if self.ready.len() >= 64 {
                        return;
                    }
                }
                Some(Err(error)) => {
                    self.met = Some(error);
                    return;
                }
                None => return,
            }
        }
    }

    /// For this long nobody used it.
    pub(crate) fn idle(&self) -> Duration {
        self.last_used.elapsed()
    }
}

fn record(message: &BorrowedMessage<'_>) -> Option<LogRecord> {
    Some(LogRecord {
        offset: u64::try_from(message.offset()).ok()?,
        appended_at_ms: message.timestamp().to_millis().unwrap_or_default(),
        payload: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
    })
}
