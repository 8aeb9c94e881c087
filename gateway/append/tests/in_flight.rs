//! Copies that meet: one request is appending what another brings again.

mod common;

use std::time::Duration;

use common::{Bench, Gate, Step, counts, event, reasons, short};
use sluice_append::CollectConfig;
use sluice_event::{Collector, Reason};
use tokio::time::timeout;

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(5), future).await.expect("answered in time")
}

#[tokio::test]
async fn a_copy_in_flight_is_a_duplicate_once_the_first_is_durable() {
    let bench = Bench::new(1).await;
    let gate = Gate::new();
    bench.log.then([Step::Gate(gate.clone())]);
    let first = tokio::spawn(bench.post(vec![event("a"), event("b")]));
    let second = tokio::spawn(bench.post(vec![event("b"), event("c")]));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!second.is_finished(), "nobody knows the fate of `b` yet");
    gate.open(true);
    assert_eq!(counts(&soon(first).await.expect("no panic")), (2, 0, 0, 0));
    let second = soon(second).await.expect("no panic");
    assert_eq!(counts(&second), (1, 1, 0, 0));
    assert_eq!(second.results[0].id, "b");
    assert_eq!(bench.log.count("b"), 1);
}

/// Ground rule: a copy is never called a duplicate of what was not appended.
#[tokio::test]
async fn a_copy_in_flight_is_appended_once_the_first_has_failed() {
    let bench = Bench::new(4).await;
    let gate = Gate::new();
    bench.log.then([Step::Gate(gate.clone())]);
    let first = tokio::spawn(bench.post(vec![event("a")]));
    let others: Vec<_> =
        (0..5).map(|_| tokio::spawn(bench.post(vec![event("a"), event("a")]))).collect();
    tokio::time::sleep(Duration::from_millis(20)).await;
    gate.open(false);
    let first = soon(first).await.expect("no panic");
    assert_eq!(reasons(&first), [Some(Reason::LogUnavailable)]);
    let (mut accepted, mut duplicates) = (0, 0);
    for other in others {
        let receipt = soon(other).await.expect("no panic");
        accepted += receipt.accepted;
        duplicates += receipt.duplicates;
    }
    assert_eq!((accepted, duplicates), (1, 9));
    assert_eq!(bench.log.count("a"), 1);
    let (_, record) = bench.log.records().remove(0);
    assert!(record.envelope.is_some() && record.events[0].event.is_some(), "a whole record");
}

/// Two requests that hold what the other one wants do not wait for each other.
#[tokio::test]
async fn crossed_batches_end() {
    let bench = Bench::new(1).await;
    let (gate_a, gate_b) = (Gate::new(), Gate::new());
    bench.log.then([Step::Gate(gate_a.clone()), Step::Gate(gate_b.clone())]);
    let first = bench.post(vec![event("a")]);
    let second = bench.post(vec![event("b"), event("a")]);
    let third = bench.post(vec![event("a"), event("b")]);
    gate_b.open(false);
    gate_a.open(false);
    let (first, second, third) = soon(async { tokio::join!(first, second, third) }).await;
    assert_eq!(counts(&first), (0, 0, 0, 1));
    let accepted = second.accepted + third.accepted;
    assert!(accepted >= 1 && bench.log.count("a") == 1, "{second:?} {third:?}");
}

#[tokio::test]
async fn a_copy_in_flight_is_not_waited_for_for_ever() {
    let config = CollectConfig { append_timeout_ms: 5_000, in_flight_wait_ms: 50, ..short() };
    let bench = Bench::cold(common::ScriptedLog::new(1), config);
    bench.collect.warm(|_| {}).await.expect("read");
    let gate = Gate::new();
    bench.log.then([Step::Gate(gate.clone())]);
    let first = tokio::spawn(bench.post(vec![event("a")]));
    let second = soon(bench.send(&["a"])).await;
    assert_eq!(reasons(&second), [Some(Reason::InFlight)]);
    assert!(second.retry_after_ms > 0);
    gate.open(true);
    assert_eq!(counts(&soon(first).await.expect("no panic")), (1, 0, 0, 0));
}

#[tokio::test]
async fn a_slow_append_is_answered_unknown_and_may_be_resent() {
    let bench = Bench::new(1).await;
    let gate = Gate::new();
    bench.log.then([Step::Gate(gate.clone())]);
    let late = soon(bench.send(&["a"])).await;
    assert_eq!(reasons(&late), [Some(Reason::OutcomeUnknown)]);
    assert_eq!(bench.collect.in_flight(), 0, "released");
    gate.open(true);
    assert_eq!(counts(&soon(bench.send(&["a"])).await), (1, 0, 0, 0));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(bench.log.count("a"), 2, "the late one was written all the same");
    assert_eq!(counts(&soon(bench.send(&["a"])).await), (0, 1, 0, 0));
}

#[tokio::test]
async fn a_dropped_request_releases_what_it_held() {
    let bench = Bench::new(1).await;
    let gate = Gate::new();
    bench.log.then([Step::Gate(gate.clone())]);
    let first = tokio::spawn(bench.post(vec![event("a"), event("b")]));
    let waits = tokio::spawn(bench.post(vec![event("b")]));
    tokio::time::sleep(Duration::from_millis(20)).await;
    first.abort();
    let taken_over = soon(waits).await.expect("no panic");
    assert_eq!(counts(&taken_over), (1, 0, 0, 0), "whoever waited takes over");
    gate.open(true);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(bench.log.count("a"), 1, "the append handed over went on");
    assert_eq!(counts(&soon(bench.send(&["a"])).await), (1, 0, 0, 0));
    assert_eq!(bench.metric("sluice_append_events_total", &["fate=\"lost_answer\""]), 2);
    assert_eq!(bench.collect.in_flight(), 0);
}

/// The call alone hands over, in the order of the calls.
#[tokio::test]
async fn records_stand_in_the_order_of_the_calls() {
    let bench = Bench::new(1).await;
    let futures: Vec<_> = (0..20).map(|n| bench.post(vec![event(&format!("e{n}"))])).collect();
    let ids: Vec<_> = bench.log.ids().into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, (0..20).map(|n| format!("e{n}")).collect::<Vec<_>>());
    for future in futures.into_iter().rev() {
        assert_eq!(counts(&soon(future).await), (1, 0, 0, 0));
    }
}

#[tokio::test]
async fn a_broken_log_makes_the_collector_unready() {
    let bench = Bench::new(1).await;
    bench.log.then([Step::Poison]);
    assert_eq!(reasons(&soon(bench.send(&["a"])).await), [Some(Reason::LogUnavailable)]);
    assert_eq!(bench.collect.poisoned(), Some("scripted"));
    let refusal = bench.collect.unready().expect("unready");
    assert_eq!(refusal.reason, Reason::LogUnavailable);
    assert!(!refusal.detail.contains("scripted"), "what is ours to know stays here");
}
