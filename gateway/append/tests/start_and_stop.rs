//! Readiness: the log's tail at start, a log that refuses, the drain.

mod common;

use common::{Bench, Gate, NOW, ScriptedLog, Step, counts, event, short};
use sluice_append::CollectConfig;
use sluice_event::{Batch, Collector, Dialect, Reason, Refusal};

fn refusal(bench: &Bench) -> Option<Refusal> {
    let batch = Batch { events: vec![event("probe")], ..Batch::default() };
    bench.collect.collect(&bench.grant, Dialect::Native, batch).err()
}

#[tokio::test]
async fn what_was_appended_before_a_restart_is_remembered() {
    let bench = Bench::new(3).await;
    for n in 0..30 {
        bench.send(&[&format!("e{n}"), &format!("f{n}")]).await;
    }
    let after = Bench::cold(bench.log.clone(), short());
    assert_eq!(after.collect.unready().map(|refusal| refusal.reason), Some(Reason::LogUnavailable));
    assert!(refusal(&after).is_some_and(|refusal| refusal.retry_after_ms.is_some()));
    after.log.fail_reads(3);
    let mut seen = Vec::new();
    let done = after.collect.warm(|progress| seen.push(progress)).await.expect("read");
    assert_eq!((done.events, done.unreadable), (60, 0));
    assert_eq!(done.records, done.records_total);
    assert!(seen.len() > 3 && seen.windows(2).all(|pair| pair[0].records <= pair[1].records));
    assert_eq!(after.collect.unready(), None);
    assert_eq!(counts(&after.send(&["e0", "f29", "new"]).await), (1, 2, 0, 0));
}

#[tokio::test]
async fn only_the_window_is_read() {
    let bench = Bench::new(1).await;
    bench.send(&["a"]).await;
    let none = CollectConfig { tail_ms: 0, ..short() };
    let after = Bench::cold(bench.log.clone(), none);
    assert_eq!(after.collect.warm(|_| {}).await.expect("nothing to read").records, 0);
    let later = Bench::cold(bench.log.clone(), short());
    later.clock.set(NOW + 3_600_000);
    assert_eq!(later.collect.warm(|_| {}).await.expect("nothing to read").records, 0);
    assert_eq!(later.collect.unready(), None);
}

#[tokio::test]
async fn a_tail_that_cannot_be_read_keeps_it_unready() {
    let bench = Bench::new(1).await;
    bench.send(&["a"]).await;
    let after = Bench::cold(bench.log.clone(), short());
    after.log.fail_reads(100);
    assert!(after.collect.warm(|_| {}).await.is_err());
    assert!(after.collect.unready().is_some());
}

#[tokio::test]
async fn records_of_others_are_passed_over() {
    use sluice_seams::EventLog;
    let log = ScriptedLog::new(1);
    log.append(0, bytes::Bytes::from_static(&[0xff, 0xff, 0xff])).await.expect("appended");
    let bench = Bench::cold(log, short());
    let done = bench.collect.warm(|_| {}).await.expect("read");
    assert_eq!((done.records, done.unreadable), (1, 1));
}

#[tokio::test]
async fn a_log_that_refuses_is_told_before_a_body_is_read() {
    let bench = Bench::new(1).await;
    bench.log.refuse(Some("disk /dev/secret is full"));
    let refusal = bench.collect.unready().expect("unready");
    assert_eq!(refusal.reason, Reason::LogUnavailable);
    assert_eq!(refusal.retry_after_ms, Some(2_000));
    assert!(!refusal.detail.contains("secret"));
    bench.log.refuse(None);
    assert_eq!(bench.collect.unready(), None);
}

#[tokio::test]
async fn a_drain_refuses_the_new_and_finishes_the_old() {
    let bench = Bench::new(1).await;
    let gate = Gate::new();
    bench.log.then([Step::Gate(gate.clone())]);
    let old = tokio::spawn(bench.post(vec![event("a")]));
    tokio::task::yield_now().await;
    bench.collect.drain();
    assert_eq!(refusal(&bench).map(|refusal| refusal.reason), Some(Reason::Draining));
    assert_eq!(bench.collect.in_flight(), 1);
    gate.open(true);
    assert_eq!(counts(&old.await.expect("no panic")), (1, 0, 0, 0));
    assert_eq!(bench.collect.in_flight(), 0);
}

#[tokio::test]
async fn refused_requests_are_counted() {
    let bench = Bench::new(1).await;
    let refusal = Refusal::new(Reason::KeyUnknown, "no such key");
    bench.collect.refused(None, Dialect::Native, &refusal);
    bench.collect.refused(Some("demo"), Dialect::Grpc, &Refusal::new(Reason::RateLimited, "slow"));
    let count = |labels: &[&str]| bench.metric("sluice_append_refused_requests_total", labels);
    assert_eq!(count(&["app=\"\"", "reason=\"key_unknown\"", "dialect=\"native\""]), 1);
    assert_eq!(count(&["app=\"demo\"", "reason=\"rate_limited\""]), 1);
}
