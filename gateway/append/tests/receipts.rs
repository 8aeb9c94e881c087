//! What a batch is answered, and what of it stands in the log.

mod common;

use common::{Bench, NOW, Step, counts, event, grant, named, reasons};
use sluice_event::{Batch, Collector, Dialect, Event, Outcome, Parsed, Reason};
use sluice_seams::key::AppHash;

#[tokio::test]
async fn each_event_has_its_own_fate() {
    let bench = Bench::new(1).await;
    assert_eq!(counts(&bench.send(&["old"]).await), (1, 0, 0, 0));
    let bad = Parsed::Bad {
        id: "b".into(),
        reason: Reason::IdInvalid,
        detail: "id: a number, must be a string".into(),
    };
    let events =
        vec![event("new"), named("wrong", "d", "9 lives"), event("old"), bad, event("new")];
    let receipt = bench.post(events).await;
    assert_eq!(counts(&receipt), (1, 2, 2, 0));
    let seen: Vec<_> =
        receipt.results.iter().map(|r| (r.index, r.id.as_str(), r.outcome, r.reason)).collect();
    assert_eq!(
        seen,
        [
            (1, "wrong", Outcome::Rejected, Some(Reason::NameInvalid)),
            (2, "old", Outcome::Duplicate, None),
            (3, "b", Outcome::Rejected, Some(Reason::IdInvalid)),
            (4, "new", Outcome::Duplicate, None),
        ]
    );
    assert!(receipt.results[0].detail.starts_with("events[1].name: "), "{:?}", receipt.results[0]);
    assert_eq!(receipt.results[2].detail, "events[3].id: a number, must be a string");
    assert_eq!((receipt.server_time_ms, receipt.retry_after_ms), (NOW, 0));
    assert_eq!(bench.log.count("new"), 1);
    assert_eq!(bench.log.count("old"), 1);
}

/// Ground rule: what could not be appended is not remembered.
#[tokio::test]
async fn a_failed_append_is_taken_the_next_time() {
    for failure in [Step::NotWritten, Step::UnknownNotWritten] {
        let bench = Bench::new(1).await;
        bench.log.then([failure]);
        let receipt = bench.send(&["a", "b"]).await;
        assert_eq!(counts(&receipt), (0, 0, 0, 2));
        assert!(receipt.nothing_durable() && receipt.retry_after_ms > 0);
        assert_eq!(bench.log.count("a"), 0);
        assert_eq!(counts(&bench.send(&["a", "b"]).await), (2, 0, 0, 0));
        assert_eq!((bench.log.count("a"), bench.log.count("b")), (1, 1));
    }
}

#[tokio::test]
async fn a_failure_says_why_and_how_long_to_wait() {
    let bench = Bench::new(1).await;
    bench.log.then([Step::NotWritten, Step::UnknownNotWritten]);
    let refused = bench.send(&["a"]).await;
    assert_eq!(reasons(&refused), [Some(Reason::LogUnavailable)]);
    assert_eq!(refused.retry_after_ms, 700, "the log's own wait");
    let unknown = bench.send(&["a"]).await;
    assert_eq!(reasons(&unknown), [Some(Reason::OutcomeUnknown)]);
    assert_eq!(unknown.retry_after_ms, 2_000, "ours, where the log names none");
}

/// One partition fails, the other does not: each event by itself.
#[tokio::test]
async fn one_partition_fails_alone() {
    let bench = Bench::new(2).await;
    let app = AppHash::of("demo");
    let device = |partition| {
        let names = (0..).map(|n| format!("d{n}"));
        names.into_iter().find(|name| app.partition(name, 2) == partition).expect("some device")
    };
    bench.log.then([Step::NotWritten]);
    let events = vec![
        named("one", &device(1), "click"),
        named("zero", &device(0), "click"),
        named("one-again", &device(1), "click"),
    ];
    let receipt = bench.post(events).await;
    assert_eq!(counts(&receipt), (2, 0, 0, 1));
    assert_eq!(receipt.results[0].id, "zero", "partition 0 is handed over first");
    assert_eq!(bench.log.ids(), [(1, "one".to_owned()), (1, "one-again".to_owned())]);
}

/// Nobody knows whether it was written; the retry is appended again and the log
/// holds it twice, at positions of the same partition.
#[tokio::test]
async fn an_unknown_outcome_is_resent_and_remembered_once() {
    let bench = Bench::new(4).await;
    bench.log.then([Step::UnknownButWritten]);
    assert_eq!(reasons(&bench.send(&["a"]).await), [Some(Reason::OutcomeUnknown)]);
    assert_eq!(counts(&bench.send(&["a"]).await), (1, 0, 0, 0));
    assert_eq!(counts(&bench.send(&["a"]).await), (0, 1, 0, 0));
    let ids = bench.log.ids();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1], "same partition, same id");
}

#[tokio::test]
async fn a_second_copy_in_the_batch_follows_the_first() {
    let bench = Bench::new(1).await;
    bench.log.then([Step::NotWritten]);
    let failed = bench.send(&["a", "a"]).await;
    assert_eq!(reasons(&failed), [Some(Reason::LogUnavailable); 2]);
    assert_eq!(counts(&bench.send(&["a", "a", "a"]).await), (1, 2, 0, 0));
    assert_eq!(bench.log.count("a"), 1);
}

