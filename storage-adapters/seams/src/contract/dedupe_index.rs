//! What every [`DedupeIndex`] is held to.
//!
//! Each function takes `fresh`, which makes a new empty place and returns
//! `open`: every call of `open` opens that same place again, as after a restart.
//! An index and its owners are dropped before the next `open`. The macro
//! [`dedupe_index_suite`](crate::dedupe_index_suite) makes a test of each.

use crate::key::DAY_MS;
use crate::{Day, DedupeIndex, DedupePartition, First, Key, Position, Seen, Sighting, StoreError};

/// A time of append at which the suites begin: 2026-11-20 00:00 UTC.
const LOG_MS: i64 = 20_777 * DAY_MS;

/// Makes one test of every function of the suite. `$fresh` is a function as the
/// module's page describes it.
#[macro_export]
macro_rules! dedupe_index_suite {
    ($fresh:expr) => {
        $crate::dedupe_index_suite!(
            $fresh, first_then_duplicate_then_reused, equal_keys_in_one_call,
            own_position_keeps_the_held_day, replay_after_partial_persist,
            unpersisted_stretch_is_resolved_again, persisted_state_survives,
            expiry_forgets_whole_days, expiry_survives, one_owner_a_partition,
            partitions_are_apart, find_crosses_partitions, many_keys_over_many_days
        );
    };
    ($fresh:expr, $($name:ident),+) => {
        $(
            #[tokio::test]
            async fn $name() {
                $crate::contract::dedupe_index::$name($fresh).await;
            }
        )+
    };
}

/// A sighting of key `n` with its usual day and content.
fn sighting(n: u128, offset: u64, index: u32) -> Sighting {
    Sighting { key: Key(n), offset, index, day: Day(20_000), fingerprint: n as u64 }
}

fn first(partition: u32, sighting: &Sighting) -> First {
    First {
        position: Position { partition, offset: sighting.offset, index: sighting.index },
        day: sighting.day,
        fingerprint: sighting.fingerprint,
    }
}

fn resolve(owner: &mut dyn DedupePartition, at_ms: i64, sightings: &[Sighting]) -> Vec<Seen> {
    let mut verdicts = Vec::new();
    owner.resolve(at_ms, sightings, &mut verdicts).expect("resolve succeeds");
    assert_eq!(verdicts.len(), sightings.len(), "one verdict a sighting");
    verdicts
}

/// The three verdicts, and that the first copy is what stays.
pub async fn first_then_duplicate_then_reused<I: DedupeIndex, O: Fn() -> I>(fresh: impl Fn() -> O) {
    let open = fresh();
    let index = open();
    let mut owner = index.open(0).expect("a free partition opens");
    let (a, again) = (sighting(1, 5, 0), sighting(1, 6, 3));
    let other = Sighting { fingerprint: 99, ..sighting(1, 7, 0) };
    assert_eq!(resolve(&mut *owner, LOG_MS, &[a]), [Seen::First(a.day)]);
    assert_eq!(resolve(&mut *owner, LOG_MS, &[again]), [Seen::Duplicate(first(0, &a))]);
    assert_eq!(resolve(&mut *owner, LOG_MS, &[other]), [Seen::Reused(first(0, &a))]);
    assert_eq!(owner.get(Key(1)).expect("get succeeds"), Some(first(0, &a)), "the first stays");
    assert_eq!(owner.get(Key(2)).expect("get succeeds"), None);
}

/// Two equal keys in one call: the lower index is first.
pub async fn equal_keys_in_one_call<I: DedupeIndex, O: Fn() -> I>(fresh: impl Fn() -> O) {
    let open = fresh();
    let index = open();
    let mut owner = index.open(0).expect("a free partition opens");
    let batch = [sighting(1, 5, 0), sighting(2, 5, 1), sighting(1, 5, 2)];
    let held = first(0, &batch[0]);
    let expected = [Seen::First(Day(20_000)), Seen::First(Day(20_000)), Seen::Duplicate(held)];
    assert_eq!(resolve(&mut *owner, LOG_MS, &batch), expected);
    assert_eq!(resolve(&mut *owner, LOG_MS, &batch), expected, "and again the same");
}

/// An event seen again at its own place is first, under the day held.
pub async fn own_position_keeps_the_held_day<I: DedupeIndex, O: Fn() -> I>(fresh: impl Fn() -> O) {
    let open = fresh();
    let a = sighting(1, 5, 0);
    let later = Sighting { day: Day(a.day.0 + 1), ..a };
    {
        let index = open();
        let mut owner = index.open(0).expect("a free partition opens");
        resolve(&mut *owner, LOG_MS, &[a]);
        assert_eq!(resolve(&mut *owner, LOG_MS, &[later]), [Seen::First(a.day)]);
        owner.persist(6).expect("persist succeeds");
        assert_eq!(resolve(&mut *owner, LOG_MS, &[later]), [Seen::First(a.day)]);
    }
    let index = open();
    let mut owner = index.open(0).expect("the partition opens again");
    assert_eq!(resolve(&mut *owner, LOG_MS, &[later]), [Seen::First(a.day)]);
}

