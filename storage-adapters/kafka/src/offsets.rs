//! Offsets of lanes: committed under the group `GROUP.LANE`, which has no
//! members.
//!
//! A commit says what a store has taken, which is true whoever says it; hence it
//! is not fenced by membership. One that comes late from a worker that lost the
//! partition can set the offset back, which repeats idempotent writes and loses
//! nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use sluice_seams::StoreError;

use crate::client::{Plain, store_error};
use crate::config::KafkaConfig;

const AGAIN: Duration = Duration::from_millis(200);

type Client = Arc<BaseConsumer<Plain>>;

/// The offsets of all lanes. Every method may block.
pub(crate) struct Offsets {
    config: KafkaConfig,
    topic: String,
    clients: Mutex<HashMap<String, Client>>,
    /// What this process knows to be committed.
    known: Mutex<HashMap<(String, u32), u64>>,
}

// === impl Offsets ===

impl Offsets {
    pub(crate) fn new(config: &KafkaConfig, topic: &str) -> Self {
        let (config, topic) = (config.clone(), topic.to_owned());
        Self { config, topic, clients: Mutex::default(), known: Mutex::default() }
    }

    fn client(&self, lane: &str) -> Result<Client, KafkaError> {
        let mut clients = self.clients.lock();
        if let Some(client) = clients.get(lane) {
            return Ok(Arc::clone(client));
        }
        let group = format!("{}.{lane}", self.config.group);
        let config = self.config.asker(&group);
        let client = Arc::new(BaseConsumer::from_config_and_context(&config, Plain)?);
        clients.insert(lane.to_owned(), Arc::clone(&client));
        Ok(client)
    }

    /// Asks the broker.
    pub(crate) fn committed(&self, lane: &str, partition: u32) -> Result<Option<u64>, StoreError> {
        let deadline = Instant::now() + self.timeout();
        let error = loop {
            match self.ask(lane, partition) {
                Ok(found) => {
                    if let Some(next) = found {
                        self.known.lock().insert((lane.to_owned(), partition), next);
                    }
                    return Ok(found);
                }
                // A group's coordinator is found, or made, while it is asked for.
                Err(error) if Instant::now() + AGAIN >= deadline => break error,
                Err(_) => std::thread::sleep(AGAIN),
            }
        };
        Err(store_error("the committed offset", &error))
    }

    fn ask(&self, lane: &str, partition: u32) -> Result<Option<u64>, KafkaError> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&self.topic, partition as i32);
        let found = self.client(lane)?.committed_offsets(asked, self.timeout())?;
        let element = found.elements_for_topic(&self.topic).into_iter().next();
        let Some(element) = element else { return Ok(None) };
        element.error()?;
        match element.offset() {
            Offset::Offset(next) => Ok(u64::try_from(next).ok()),
            _ => Ok(None),
        }
    }

    /// Commits, where it is news.
    pub(crate) fn commit(&self, lane: &str, partition: u32, next: u64) -> Result<(), StoreError> {
        let known = self.known.lock().get(&(lane.to_owned(), partition)).copied();
        if known.is_some_and(|known| next <= known) {
            return Ok(());
        }
        self.set(lane, partition, next)
    }

    /// Commits whatever it was before.
    pub(crate) fn set(&self, lane: &str, partition: u32, next: u64) -> Result<(), StoreError> {
        let done = self.client(lane).and_then(|client| {
            let mut list = TopicPartitionList::new();
            let offset = Offset::Offset(i64::try_from(next).unwrap_or(i64::MAX));
            list.add_partition_offset(&self.topic, partition as i32, offset)?;
            client.commit(&list, CommitMode::Sync)
        });
        done.map_err(|error| store_error("committing an offset", &error))?;
        self.known.lock().insert((lane.to_owned(), partition), next);
        Ok(())
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(self.config.request_timeout_ms.into())
    }
}
