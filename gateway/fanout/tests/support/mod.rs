//! What outlives a crash: a log, stores that keep a ledger, `D`; and fan out
//! started on them as often as a test likes.
//!
//! The checks stand outside of the code they check: [`log::Log`] looks at every
//! commit, against what the stores themselves wrote down and what `D` persisted;
//! [`reference`] folds the log by event ids, not by keys.

#![allow(dead_code, missing_docs)] // each test file uses a part

pub mod log;
pub mod reference;
pub mod stores;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use sluice_fanout::{DOCUMENTS_LANE, FanOut, FanOutConfig, FanOutDeps, LaneConfig, ROWS_LANE};
use sluice_memory::dedupe::MemoryDedupe;
use sluice_memory::fault::Script;
use sluice_proto::v1::{BatchRecord, Envelope, Event, RecordEvent};
use sluice_seams::key::AppHash;
use sluice_seams::{Assignment, Day, EventLog, StaticAssignment};
use sluice_telemetry::{ManualClock, Registry};

use log::{Log, WatchedDedupe};
use stores::{LedgerDocuments, LedgerRows};

pub const NOW_MS: i64 = 1_795_190_400_000;

/// Everything that outlives a crash.
pub struct World {
    pub log: Arc<Log>,
    pub dead: Arc<Log>,
    pub dedupe: Arc<WatchedDedupe>,
    pub dedupe_script: Script,
    pub documents: Arc<LedgerDocuments>,
    pub rows: Arc<LedgerRows>,
    pub clock: ManualClock,
    pub config: FanOutConfig,
    /// Who owns what; all partitions where there is none.
    pub assignment: Option<Arc<dyn Assignment>>,
    /// Of the last start.
    pub metrics: parking_lot::Mutex<Registry>,
}

pub fn world(partitions: u32) -> World {
    let lane = LaneConfig {
        batch_events_max: 7,
        linger_ms: 1,
        commit_interval_ms: 1,
        retry_min_ms: 1,
        retry_max_ms: 4,
        ..LaneConfig::default()
    };
    let config = FanOutConfig {
        persist_interval_ms: 2,
        documents: lane.clone(),
        rows: lane,
        ..FanOutConfig::default()
    };
    let clock = ManualClock::at(NOW_MS);
    let dedupe_script = Script::default();
    let dedupe = Arc::new(WatchedDedupe::new(MemoryDedupe::with_script(dedupe_script.clone())));
    let documents = Arc::new(LedgerDocuments::default());
    let rows = Arc::new(LedgerRows::default());
    let dead = Arc::new(Log::new(1, clock.clone()));
    let log = Log::new(partitions, clock.clone());
    let log = Arc::new(log.checked(
        Arc::clone(&dedupe),
        Arc::clone(&documents),
        Arc::clone(&rows),
        Arc::clone(&dead),
    ));
    let metrics = parking_lot::Mutex::default();
    World {
        log,
        dead,
        dedupe,
        dedupe_script,
        documents,
        rows,
        clock,
        config,
        assignment: None,
        metrics,
    }
}

impl World {
    /// Starts fan out; waits for an owner that crashed to let go of `D`.
    pub async fn start(&self) -> FanOut {
        for _ in 0..2_000 {
            *self.metrics.lock() = Registry::new();
            let deps = FanOutDeps {
                log: self.log.clone(),
                dead_letter_log: self.dead.clone(),
                assignment: self.assignment(),
                dedupe: self.dedupe.clone(),
                documents: self.documents.clone(),
                rows: self.rows.clone(),
                clock: Arc::new(self.clock.clone()),
                metrics: self.metrics.lock().clone(),
            };
            match FanOut::start(self.config.clone(), deps).await {
                Ok(fan_out) => return fan_out,
                Err(error) => assert!(error.to_string().contains("owner"), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("a crashed owner never let go");
    }

    /// All partitions, or what a test decides.
    fn assignment(&self) -> Arc<dyn Assignment> {
        match &self.assignment {
            Some(assignment) => Arc::clone(assignment),
            None => Arc::new(StaticAssignment::all(self.log.partitions())),
        }
    }

    pub async fn append(&self, partition: u32, record: &BatchRecord) -> u64 {
        let payload = Bytes::from(record.encode_to_vec());
        self.log.append(partition, payload).await.expect("this log takes everything")
    }

    /// Waits until both lanes have taken and committed everything.
    pub async fn settled(&self, fan_out: &FanOut) {
        eventually("everything taken and committed", || {
            let lanes = fan_out.status().lanes;
            lanes.iter().all(|lane| lane.taken >= lane.end && lane.committed >= lane.end)
        })
        .await;
        self.no_violations();
    }

    /// The value of a metric, by its line without the value.
    pub fn metric(&self, line: &str) -> Option<f64> {
        let text = self.metrics.lock().encode().expect("text");
        let found = text.lines().find_map(|held| held.strip_prefix(line))?;
        found.trim().parse().ok()
    }

    /// Asserts that both stores hold exactly what the log says they should.
    pub fn agrees(&self) {
        self.no_violations();
        let (documents, rows) = reference::fold(&self.log);
        assert_eq!(self.documents.state(), documents);
        assert_eq!(self.rows.state(), rows);
    }

    pub fn no_violations(&self) {
        assert_eq!(self.log.violations(), Vec::<String>::new());
    }
}

pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("did not come true within ten seconds: {what}");
}

/// A record of app `demo`.
pub fn record(events: Vec<RecordEvent>) -> BatchRecord {
    BatchRecord {
        envelope: Some(Envelope { app_id: "demo".to_owned(), ..Envelope::default() }),
        received_at: NOW_MS,
        source: "native".to_owned(),
        events,
    }
}

/// An event named `name` of device `device` at `NOW_MS + ms`.
pub fn event(id: &str, name: &str, device: &str, ms: i64) -> RecordEvent {
    RecordEvent {
        key: AppHash::of("demo").key(id).to_bytes().to_vec().into(),
        event: Some(Event {
            id: id.to_owned(),
            name: name.to_owned(),
            device_id: device.to_owned(),
            time: NOW_MS + ms,
            ..Event::default()
        }),
        time_corrected: NOW_MS + ms,
        day: Day::of(NOW_MS + ms).0,
        fingerprint: 1,
        flags: 0,
    }
}

/// A record of one page view.
pub fn view(id: &str) -> BatchRecord {
    record(vec![event(id, "page_view", "device", 0)])
}

pub const BOTH: [&str; 2] = [DOCUMENTS_LANE, ROWS_LANE];