/// A log of 40 records with copies far and near, persisted half-way: whatever
/// stretch is resolved again, before or after a restart, answers the same.
pub async fn replay_after_partial_persist<I: DedupeIndex, O: Fn() -> I>(fresh: impl Fn() -> O) {
    let open = fresh();
    let log: Vec<(i64, Vec<Sighting>)> = (0..40u64)
        .map(|offset| {
            let keys = [u128::from(offset), u128::from(offset / 2), 7];
            let record = keys.iter().zip(0..).map(|(&key, index)| sighting(key, offset, index));
            (LOG_MS + offset as i64 * DAY_MS / 16, record.collect())
        })
        .collect();
    let run = |owner: &mut dyn DedupePartition, from: usize, to: usize| -> Vec<Vec<Seen>> {
        log[from..to].iter().map(|(at, record)| resolve(owner, *at, record)).collect()
    };
    let expected = {
        let index = open();
        let mut owner = index.open(3).expect("a free partition opens");
        let mut verdicts = run(&mut *owner, 0, 20);
        owner.persist(20).expect("persist succeeds");
        verdicts.extend(run(&mut *owner, 20, 40));
        assert_eq!(run(&mut *owner, 0, 40), verdicts, "within one run");
        verdicts
    };
    let index = open();
    let mut owner = index.open(3).expect("the partition opens again");
    assert_eq!(owner.resolved(), 20);
    assert_eq!(run(&mut *owner, 20, 40), expected[20..], "the stretch that was lost");
    assert_eq!(run(&mut *owner, 10, 40), expected[10..], "a stretch across the persist");
}

/// An owner that goes without persisting leaves nothing that `resolved` vouches for.
pub async fn unpersisted_stretch_is_resolved_again<I: DedupeIndex, O: Fn() -> I>(
    fresh: impl Fn() -> O,
) {
    let open = fresh();
    let index = open();
    let record = [sighting(1, 0, 0), sighting(2, 0, 1)];
    {
        let mut owner = index.open(0).expect("a free partition opens");
        resolve(&mut *owner, LOG_MS, &record);
        assert_eq!(owner.resolved(), 0, "nothing was persisted");
    }
    let mut owner = index.open(0).expect("a partition whose owner went opens");
    assert_eq!(owner.resolved(), 0);
    assert_eq!(resolve(&mut *owner, LOG_MS, &record), [Seen::First(record[0].day); 2]);
}

/// What was persisted is there after a restart, with the offset.
pub async fn persisted_state_survives<I: DedupeIndex, O: Fn() -> I>(fresh: impl Fn() -> O) {
    let open = fresh();
    // Extremes of every field.
    let edge = Sighting {
        key: Key(u128::MAX),
        offset: u64::MAX - 1,
        index: u32::MAX,
        day: Day(i32::MIN),
        fingerprint: u64::MAX,
    };
    let usual = sighting(1, 41, 7);
    {
        let index = open();
        let mut owner = index.open(1).expect("a free partition opens");
        assert_eq!(owner.resolved(), 0, "a new partition begins at 0");
        resolve(&mut *owner, LOG_MS, &[usual, edge]);
        owner.persist(42).expect("persist succeeds");
        assert_eq!(owner.resolved(), 42);
        owner.persist(43).expect("persist of nothing new succeeds");
    }
    let index = open();
    let owner = index.open(1).expect("the partition opens again");
    assert_eq!(owner.resolved(), 43);
    assert_eq!(owner.get(usual.key).expect("get succeeds"), Some(first(1, &usual)));
    assert_eq!(owner.get(edge.key).expect("get succeeds"), Some(first(1, &edge)));
}

/// Keys are forgotten by the log time of their first copy, once the owner has
/// persisted; never earlier.
pub async fn expiry_forgets_whole_days<I: DedupeIndex, O: Fn() -> I>(fresh: impl Fn() -> O) {
    let open = fresh();
    let index = open();
    let mut owner = index.open(0).expect("a free partition opens");
    let (old, new) = (sighting(1, 0, 0), sighting(2, 1, 0));
    resolve(&mut *owner, LOG_MS, &[old]);
    resolve(&mut *owner, LOG_MS + DAY_MS, &[new]);
    owner.persist(2).expect("persist succeeds");
    // A copy does not lengthen the life of its first.
    resolve(&mut *owner, LOG_MS + DAY_MS, &[sighting(1, 2, 0)]);
    owner.expire(LOG_MS).expect("expire succeeds");
    owner.persist(3).expect("persist succeeds");
    assert!(owner.get(old.key).expect("get succeeds").is_some(), "not before its time");
    owner.expire(LOG_MS + DAY_MS).expect("expire succeeds");
    owner.persist(4).expect("persist succeeds");
    assert_eq!(owner.get(old.key).expect("get succeeds"), None, "a whole day is forgotten");
    assert!(owner.get(new.key).expect("get succeeds").is_some(), "the next day stays");
    let again = sighting(1, 9, 0);
    assert_eq!(resolve(&mut *owner, LOG_MS + DAY_MS, &[again]), [Seen::First(again.day)]);
    assert_eq!(index.find(Key(1)).expect("find succeeds"), Some(first(0, &again)));
}

