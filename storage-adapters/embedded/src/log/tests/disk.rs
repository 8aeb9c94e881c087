//! A disk that fails or fills up: nothing acknowledged is lost, nothing more is
//! taken, and the status says why.

use sluice_seams::{AppendError, StoreError};

use super::*;

/// Fails one append after ten good ones; then checks that the log is closed for
/// good and, opened again, holds exactly what `kept` says at least.
async fn poisoned_by(wrong: Wrong) {
    let place = Place::new();
    let log = place.open();
    append(&log, 0..10).await;
    assert_eq!(log.poisoned(), None);
    place.disk.set(wrong);
    let failed = log.append(0, payload(10)).await;
    assert!(matches!(failed, Err(AppendError::Unknown(_))), "{failed:?}");
    place.disk.set(Wrong::Nothing);
    for partition in 0..2 {
        let later = log.append(partition, payload(11)).await;
        assert!(matches!(later, Err(AppendError::Poisoned(_))), "the disk is well: {later:?}");
    }
    assert!(log.status().refusing.expect("refuses").contains("until the process is started anew"));
    assert_eq!(log.poisoned(), log.status().refusing);
    let commit = log.commit("documents", 0, 1).await;
    assert!(matches!(commit, Err(StoreError::Poisoned(_))), "{commit:?}");
    assert_eq!(log.bounds(0).1, 10, "readers see what was acknowledged");
    assert_holds(&log, 0..10).await;
    assert!(log.close().await.is_err());
    drop(log);
    let log = place.open();
    assert_holds(&log, 0..10).await;
    append(&log, 10..12).await;
    assert_holds(&log, 0..12).await;
}

#[tokio::test]
async fn a_failed_sync_poisons() {
    poisoned_by(Wrong::Sync).await;
}

#[tokio::test]
async fn a_short_write_poisons() {
    poisoned_by(Wrong::ShortWrite).await;
}

#[tokio::test]
async fn a_disk_that_is_gone_poisons() {
    poisoned_by(Wrong::Gone).await;
}

#[tokio::test]
async fn what_waits_behind_a_failure_is_refused_not_lost() {
    let place = Place::new();
    let mut config = place.config();
    config.group_bytes_max = 1;
    let log = EmbeddedLog::open(config).expect("open");
    place.disk.set(Wrong::Sync);
    let appends: Vec<_> = (0..50).map(|n| log.append(0, payload(n))).collect();
    let mut unknown = 0;
    for append in appends {
        match append.await {
            Err(AppendError::Unknown(_)) => unknown += 1,
            Err(AppendError::Poisoned(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(unknown, 1, "only the group that failed is in doubt");
}

#[tokio::test]
async fn a_failed_commit_poisons() {
    let place = Place::new();
    let log = place.open();
    append(&log, 0..3).await;
    log.commit("documents", 0, 1).await.expect("commit");
    place.disk.set(Wrong::Sync);
    let commit = log.commit("documents", 0, 2).await;
    assert!(matches!(commit, Err(StoreError::Poisoned(_))), "{commit:?}");
    place.disk.set(Wrong::Nothing);
    assert!(matches!(log.append(0, payload(3)).await, Err(AppendError::Poisoned(_))));
    assert!(matches!(log.declare_lane("rows"), Err(StoreError::Poisoned(_))));
    drop(log);
    let committed = place.open().committed("documents", 0).expect("committed");
    assert_eq!(committed, Some(1), "what was acknowledged");
}

#[tokio::test]
async fn refuses_before_the_disk_is_full_and_recovers() {
    let place = Place::new();
    let mut config = place.config();
    config.disk_reserve_bytes = Some(1_000_000);
    let log = EmbeddedLog::open(config).expect("open");
    append(&log, 0..3).await;
    place.disk.free_bytes.store(1_000_010, Ordering::Relaxed);
    assert!(log.status().refusing.is_none());
    let refused = log.append(0, payload(3)).await;
    assert!(matches!(refused, Err(AppendError::NotWritten { .. })), "{refused:?}");
    place.disk.free_bytes.store(999_999, Ordering::Relaxed);
    let why = log.status().refusing.expect("refuses");
    assert!(why.contains("999999 bytes free") && why.contains("1000000 must stay"), "{why}");
    log.commit("documents", 0, 3).await.expect("lanes still go on");
    assert_holds(&log, 0..3).await;
    place.disk.free_bytes.store(2_000_000, Ordering::Relaxed);
    assert!(log.status().refusing.is_none());
    append(&log, 3..5).await;
    assert_holds(&log, 0..5).await;
}

#[test]
fn the_reserve_fits_the_disk() {
    let place = Place::new();
    let reserve =
        |total_bytes| place.config().disk_reserve(DiskSpace { free_bytes: 0, total_bytes });
    assert_eq!(reserve(1 << 40), 1 << 30);
    assert_eq!(reserve(2_000_000_000), 100_000_000, "a small disk");
}

#[tokio::test]
async fn a_full_queue_refuses_and_recovers() {
    let place = Place::new();
    let mut config = place.config();
    config.queue_bytes_max = 1000;
    let log = EmbeddedLog::open(config).expect("open");
    let large = Bytes::from(vec![0; 5000]);
    log.append(0, large.clone()).await.expect("a large record is taken alone");
    let appends: Vec<_> = (0..1000).map(|_| log.append(0, Bytes::from(vec![0; 400]))).collect();
    let (mut taken, mut refused) = (0, 0);
    for append in appends {
        match append.await {
            Ok(_) => taken += 1,
            Err(AppendError::NotWritten { .. }) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(taken >= 2 && refused >= 1, "{taken} taken, {refused} refused");
    log.append(0, large).await.expect("once the queue is empty");
    assert_eq!(log.bounds(0).1, taken + 2);
}

#[tokio::test]
async fn settings_out_of_range_are_refused() {
    let place = Place::new();
    for change in [
        (|config: &mut LogConfig| config.partitions = 0) as fn(&mut LogConfig),
        |config| config.partitions = 1025,
        |config| config.segment_bytes_max = 1,
        |config| config.queue_bytes_max = 0,
    ] {
        let mut config = place.config();
        change(&mut config);
        let error = EmbeddedLog::open(config).expect_err("out of range");
        assert!(matches!(error, OpenError::Config(_)), "{error}");
    }
    assert!(!place.log_dir().exists(), "a refusal makes nothing");
    let log = place.open();
    let oversize = log.append(0, Bytes::from(vec![0; super::super::RECORD_BYTES_MAX + 1])).await;
    assert!(matches!(oversize, Err(AppendError::NotWritten { .. })), "{oversize:?}");
}
