//! Who owns which partition: membership in the group of workers.
//!
//! The member only belongs to the group and never reads: its partitions are
//! paused as soon as they are assigned. A thread of its own polls it, so that
//! membership does not hang on how busy the worker is, and waits in the
//! rebalance until what is taken away was finished.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use parking_lot::{Condvar, Mutex};
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use sluice_seams::{Assignment, AssignmentChange, BoxFuture, StoreError};
use tokio::sync::mpsc;

use crate::client;
use crate::config::KafkaConfig;

const POLL: Duration = Duration::from_millis(100);
/// Longest wait for the group to hear that this member leaves.
const LEAVE_WITHIN: Duration = Duration::from_secs(10);

/// Membership in the group of fan-out workers.
pub struct KafkaAssignment {
    changes: tokio::sync::Mutex<mpsc::UnboundedReceiver<AssignmentChange>>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Between the member's thread and whoever follows it.
struct Shared {
    changes: mpsc::UnboundedSender<AssignmentChange>,
    /// Taken away and not finished yet.
    leaving: Mutex<BTreeSet<u32>>,
    finished: Condvar,
    closing: AtomicBool,
    revoke_timeout: Duration,
}

/// The member's context.
struct Member(Arc<Shared>);

// === impl KafkaAssignment ===

impl KafkaAssignment {
    /// Joins the group.
    ///
    /// # Errors
    /// The client could not be made.
    pub fn join(config: &KafkaConfig) -> Result<Self, StoreError> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            changes: sender,
            leaving: Mutex::default(),
            finished: Condvar::new(),
            closing: AtomicBool::new(false),
            revoke_timeout: Duration::from_millis(config.revoke_timeout_ms.into()),
        });
        let failed = |error: KafkaError| StoreError::Poisoned(format!("kafka: member: {error}"));
        let member: BaseConsumer<Member> =
            BaseConsumer::from_config_and_context(&config.member(), Member(Arc::clone(&shared)))
                .map_err(failed)?;
        member.subscribe(&[&config.topic]).map_err(failed)?;
        let polled = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("kafka-member".into());
        let thread = thread
            .spawn(move || poll(&member, &polled))
            .map_err(|error| StoreError::Poisoned(format!("kafka: member: {error}")))?;
        Ok(Self {
            changes: tokio::sync::Mutex::new(receiver),
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }
}

fn poll(member: &BaseConsumer<Member>, shared: &Shared) {
    while !shared.closing.load(Ordering::Acquire) {
        match member.poll(POLL) {
            // A record that was fetched before the pause took hold.
            None | Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!(%error, "membership of the group of workers");
                std::thread::sleep(POLL);
            }
        }
    }
    member.unsubscribe();
    // The group hears of it while it is polled.
    let deadline = Instant::now() + LEAVE_WITHIN;
    while Instant::now() < deadline && member.assignment().is_ok_and(|held| held.count() > 0) {
        let _ = member.poll(POLL);
    }
}

impl Assignment for KafkaAssignment {
    fn next(&self) -> BoxFuture<'_, Result<AssignmentChange, StoreError>> {
        async move {
            match self.changes.lock().await.recv().await {
                Some(change) => Ok(change),
                None => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn released(&self, partitions: &[u32]) {
        let mut leaving = self.shared.leaving.lock();
        partitions.iter().for_each(|partition| {
            leaving.remove(partition);
        });
        self.shared.finished.notify_all();
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            self.shared.closing.store(true, Ordering::Release);
            self.shared.leaving.lock().clear();
            self.shared.finished.notify_all();
            let Some(thread) = self.thread.lock().take() else { return Ok(()) };
            let ended = tokio::task::spawn_blocking(move || thread.join());
            match tokio::time::timeout(LEAVE_WITHIN, ended).await {
                Ok(Ok(Ok(()))) => Ok(()),
                _ => {
                    let detail = "kafka: the group was not left in time".to_owned();
                    Err(StoreError::retry(Duration::ZERO, detail))
                }
            }
        }
        .boxed()
    }
}

impl Drop for KafkaAssignment {
    fn drop(&mut self) {
        // The thread ends by itself.
        self.shared.closing.store(true, Ordering::Release);
        self.shared.finished.notify_all();
    }
}

// === impl Shared ===

impl Shared {
    fn tell(&self, change: AssignmentChange) {
        // Nobody follows any more: the process ends.
        let _ = self.changes.send(change);
    }

    /// Tells of partitions that are taken away and waits until they are finished.
    fn hand_over(&self, partitions: Vec<u32>) {
        if self.closing.load(Ordering::Acquire) {
            return;
        }
        let deadline = Instant::now() + self.revoke_timeout;
        let mut leaving = self.leaving.lock();
        leaving.extend(&partitions);
        self.tell(AssignmentChange::Revoked(partitions));
        while !leaving.is_empty() {
            if self.finished.wait_until(&mut leaving, deadline).timed_out() {
                tracing::warn!(partitions = ?*leaving, "not finished in time; they go all the same");
                leaving.clear();
            }
        }
    }
}

// === impl Member ===

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "membership of the group of workers");
    }
}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, member: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(list) = rebalance else { return };
        let partitions = numbers(list);
        if partitions.is_empty() {
            return;
        }
        if member.assignment_lost() {
            self.0.tell(AssignmentChange::Lost(partitions));
        } else {
            self.0.hand_over(partitions);
        }
    }

    fn post_rebalance(&self, member: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                if let Err(error) = member.pause(list) {
                    tracing::warn!(%error, "partitions of the group could not be paused");
                }
                let partitions = numbers(list);
                if !partitions.is_empty() {
                    self.0.tell(AssignmentChange::Assigned(partitions));
                }
            }
            Rebalance::Error(error) => tracing::warn!(%error, "rebalance of the group of workers"),
            Rebalance::Revoke(_) => {}
        }
    }
}

fn numbers(list: &TopicPartitionList) -> Vec<u32> {
    let elements = list.elements();
    elements.iter().filter_map(|element| u32::try_from(element.partition()).ok()).collect()
}
