//! Several workers on one log: partitions move, nothing is lost or counted
//! twice, and no decision is made on a `D` that is not whole.

mod support;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sluice_fanout::{FanOut, FanOutDeps, Tail};
use sluice_memory::fault::Fault;
use sluice_seams::{Assignment, AssignmentChange, BoxFuture, DedupeIndex, StoreError};
use sluice_telemetry::Registry;
use tokio::sync::mpsc;

use support::{BOTH, World, event, eventually, record, view, world};

/// An assignment that a test decides.
struct Decided {
    changes: tokio::sync::Mutex<mpsc::UnboundedReceiver<AssignmentChange>>,
    released: Mutex<Vec<u32>>,
}

impl Assignment for Decided {
    fn next(&self) -> BoxFuture<'_, Result<AssignmentChange, StoreError>> {
        Box::pin(async {
            match self.changes.lock().await.recv().await {
                Some(change) => Ok(change),
                None => std::future::pending().await,
            }
        })
    }

    fn released(&self, partitions: &[u32]) {
        self.released.lock().extend(partitions);
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

struct Worker {
    fan_out: FanOut,
    orders: mpsc::UnboundedSender<AssignmentChange>,
    assignment: Arc<Decided>,
    metrics: Registry,
}

impl Worker {
    /// A worker with an empty `D` of its own, which owns these.
    async fn start(world: &World, partitions: &[u32]) -> Self {
        let (orders, changes) = mpsc::unbounded_channel();
        let changes = tokio::sync::Mutex::new(changes);
        let assignment = Arc::new(Decided { changes, released: Mutex::default() });
        if !partitions.is_empty() {
            orders.send(AssignmentChange::Assigned(partitions.to_vec())).expect("it listens");
        }
        let dedupe: Arc<dyn DedupeIndex> = Arc::new(world.dedupe.of_another_worker());
        let metrics = Registry::new();
        let deps = FanOutDeps {
            log: world.log.clone(),
            dead_letter_log: world.dead.clone(),
            assignment: assignment.clone(),
            dedupe,
            documents: world.documents.clone(),
            rows: world.rows.clone(),
            clock: Arc::new(world.clock.clone()),
            metrics: metrics.clone(),
        };
        let fan_out = FanOut::start(world.config.clone(), deps).await.expect("starts");
        Self { fan_out, orders, assignment, metrics }
    }

    fn order(&self, change: AssignmentChange) {
        self.orders.send(change).expect("it listens");
    }

    async fn owns(&self, partitions: &[u32]) {
        eventually("owned", || self.fan_out.owned() == partitions).await;
    }

    /// Takes a partition from this worker as a rebalance does.
    async fn give_back(&self, partition: u32) {
        self.order(AssignmentChange::Revoked(vec![partition]));
        eventually("given back", || self.assignment.released.lock().contains(&partition)).await;
        self.assignment.released.lock().clear();
    }

    fn metric(&self, line: &str) -> f64 {
        let text = self.metrics.encode().expect("text");
        let found = text.lines().find_map(|held| held.strip_prefix(line));
        found.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
    }
}

/// Waits until the workers have taken and committed everything they own.
async fn settled(world: &World, workers: &[&Worker]) {
    eventually("everything taken and committed", || {
        let lanes: Vec<_> = workers.iter().flat_map(|it| it.fan_out.status().lanes).collect();
        let done = lanes.iter().all(|lane| lane.taken >= lane.end && lane.committed >= lane.end);
        done && lanes.len() == BOTH.len() * 2
    })
    .await;
    world.no_violations();
}

async fn views(world: &World, partition: u32, ids: std::ops::Range<u32>) {
    for n in ids {
        world.append(partition, &view(&format!("e-{partition}-{n}"))).await;
    }
}

#[tokio::test]
async fn a_partition_moves_and_copies_of_its_events_stay_copies() {
    let world = world(2);
    let one = Worker::start(&world, &[0, 1]).await;
    for partition in 0..2 {
        views(&world, partition, 0..20).await;
    }
    settled(&world, &[&one]).await;
    one.give_back(1).await;
    one.owns(&[0]).await;
    // While nobody owns it: copies, one of them with another content, and new ones.
    views(&world, 1, 10..30).await;
    let mut reused = event("e-1-3", "order", "device", 9);
    reused.fingerprint = 99;
    world.append(1, &record(vec![reused])).await;
    let other = Worker::start(&world, &[1]).await;
    settled(&world, &[&one, &other]).await;
    world.agrees();
    // Rebuilding `D` is not reading events anew.
    assert_eq!(other.metric("sluice_fanout_events_total{verdict=\"duplicate\"}"), 10.0);
    assert_eq!(other.metric("sluice_fanout_events_total{verdict=\"first\"}"), 10.0);
    assert_eq!(other.metric("sluice_fanout_events_total{verdict=\"id_reused\"}"), 1.0);
    assert_eq!(other.metric("sluice_fanout_dedupe_rebuild_records{partition=\"1\"}"), 0.0);
}

#[tokio::test]
async fn a_lost_partition_commits_nothing_more() {
    let world = world(2);
    let one = Worker::start(&world, &[0, 1]).await;
    views(&world, 1, 0..5).await;
    settled(&world, &[&one]).await;
    world.documents.script.always(Some(Fault::RetryBefore));
    views(&world, 1, 5..9).await;
    eventually("resolved", || one.fan_out.status().lanes.iter().any(|it| it.resolved == 9)).await;
    one.order(AssignmentChange::Lost(vec![1]));
    one.owns(&[0]).await;
    assert!(one.assignment.released.lock().is_empty(), "there is nobody to tell");
    world.documents.script.always(None);
    let other = Worker::start(&world, &[]).await;
    other.order(AssignmentChange::Assigned(vec![1]));
    settled(&world, &[&one, &other]).await;
    world.agrees();
}

/// What a worker held on to when it was stopped is still right when it comes back.
#[tokio::test]
async fn a_partition_that_comes_back_goes_on_from_the_index_left_behind() {
    let world = world(2);
    let one = Worker::start(&world, &[0, 1]).await;
    views(&world, 1, 0..10).await;
    settled(&world, &[&one]).await;
    one.give_back(1).await;
    let other = Worker::start(&world, &[1]).await;
    views(&world, 1, 5..20).await;
    settled(&world, &[&one, &other]).await;
    other.give_back(1).await;
    one.order(AssignmentChange::Assigned(vec![1]));
    views(&world, 1, 0..25).await;
    settled(&world, &[&one, &other]).await;
    world.agrees();
}

#[tokio::test]
async fn partitions_that_wander_under_load_lose_nothing() {
    let world = world(2);
    let workers = [
        Worker::start(&world, &[0]).await,
        Worker::start(&world, &[1]).await,
        Worker::start(&world, &[]).await,
    ];
    let mut owner = [0usize, 1];
    let mut seed = 7u64;
    let mut below = |bound: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % bound
    };
    for step in 0..60 {
        for partition in 0..2u32 {
            let from = below(40) as u32;
            views(&world, partition, from..from + 5 + step / 4).await;
        }
        let partition = below(2) as usize;
        let (from, to) = (owner[partition], below(3) as usize);
        if from == to {
            continue;
        }
        let ids = vec![partition as u32];
        match below(3) {
            0 => {
                workers[from].order(AssignmentChange::Lost(ids.clone()));
                eventually("lost", || !workers[from].fan_out.owned().contains(&ids[0])).await;
            }
            _ => workers[from].give_back(ids[0]).await,
        }
        workers[to].order(AssignmentChange::Assigned(ids));
        owner[partition] = to;
        tokio::time::sleep(Duration::from_millis(below(4))).await;
    }
    settled(&world, &workers.each_ref()).await;
    world.agrees();
    for worker in &workers {
        assert_eq!(worker.fan_out.status().fatal, None);
    }
}

/// A process that brings nothing in shows what is appended, copies once.
#[tokio::test]
async fn a_tail_shows_what_is_appended_while_somebody_watches() {
    let world = world(2);
    views(&world, 0, 0..3).await;
    let log: Arc<dyn sluice_seams::EventLog> = world.log.clone();
    let tail = Tail::start(&log, 64);
    let mut live = tail.live_sender().subscribe();
    // It looks four times a second whether somebody watches.
    tokio::time::sleep(Duration::from_millis(600)).await;
    views(&world, 1, 0..2).await;
    views(&world, 1, 0..3).await;
    world.append(1, &record(Vec::new())).await;
    let mut shown = Vec::new();
    while shown.len() < 3 {
        let event = tokio::time::timeout(Duration::from_secs(5), live.recv()).await;
        shown.push(event.expect("in time").expect("not behind").inner().id.clone());
    }
    assert_eq!(shown, ["e-1-0", "e-1-1", "e-1-2"]);
    assert!(live.try_recv().is_err(), "nothing twice, nothing old");
}
