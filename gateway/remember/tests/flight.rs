//! Keys in flight: who holds them, who waits, and what ends it.

use std::sync::Arc;
use std::time::Duration;

use sluice_remember::{BYTES_MIN, Fate, RememberConfig, Remembered, Verdict, Waiter};
use sluice_seams::Key;
use sluice_telemetry::Registry;
use tokio::time::timeout;

const A: (Key, u64) = (Key(1), 11);
const B: (Key, u64) = (Key(2), 22);

fn remembered(in_flight_max: usize) -> Arc<Remembered> {
    let config = RememberConfig { bytes_max: BYTES_MIN, in_flight_max };
    Remembered::new(config, &Registry::new()).expect("valid bounds")
}

fn waiter(set: &Arc<Remembered>, key: (Key, u64)) -> Waiter {
    match set.reserve(&[key]).expect("room").verdicts() {
        [Verdict::InFlight(waiter)] => waiter.clone(),
        other => panic!("expected one in flight, got {other:?}"),
    }
}

async fn fate(waiter: &Waiter) -> Fate {
    timeout(Duration::from_secs(5), waiter.fate()).await.expect("settled in time")
}

fn is_fresh(set: &Arc<Remembered>, key: (Key, u64)) -> bool {
    matches!(set.reserve(&[key]).expect("room").verdicts(), [Verdict::Fresh])
}

#[test]
fn what_is_not_confirmed_is_released_on_drop() {
    let set = remembered(10);
    let mut first = set.reserve(&[A, B]).expect("room");
    first.confirm([1]);
    drop(first);
    assert!(is_fresh(&set, A), "a released key is free again");
    assert!(!set.contains(A.0), "reserving alone remembers nothing");
    let again = set.reserve(&[B]).expect("room");
    assert!(matches!(again.verdicts(), [Verdict::Remembered { same: true }]));
    drop(again);
    assert_eq!(set.in_flight(), 0);
}

#[test]
fn a_panic_releases() {
    let set = remembered(10);
    let theirs = Arc::clone(&set);
    let thread = std::thread::spawn(move || {
        let _held = theirs.reserve(&[A]).expect("room");
        panic!("on purpose");
    });
    assert!(thread.join().is_err());
    assert!(is_fresh(&set, A));
}

#[tokio::test]
async fn dropping_the_owning_task_tells_those_who_wait() {
    let set = remembered(10);
    let held = set.reserve(&[A]).expect("room");
    let waiting = waiter(&set, A);
    let owner = tokio::spawn(async move {
        let _held = held;
        std::future::pending::<()>().await;
    });
    tokio::task::yield_now().await;
    owner.abort();
    assert_eq!(fate(&waiting).await, Fate::Released);
    assert!(is_fresh(&set, A));
}

#[tokio::test]
async fn waiters_learn_each_key_by_itself() {
    let set = remembered(10);
    let mut held = set.reserve(&[A, B]).expect("room");
    let (on_a, on_b) = (waiter(&set, A), waiter(&set, B));
    let (early_a, early_b) = (on_a.clone(), on_b.clone());
    let early = tokio::spawn(async move { (early_a.fate().await, early_b.fate().await) });
    tokio::task::yield_now().await;
    held.confirm([0]);
    assert_eq!(fate(&on_a).await, Fate::Appended);
    let pending = timeout(Duration::from_millis(20), on_b.fate()).await;
    assert!(pending.is_err(), "B is not settled yet");
    drop(held);
    assert_eq!(fate(&on_b).await, Fate::Released);
    assert_eq!(early.await.expect("no panic"), (Fate::Appended, Fate::Released));
}

#[test]
fn keys_given_up_early_are_free_at_once() {
    let set = remembered(10);
    let mut held = set.reserve(&[A, B]).expect("room");
    held.release([0, 5]);
    assert!(is_fresh(&set, A));
    assert!(!is_fresh(&set, B));
    held.confirm([0, 1]);
    assert!(!set.contains(A.0), "what was given up is not confirmed");
    assert!(set.contains(B.0));
}

#[test]
fn a_second_copy_in_one_call_follows_the_first() {
    let set = remembered(10);
    let held = set.reserve(&[A, B, A, (A.0, 99)]).expect("room");
    assert!(matches!(
        held.verdicts(),
        [
            Verdict::Fresh,
            Verdict::Fresh,
            Verdict::Twin { first: 0, same: true },
            Verdict::Twin { first: 0, same: false },
        ]
    ));
    assert_eq!(set.in_flight(), 2);
}

#[test]
fn other_content_under_a_known_id_is_told() {
    let set = remembered(10);
    let mut held = set.reserve(&[A]).expect("room");
    assert!(!waiter(&set, (A.0, 99)).same());
    assert!(waiter(&set, A).same());
    held.confirm([0]);
    let again = set.reserve(&[(A.0, 99)]).expect("room");
    assert!(matches!(again.verdicts(), [Verdict::Remembered { same: false }]));
}

#[test]
fn confirming_what_is_not_held_does_nothing() {
    let set = remembered(10);
    let mut held = set.reserve(&[A]).expect("room");
    let mut second = set.reserve(&[A]).expect("room");
    second.confirm([0, 7]);
    assert!(!set.contains(A.0), "only the holder confirms");
    held.confirm([0, 0]);
    assert!(set.contains(A.0));
    assert_eq!(set.in_flight(), 0);
}

#[test]
fn too_many_in_flight_reserve_nothing() {
    let set = remembered(2);
    let held = set.reserve(&[A]).expect("room for two");
    let full = set.reserve(&[B, (Key(3), 3)]).map(|_| ()).expect_err("three do not fit");
    assert_eq!((full.in_flight, full.asked, full.in_flight_max), (1, 2, 2));
    assert!(is_fresh(&set, B));
    drop(held);
    assert!(set.reserve(&[A, B]).is_ok());
}
