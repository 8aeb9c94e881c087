//! Crashes of the machine, by the hundred: what was not synced is cut at a random
//! place, and everything acknowledged must still be there, once and in order.

use std::fs::{self, OpenOptions};

use proptest::prelude::*;

use super::*;

/// One life of the process.
#[derive(Debug, Clone)]
struct Life {
    /// Sizes of bursts; each is awaited before the next.
    bursts: Vec<u64>,
    /// Records in flight when the machine goes.
    in_flight: u64,
    /// How much of each unsynced tail survives, of 256.
    survives: u8,
    /// The disk is gone before (or only after) the last records are handed over.
    gone_first: bool,
}

fn life() -> impl Strategy<Value = Life> {
    (prop::collection::vec(1u64..60, 0..6), 0u64..60, any::<u8>(), any::<bool>()).prop_map(
        |(bursts, in_flight, survives, gone_first)| Life {
            bursts,
            in_flight,
            survives,
            gone_first,
        },
    )
}

/// What the callers know.
#[derive(Debug, Default)]
struct Known {
    handed_over: u64,
    acknowledged: Vec<(u64, u64)>,
}

async fn live(place: &Place, life: &Life, known: &mut Known) {
    place.disk.set(Wrong::Nothing);
    let log = place.open();
    let records = read(&log).await;
    let numbers: Vec<u64> = records.iter().map(number).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "out of order or doubled: {numbers:?}");
    assert!(numbers.iter().all(|&n| n < known.handed_over), "nobody wrote that: {numbers:?}");
    for &(n, offset) in &known.acknowledged {
        let found = records.iter().find(|record| record.offset == offset);
        assert_eq!(found.map(number), Some(n), "lost record {n} at offset {offset}");
    }
    for &burst in &life.bursts {
        hand_over(&log, burst, known, |_| ()).await;
    }
    hand_over(&log, life.in_flight, known, |early| {
        if early == life.gone_first {
            place.disk.set(Wrong::Gone);
        }
    })
    .await;
    place.disk.set(Wrong::Gone);
    drop(log);
    cut_unsynced(place, life.survives);
}

/// Hands a burst over; `crash` is called before and after the calls.
async fn hand_over(log: &EmbeddedLog, count: u64, known: &mut Known, crash: impl Fn(bool)) {
    crash(true);
    let numbers = known.handed_over..known.handed_over + count;
    known.handed_over += count;
    let appends: Vec<_> = numbers.map(|n| (n, log.append(0, payload(n)))).collect();
    crash(false);
    for (n, append) in appends {
        if let Ok(offset) = append.await {
            known.acknowledged.push((n, offset));
        }
    }
}

fn number(record: &LogRecord) -> u64 {
    record.payload[..8].iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn cut_unsynced(place: &Place, survives: u8) {
    for path in place.segments(0) {
        let synced = place.disk.synced.lock().get(&path).copied().unwrap_or(0);
        let len = fs::metadata(&path).expect("metadata").len();
        assert!(synced <= len, "synced bytes are never taken back");
        let keep = synced + (len - synced) * u64::from(survives) / 256;
        let file = OpenOptions::new().write(true).open(&path).expect("open");
        file.set_len(keep).expect("cut");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn nothing_acknowledged_is_lost(lives in prop::collection::vec(life(), 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("runtime").block_on(async {
            let place = Place::new();
            let mut known = Known::default();
            for life in &lives {
                live(&place, life, &mut known).await;
            }
            let last = Life { bursts: vec![], in_flight: 0, survives: 0, gone_first: true };
            live(&place, &last, &mut known).await;
        });
    }
}
