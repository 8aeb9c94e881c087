//! Torn tails are cut; damage is refused, named and repaired.

use std::fs;

use sluice_seams::StoreError;

use super::*;
use crate::log::frame::HEAD_BYTES;
use crate::log::repair;

async fn filled(records: u64) -> (Place, PathBuf, Vec<u8>) {
    let place = Place::new();
    let log = place.open_wide().expect("open");
    append(&log, 0..records).await;
    log.close().await.expect("close");
    let path = place.segments(0)[0].clone();
    let bytes = fs::read(&path).expect("read");
    (place, path, bytes)
}

#[tokio::test]
async fn a_tail_torn_at_any_byte_is_cut() {
    let (place, path, bytes) = filled(5).await;
    let last = bytes.len() - HEAD_BYTES - payload(4).len();
    for len in last..bytes.len() {
        for rest in [0, 7, 100] {
            fs::write(&path, [&bytes[..len], &vec![0; rest][..]].concat()).expect("write");
            let log = place.open_wide().expect("a torn tail is cut");
            assert_holds(&log, 0..4).await;
            append(&log, 4..6).await;
            log.close().await.expect("close");
            drop(log);
            assert_holds(&place.open_wide().expect("open"), 0..6).await;
        }
    }
}

#[tokio::test]
async fn any_flipped_byte_before_the_tail_is_refused_and_repaired() {
    let (place, path, bytes) = filled(4).await;
    let last = bytes.len() - HEAD_BYTES - payload(3).len();
    for at in 0..last {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x40;
        fs::write(&path, &flipped).expect("write");
        let error = place.open_wide().expect_err("damage");
        let OpenError::Damaged { path: named, position, command, .. } = &error else {
            panic!("byte {at}: {error}");
        };
        assert_eq!(named, &path);
        assert!(*position <= at as u64, "byte {at}: told as {position}");
        let expected =
            format!("sluice doctor --repair-log --data-dir {}", place.dir.path().display());
        assert_eq!(command, &expected);
        assert!(error.to_string().contains(&expected), "{error}");
        assert_eq!(fs::read(&path).expect("read"), flipped, "a refusal changes nothing");
        if at % 7 == 0 {
            repaired(&place, at).await;
        }
    }
}

/// Repairs, and checks that all but the record at byte `at` are there.
async fn repaired(place: &Place, at: usize) {
    let report = repair(&place.log_dir()).expect("repair");
    assert_eq!(report.stretches.len(), 1, "byte {at}: {report:?}");
    let kept = report.stretches[0].kept_in.as_ref().expect("bytes are kept");
    assert_eq!(fs::metadata(kept).expect("kept").len(), report.stretches[0].bytes);
    let log = place.open_wide().expect("repaired");
    let records = read(&log).await;
    assert!(records.len() as u64 >= 4 - report.stretches[0].offsets_lost);
    assert_eq!(records.len() as u64 + report.stretches[0].offsets_lost, 4);
    assert!(records.iter().all(|record| record.payload == payload(record.offset)));
    append(&log, 4..5).await;
    assert_eq!(read(&log).await.last().map(|record| record.offset), Some(4));
    log.close().await.expect("close");
    drop(log);
    let again = repair(&place.log_dir()).expect("repair");
    assert_eq!(again.stretches, [], "nothing is left to repair");
}

/// Many sealed segments, the third of which is then changed.
async fn sealed(change: impl FnOnce(&mut Vec<u8>)) -> (Place, PathBuf) {
    let place = Place::new();
    let log = place.open();
    append(&log, 0..500).await;
    log.close().await.expect("close");
    let path = place.segments(0)[2].clone();
    let mut bytes = fs::read(&path).expect("read");
    change(&mut bytes);
    fs::write(&path, &bytes).expect("write");
    (place, path)
}

