//! The contract, and what is this adapter's own: early writes of the front,
//! left-over days, the window, the lock.

use sluice_seams::{Day, Position, Seen, Sighting};

use super::*;

fn small(dir: &std::path::Path) -> DedupeConfig {
    DedupeConfig { cache_bytes: 1 << 20, front_entries_max: 64, ..DedupeConfig::new(dir) }
}

fn fresh() -> impl Fn() -> EmbeddedDedupe {
    let dir = tempfile::tempdir().expect("a temporary folder");
    move || EmbeddedDedupe::open(small(dir.path())).expect("the index opens")
}

sluice_seams::dedupe_index_suite!(fresh);

fn sightings(keys: std::ops::Range<u128>, offset: u64) -> Vec<Sighting> {
    let sighting = |key| Sighting {
        key: Key(key),
        offset,
        index: key as u32,
        day: Day(20_777),
        fingerprint: key as u64,
    };
    keys.map(sighting).collect()
}

fn resolve(owner: &mut dyn DedupePartition, at_ms: i64, sightings: &[Sighting]) -> Vec<Seen> {
    let mut verdicts = Vec::new();
    owner.resolve(at_ms, sightings, &mut verdicts).expect("resolve succeeds");
    verdicts
}

/// A front past its bound is written without the offset; resolving the stretch
/// again after a restart meets its own positions.
#[test]
fn entries_written_early_answer_the_same_again() {
    let open = fresh();
    let record = sightings(0..500, 7);
    for _ in 0..2 {
        let index = open();
        let mut owner = index.open(0).expect("the partition opens");
        assert_eq!(owner.resolved(), 0);
        assert!(
            owner.get(Key(499)).expect("get succeeds").is_none_or(
                |first| first.position == Position { partition: 0, offset: 7, index: 499 }
            )
        );
        assert_eq!(resolve(&mut *owner, DAY_MS, &record), vec![Seen::First(Day(20_777)); 500]);
    }
}

/// `find` sees what is not persisted yet, too.
#[test]
fn find_sees_the_front() {
    let open = fresh();
    let index = open();
    let mut owner = index.open(4).expect("the partition opens");
    resolve(&mut *owner, DAY_MS, &sightings(1..2, 0));
    let found = index.find(Key(1)).expect("find succeeds").expect("resolved a moment ago");
    assert_eq!(found.position, Position { partition: 4, offset: 0, index: 1 });
}

/// Without any call of `expire`, days older than the window go, from disk too.
#[test]
fn the_window_bounds_the_days_kept() {
    let open = fresh();
    let index = open();
    let mut owner = index.open(0).expect("the partition opens");
    for day in 0..30u64 {
        let key = u128::from(day);
        resolve(&mut *owner, (100 + day as i64) * DAY_MS, &sightings(key..key + 1, day));
        owner.persist(day + 1).expect("persist succeeds");
    }
    let held: Vec<bool> =
        (0..30).map(|key| owner.get(Key(key)).expect("get succeeds").is_some()).collect();
    assert_eq!(held.iter().position(|held| *held), Some(22), "the last 7 days and today");
    assert!(held[22..].iter().all(|held| *held));
    assert_eq!(index.shared.database.keyspace_count(), 9, "eight days and `meta`");
}

/// An owner that asks for expiry and crashes before it persists has expired nothing.
#[test]
fn expiry_without_persist_is_none() {
    let open = fresh();
    {
        let index = open();
        let mut owner = index.open(0).expect("the partition opens");
        resolve(&mut *owner, 100 * DAY_MS, &sightings(0..1, 0));
        owner.persist(1).expect("persist succeeds");
        owner.expire(200 * DAY_MS).expect("expire succeeds");
        assert!(owner.get(Key(0)).expect("get succeeds").is_some());
    }
    let index = open();
    assert!(index.find(Key(0)).expect("find succeeds").is_some());
}

#[test]
fn a_second_process_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let _held = EmbeddedDedupe::open(small(dir.path())).expect("the index opens");
    match EmbeddedDedupe::open(small(dir.path())) {
        Err(StoreError::Refused(detail)) => assert!(detail.contains("in use"), "{detail}"),
        Err(other) => panic!("refused for another reason: {other}"),
        Ok(_) => panic!("opened twice"),
    }
}

#[test]
fn another_format_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    {
        let index = EmbeddedDedupe::open(small(dir.path())).expect("the index opens");
        index.shared.meta.insert(FORMAT_KEY, [9]).expect("insert succeeds");
    }
    let error = EmbeddedDedupe::open(small(dir.path())).err().expect("format 9 is refused");
    assert!(matches!(&error, StoreError::Refused(detail) if detail.contains("[9]")), "{error}");
}

#[test]
fn a_window_below_a_day_is_refused() {
    let config = DedupeConfig { window_ms: 1, ..DedupeConfig::new("unused") };
    assert!(matches!(EmbeddedDedupe::open(config), Err(StoreError::Refused(_))));
}

/// After an I/O error every call fails, on every partition.
#[test]
fn an_error_stays() {
    let open = fresh();
    let index = open();
    let mut owner = index.open(0).expect("the partition opens");
    index.shared.poison.mark("persist entries and offset", &"No space left on device");
    let poisoned = |result| matches!(result, Err(StoreError::Poisoned(_)));
    assert!(poisoned(owner.persist(1)));
    assert!(poisoned(owner.resolve(0, &[], &mut Vec::new())));
    assert!(poisoned(index.find(Key(0)).map(drop)));
    assert!(poisoned(index.open(1).map(drop)));
}