#[tokio::test]
async fn other_content_under_a_known_id_is_counted() {
    let bench = Bench::new(1).await;
    bench.post(vec![named("a", "d", "click"), named("a", "d", "view")]).await;
    let receipt = bench.post(vec![named("a", "d", "share")]).await;
    assert_eq!(counts(&receipt), (0, 1, 0, 0));
    assert_eq!(bench.metric("sluice_append_id_reused_events_total", &["demo"]), 2);
}

#[tokio::test]
async fn a_device_stays_in_its_partition() {
    let bench = Bench::new(8).await;
    let app = AppHash::of("demo");
    for n in 0..40 {
        bench.post(vec![named(&format!("e{n}"), &format!("d{}", n % 5), "click")]).await;
    }
    for (partition, id) in bench.log.ids() {
        let device = format!("d{}", id[1..].parse::<usize>().expect("a number") % 5);
        assert_eq!(partition as u32, app.partition(&device, 8));
    }
    let server = grant(&bench.collect, "demo-server-key");
    let batch = Batch { events: vec![named("from-a-server", "", "order")], ..Batch::default() };
    let receipt = bench.collect.collect(&server, Dialect::Grpc, batch).expect("let in").await;
    assert_eq!(counts(&receipt), (1, 0, 0, 0));
    let partition = app.key("from-a-server").partition(8) as usize;
    assert!(bench.log.ids().contains(&(partition, "from-a-server".to_owned())));
}

#[tokio::test]
async fn a_record_says_what_was_sent() {
    let bench = Bench::new(1).await;
    let sent = Event {
        id: "a".into(),
        name: "order".into(),
        time_ms: Some(NOW - 60_000),
        device_id: "d".into(),
        properties: br#"{"n": 1}"#[..].into(),
        ..Event::default()
    };
    let envelope = sluice_event::Envelope {
        sent_at_ms: NOW - 30_000,
        dropped: 3,
        ..sluice_event::Envelope::default()
    };
    let batch = Batch { envelope, events: vec![Parsed::Event(sent)] };
    bench.collect.collect(&bench.grant, Dialect::Sensors, batch).expect("let in").await;
    let (_, record) = bench.log.records().remove(0);
    let envelope = record.envelope.expect("there");
    assert_eq!((envelope.app_id.as_str(), envelope.env.as_str()), ("demo", "release"));
    assert_eq!((record.received_at, record.source.as_str()), (NOW, "sensors"));
    let recorded = &record.events[0];
    assert_eq!(recorded.key[..], AppHash::of("demo").key("a").to_bytes());
    assert_eq!(recorded.time_corrected, NOW - 30_000);
    assert_eq!(recorded.flags & 1, 1, "corrected");
    let event = recorded.event.as_ref().expect("there");
    assert_eq!((event.time, &event.properties[..]), (NOW - 60_000, &br#"{"n": 1}"#[..]));
    assert_eq!(bench.metric("sluice_append_client_lost_events_total", &["demo"]), 3);
}

#[tokio::test]
async fn a_foreign_app_id_is_refused_as_a_whole() {
    let bench = Bench::new(1).await;
    let envelope =
        sluice_event::Envelope { app_id: "other".into(), ..sluice_event::Envelope::default() };
    let batch = Batch { envelope, events: vec![event("a")] };
    let refusal = bench.collect.collect(&bench.grant, Dialect::Native, batch).err();
    assert_eq!(refusal.expect("refused").reason, Reason::AppMismatch);
    assert_eq!(bench.metric("sluice_append_received_events_total", &[]), 0);
    assert_eq!(bench.log.calls(), 0);
}

#[tokio::test]
async fn validate_leaves_nothing_behind() {
    let bench = Bench::new(1).await;
    bench.send(&["old"]).await;
    let events = || vec![event("new"), event("old"), named("x", "d", ""), event("new")];
    for _ in 0..2 {
        let batch = Batch { events: events(), ..Batch::default() };
        let receipt = bench.collect.validate(&bench.grant, batch).expect("a batch");
        assert_eq!(counts(&receipt), (1, 2, 1, 0));
    }
    assert_eq!((bench.log.calls(), bench.collect.in_flight()), (1, 0));
    assert_eq!(bench.metric("sluice_append_received_events_total", &[]), 1);
    assert_eq!(counts(&bench.send(&["new"]).await), (1, 0, 0, 0));
}

#[tokio::test]
async fn what_was_refused_lately_can_be_asked_for() {
    let bench = Bench::new(1).await;
    bench.log.then([Step::NotWritten]);
    bench.post(vec![event("later"), named("wrong", "d", "no good name")]).await;
    let app = AppHash::of("demo");
    let later = bench.collect.recent_fate(app.key("later")).expect("noted");
    assert_eq!((later.outcome, later.reason), (Outcome::Retry, Reason::LogUnavailable));
    let wrong = bench.collect.recent_fate(app.key("wrong")).expect("noted");
    assert_eq!((wrong.outcome, wrong.at_ms), (Outcome::Rejected, NOW));
    assert!(wrong.detail.starts_with("events[1].name"));
    assert_eq!(bench.collect.recent_fate(app.key("never seen")), None);
}