async fn refused_when_read_then_repaired(place: Place, path: PathBuf) {
    let log = place.open();
    let (mut from, end) = log.bounds(0);
    let mut seen = 0;
    let error = loop {
        assert!(from < end, "read past the damage");
        match log.read(0, from, 500).await {
            Err(error) => break error,
            Ok(records) => {
                assert_eq!(records[0].offset, from, "skipped in silence");
                from = records.last().expect("records").offset + 1;
                seen += records.len();
            }
        }
    };
    assert!(seen > 50, "what lies before the damage is readable");
    let StoreError::Poisoned(text) = &error else { panic!("{error:?}") };
    assert!(text.contains(&path.display().to_string()), "{text}");
    assert!(text.contains("sluice doctor --repair-log --data-dir "), "{text}");
    drop(log);
    let report = repair(&place.log_dir()).expect("repair");
    let lost: u64 = report.stretches.iter().map(|stretch| stretch.offsets_lost).sum();
    let log = place.open();
    let records = read(&log).await;
    assert!(lost > 0);
    assert_eq!(records.len() as u64 + lost, 500);
    assert!(records.iter().all(|record| record.payload == payload(record.offset)));
    let from_gap = log.read(0, from, 1).await.expect("read");
    assert!(from_gap[0].offset >= from);
}

#[tokio::test]
async fn a_flip_in_a_sealed_segment_is_found_when_read() {
    // In the payload of its first frame, and in the head of its second.
    for in_second in [false, true] {
        let (place, path) = sealed(|bytes| {
            let frame = HEAD_BYTES + usize::from(bytes[40]);
            bytes[if in_second { 32 + frame } else { 32 + HEAD_BYTES + 1 }] ^= 1;
        })
        .await;
        refused_when_read_then_repaired(place, path).await;
    }
}

#[tokio::test]
async fn a_shortened_sealed_segment_is_found_when_read() {
    let (place, path) = sealed(|bytes| bytes.truncate(bytes.len() / 2)).await;
    refused_when_read_then_repaired(place, path).await;
}

#[tokio::test]
async fn a_sealed_segment_that_ends_between_frames_is_found_when_read() {
    let (place, path) = sealed(|bytes| {
        let frames = HEAD_BYTES + HEAD_BYTES + u32::from_le_bytes([bytes[40], 0, 0, 0]) as usize;
        bytes.truncate(frames);
    })
    .await;
    refused_when_read_then_repaired(place, path).await;
}

#[tokio::test]
async fn a_missing_segment_is_found_when_read() {
    let (place, path) = sealed(|_| ()).await;
    fs::remove_file(&path).expect("remove");
    let before = place.segments(0)[1].clone();
    refused_when_read_then_repaired(place, before).await;
}

#[tokio::test]
async fn offsets_that_a_lane_has_taken_are_not_given_out_again() {
    let (place, path, bytes) = filled(10).await;
    let log = place.open_wide().expect("open");
    log.commit("documents", 0, 10).await.expect("commit");
    drop(log);
    fs::write(&path, &bytes[..bytes.len() - 1]).expect("write");
    let log = place.open_wide().expect("open");
    assert_eq!(log.bounds(0).1, 10);
    assert_eq!(log.append(0, payload(10)).await.expect("append"), 10);
    assert_holds(&log, (0..9).chain([10])).await;
    drop(log);
    assert_holds(&place.open_wide().expect("open"), (0..9).chain([10])).await;
}

#[tokio::test]
async fn damaged_commits_are_refused() {
    let (place, ..) = filled(10).await;
    let log = place.open_wide().expect("open");
    log.commit("documents", 0, 5).await.expect("commit");
    drop(log);
    let path = place.log_dir().join("commits");
    let text = fs::read_to_string(&path).expect("read");
    fs::write(&path, text.replace('5', "6")).expect("write");
    let error = place.refused();
    assert!(matches!(&error, OpenError::Damaged { path: named, .. } if *named == path), "{error}");
    let report = repair(&place.log_dir()).expect("repair");
    assert_eq!(report.stretches.len(), 1);
    let log = place.open_wide().expect("open");
    assert_eq!(log.committed("documents", 0).expect("committed"), None, "lanes begin anew");
}

#[tokio::test]
async fn a_log_in_use_is_not_repaired() {
    let place = Place::new();
    let log = place.open();
    assert!(matches!(repair(&place.log_dir()), Err(OpenError::Locked { .. })));
    drop(log);
}