/// What was forgotten stays so after a restart; what stayed, stays.
pub async fn expiry_survives<I: DedupeIndex, O: Fn() -> I>(fresh: impl Fn() -> O) {
    let open = fresh();
    {
        let index = open();
        let mut owner = index.open(0).expect("a free partition opens");
        for day in 0..4 {
            let seen = sighting(day, day as u64, 0);
            resolve(&mut *owner, LOG_MS + day as i64 * DAY_MS, &[seen]);
        }
        owner.persist(4).expect("persist succeeds");
        owner.expire(LOG_MS + 2 * DAY_MS).expect("expire succeeds");
        owner.persist(4).expect("persist succeeds");
    }
    let index = open();
    let owner = index.open(0).expect("the partition opens again");
    let held = |n| owner.get(Key(n)).expect("get succeeds").is_some();
    assert_eq!([held(0), held(1), held(2), held(3)], [false, false, true, true]);
    assert_eq!(owner.resolved(), 4);
}

/// A second owner at the same time is an error; after the first went it is not.
pub async fn one_owner_a_partition<I: DedupeIndex, O: Fn() -> I>(fresh: impl Fn() -> O) {
    let open = fresh();
    let index = open();
    let owner = index.open(5).expect("a free partition opens");
    assert!(matches!(index.open(5), Err(StoreError::Refused(_))), "a second owner is refused");
    assert!(index.open(6).is_ok(), "another partition is free");
    drop(owner);
    assert!(index.open(5).is_ok(), "free again");
}

/// Each partition decides for itself.
pub async fn partitions_are_apart<I: DedupeIndex, O: Fn() -> I>(fresh: impl Fn() -> O) {
    let open = fresh();
    let index = open();
    let mut a = index.open(0).expect("a free partition opens");
    let mut b = index.open(1).expect("a free partition opens");
    let seen = sighting(1, 0, 0);
    assert_eq!(resolve(&mut *a, LOG_MS, &[seen]), [Seen::First(seen.day)]);
    assert_eq!(resolve(&mut *b, LOG_MS, &[seen]), [Seen::First(seen.day)]);
    a.persist(10).expect("persist succeeds");
    b.persist(20).expect("persist succeeds");
    assert_eq!((a.resolved(), b.resolved()), (10, 20));
    assert_eq!(a.get(seen.key).expect("get succeeds"), Some(first(0, &seen)));
    assert_eq!(b.get(seen.key).expect("get succeeds"), Some(first(1, &seen)));
}

/// `find` sees what any partition has persisted, whether its owner runs or not.
pub async fn find_crosses_partitions<I: DedupeIndex, O: Fn() -> I>(fresh: impl Fn() -> O) {
    let open = fresh();
    let (a, b) = (sighting(1, 0, 0), sighting(2, 0, 0));
    {
        let index = open();
        let mut owners = [0, 1].map(|n| index.open(n).expect("a free partition opens"));
        resolve(&mut *owners[0], LOG_MS, &[a]);
        resolve(&mut *owners[1], LOG_MS + 3 * DAY_MS, &[b]);
        owners.iter_mut().for_each(|owner| owner.persist(1).expect("persist succeeds"));
        assert_eq!(index.find(a.key).expect("find succeeds"), Some(first(0, &a)));
        assert_eq!(index.find(b.key).expect("find succeeds"), Some(first(1, &b)));
        assert_eq!(index.find(Key(3)).expect("find succeeds"), None);
    }
    let index = open();
    assert_eq!(index.find(b.key).expect("find succeeds"), Some(first(1, &b)), "without an owner");
}

/// Enough keys for several stretches and days; each is found where it was put.
pub async fn many_keys_over_many_days<I: DedupeIndex, O: Fn() -> I>(fresh: impl Fn() -> O) {
    let open = fresh();
    let spread = |n: u64| u128::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    let record = |offset: u64| -> Vec<Sighting> {
        (0..50).map(|index| sighting(spread(offset * 50 + index), offset, index as u32)).collect()
    };
    let at = |offset: u64| LOG_MS + (offset / 40) as i64 * DAY_MS;
    {
        let index = open();
        let mut owner = index.open(0).expect("a free partition opens");
        for offset in 0..200 {
            let seen = resolve(&mut *owner, at(offset), &record(offset));
            assert!(seen.iter().all(|seen| matches!(seen, Seen::First(_))), "all are new");
            if offset % 30 == 29 {
                owner.persist(offset + 1).expect("persist succeeds");
            }
        }
        owner.persist(200).expect("persist succeeds");
    }
    let index = open();
    let mut owner = index.open(0).expect("the partition opens again");
    for offset in 0..200 {
        let firsts = record(offset);
        let copies: Vec<_> =
            firsts.iter().map(|seen| Sighting { offset: 1_000, ..*seen }).collect();
        let verdicts = resolve(&mut *owner, at(199), &copies);
        let expected = firsts.iter().map(|seen| Seen::Duplicate(first(0, seen)));
        assert!(verdicts.into_iter().eq(expected), "record {offset}");
    }
}
