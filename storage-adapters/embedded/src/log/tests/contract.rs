//! The contract of every event log, and the details that only this one has.

use futures::FutureExt;
use sluice_seams::BoxFuture;
use sluice_seams::contract::event_log::{self as contract, Fixture};

use super::*;

struct Embedded {
    place: Place,
    log: Option<EmbeddedLog>,
}

fn embedded() -> Embedded {
    let place = Place::new();
    let log = Some(place.open());
    Embedded { place, log }
}

impl Fixture for Embedded {
    fn log(&self) -> Arc<dyn EventLog> {
        Arc::new(self.log.clone().expect("open"))
    }

    fn reopen(&mut self) -> BoxFuture<'_, Option<()>> {
        async move {
            if let Some(log) = self.log.take() {
                log.close().await.expect("close");
            }
            self.log = Some(self.place.open());
            Some(())
        }
        .boxed()
    }

    fn set_now_ms(&self, now_ms: i64) {
        self.place.now_ms.store(now_ms, Ordering::Relaxed);
    }

    fn retain(&self) -> BoxFuture<'_, ()> {
        async move {
            // The first round asks the writer to seal what is stale.
            for _ in 0..3 {
                self.log.as_ref().expect("open").housekeep().expect("housekeep");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
        .boxed()
    }
}

macro_rules! duties {
    ($($duty:ident)*) => {$(
        #[tokio::test]
        async fn $duty() {
            contract::$duty(embedded()).await;
        }
    )*};
}

duties! {
    keeps_order reads_from_anywhere keeps_any_payload wakes_who_waits finds_a_time
    delivers_without_the_future serves_many_callers commits_rise survives_a_restart
    retention_waits_for_lanes closes refuses_nonsense
}

#[tokio::test]
async fn one_process_at_a_time() {
    let place = Place::new();
    let log = place.open();
    let error = place.refused();
    let pid = std::process::id();
    assert!(matches!(error, OpenError::Locked { pid: Some(found), .. } if found == pid), "{error}");
    drop(log);
    place.open();
}

#[tokio::test]
async fn the_number_of_partitions_is_fixed() {
    let place = Place::new();
    drop(place.open());
    let mut config = place.config();
    config.partitions = 3;
    let error = EmbeddedLog::open(config).expect_err("another number");
    assert!(matches!(error, OpenError::Partitions { found: 2, wanted: 3, .. }), "{error}");
}

#[tokio::test]
async fn a_lost_description_is_not_made_anew() {
    let place = Place::new();
    append(&place.open(), 0..1).await;
    std::fs::remove_file(place.log_dir().join("meta.json")).expect("remove");
    assert!(matches!(place.refused(), OpenError::Format { .. }));
}

#[tokio::test]
async fn another_format_is_refused() {
    let place = Place::new();
    drop(place.open());
    let path = place.log_dir().join("meta.json");
    let text = std::fs::read_to_string(&path).expect("read");
    std::fs::write(&path, text.replace("\"format\":1", "\"format\":2")).expect("write");
    let error = place.refused().to_string();
    assert!(error.contains("format 2") && error.contains("format 1 only"), "{error}");
}

#[tokio::test]
async fn a_group_costs_one_sync_a_partition() {
    let place = Place::new();
    let log = place.open_wide().expect("open");
    append(&log, 0..1).await;
    let before = place.disk.syncs.load(Ordering::Relaxed);
    append(&log, 1..1001).await;
    let syncs = place.disk.syncs.load(Ordering::Relaxed) - before;
    let figures = log.figures();
    assert_eq!(figures.records, 1001);
    assert!(syncs <= 100, "{syncs} syncs for 1000 records handed over at once");
    assert_eq!(figures.queue_bytes, 0);
}

#[tokio::test]
async fn retention_by_size_drops_the_oldest() {
    let place = Place::new();
    let mut config = place.config();
    config.retention_bytes = Some(20_000);
    let log = EmbeddedLog::open(config).expect("open");
    append(&log, 0..2000).await;
    let retained = log.housekeep().expect("housekeep");
    assert!(retained.dropped_segments > 0);
    let bytes = log.status().disk_bytes.expect("known");
    assert!((16_000..=20_000).contains(&bytes), "{bytes} bytes are left");
    let (first, end) = log.bounds(0);
    assert_holds(&log, first..end).await;
}

#[tokio::test]
async fn an_idle_partition_lets_go_of_old_records() {
    let place = Place::new();
    let log = place.open();
    append(&log, 0..3).await;
    place.now_ms.store(600_000, Ordering::Relaxed);
    for _ in 0..100 {
        log.housekeep().expect("housekeep");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        if log.bounds(0) == (3, 3) {
            break;
        }
    }
    assert_eq!(log.bounds(0), (3, 3));
    place.now_ms.store(0, Ordering::Relaxed);
    drop(log);
    let log = place.open();
    append(&log, 3..4).await;
    assert_holds(&log, 3..4).await;
}

#[tokio::test]
async fn finds_times_and_offsets_across_segments_after_a_restart() {
    let place = Place::new();
    let log = place.open();
    for n in 0..300 {
        place.now_ms.store(n as i64 * 10, Ordering::Relaxed);
        append(&log, n..n + 1).await;
    }
    drop(log);
    let log = place.open();
    assert!(place.segments(0).len() > 3);
    for n in (0..300).rev() {
        assert_eq!(log.offset_at(0, n as i64 * 10).await.expect("offset_at"), n);
        assert_eq!(log.offset_at(0, n as i64 * 10 - 9).await.expect("offset_at"), n);
        let records = log.read(0, n, 1).await.expect("read");
        assert_eq!((records[0].offset, &records[0].payload), (n, &payload(n)));
    }
}

#[tokio::test]
async fn a_forgotten_lane_holds_nothing_back() {
    let place = Place::new();
    let log = place.open();
    append(&log, 0..500).await;
    log.declare_lane("old").expect("declare");
    place.now_ms.store(600_000, Ordering::Relaxed);
    assert_eq!(log.housekeep().expect("housekeep").dropped_segments, 0);
    log.forget_lane("old").await.expect("forget");
    assert!(log.housekeep().expect("housekeep").dropped_segments > 0);
}
