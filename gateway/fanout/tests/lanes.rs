//! Each event once in each store, whatever fails and however it is started.

mod support;

use std::time::Duration;

use prost::Message;
use sluice_fanout::{LaneState, ReplayFrom};
use sluice_memory::fault::Fault;
use sluice_proto::v1::EventType;
use sluice_seams::{Day, EventLog};
use sluice_telemetry::Clock;
use support::{BOTH, NOW_MS, World, event, eventually, record, view, world};

async fn views(world: &World, ids: std::ops::Range<u32>) {
    for n in ids {
        world.append(0, &view(&format!("e{n}"))).await;
    }
}

#[tokio::test]
async fn duplicates_and_reused_ids_count_once() {
    let world = world(1);
    let first = event("a", "page_view", "d", 0);
    let mut later = event("a", "page_view", "d", 60_000); // corrected anew by a retry
    later.day = first.day + 1; // a retry across midnight of receipt
    let mut reused = event("a", "share", "d", 5);
    reused.fingerprint = 2;
    world.append(0, &record(vec![first.clone(), later, event("b", "app_show", "e", 0)])).await;
    world.append(0, &record(vec![first, reused])).await;
    let fan_out = world.start().await;
    world.settled(&fan_out).await;
    world.agrees();
    let held = world.documents.state();
    assert_eq!(held.events["a"], (Day::of(NOW_MS).0, NOW_MS), "the first copy's day and time");
    assert_eq!((held.events.len(), held.visitors.len()), (2, 2));
    for (verdict, count) in [("first", 2.0), ("duplicate", 2.0), ("id_reused", 1.0)] {
        let line = format!("sluice_fanout_events_total{{verdict=\"{verdict}\"}}");
        assert_eq!(world.metric(&line), Some(count), "{verdict}");
    }
    assert_eq!(world.metric("sluice_fanout_taken_events_total{lane=\"rows\"}"), Some(2.0));
}

#[tokio::test]
async fn an_event_is_taken_within_a_second_and_told_live() {
    let world = world(2);
    views(&world, 0..3).await;
    let fan_out = world.start().await;
    world.settled(&fan_out).await;
    let mut live = fan_out.live();
    world.clock.advance(500);
    world.append(1, &view("now")).await;
    let seen = tokio::time::timeout(Duration::from_secs(1), live.recv()).await;
    assert_eq!(seen.expect("soon").expect("open").inner().id, "now");
    eventually("taken", || world.documents.holds("now") && world.rows.holds("now")).await;
    world.settled(&fan_out).await;
    assert_eq!(fan_out.complete_until_ms(), world.clock.now_ms());
    fan_out.replay("rows", ReplayFrom::Start).await.expect("replays");
    world.settled(&fan_out).await;
    assert!(live.try_recv().is_err(), "a replay is not live");
}

/// Crash after the store took a batch and before its commit.
#[tokio::test]
async fn crash_between_write_and_commit() {
    let world = world(1);
    views(&world, 0..30).await;
    world.log.commits.always(Some(Fault::RetryBefore));
    let fan_out = world.start().await;
    eventually("taken", || world.documents.holds("e29") && world.rows.holds("e29")).await;
    drop(fan_out);
    assert_eq!(world.log.committed("documents", 0).expect("known"), None);
    world.log.commits.always(None);
    views(&world, 20..40).await; // ten of them again
    let fan_out = world.start().await;
    world.settled(&fan_out).await;
    world.agrees();
}

/// Crash after `D` answered and before it was durable: nothing is committed,
/// and the same copies are first again.
#[tokio::test]
async fn crash_between_resolve_and_persist() {
    let mut world = world(1);
    world.config.persist_interval_ms = 3_600_000;
    views(&world, 0..30).await;
    views(&world, 0..10).await;
    let fan_out = world.start().await;
    eventually("taken", || world.documents.holds("e29") && world.rows.holds("e29")).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(fan_out.status().lanes[0].committed, 0, "never past what `D` has durable");
    drop(fan_out);
    world.config.persist_interval_ms = 1;
    let fan_out = world.start().await;
    world.settled(&fan_out).await;
    world.agrees();
}

/// `D` is durable, nothing is written: a replay must find the same copies first.
#[tokio::test]
async fn crash_between_persist_and_write() {
    let world = world(1);
    world.documents.script.always(Some(Fault::RetryBefore));
    world.rows.script.always(Some(Fault::RetryBefore));
    views(&world, 0..30).await;
    let fan_out = world.start().await;
    eventually("durable in `D`", || world.dedupe.persisted(0) == 30).await;
    drop(fan_out);
    world.documents.script.always(None);
    world.rows.script.always(None);
    let fan_out = world.start().await;
    world.settled(&fan_out).await;
    world.agrees();
    assert_eq!(world.documents.state().events.len(), 30);
}

#[tokio::test]
async fn a_failing_store_delays_nothing_else_and_heals() {
    let world = world(2);
    world.documents.script.always(Some(Fault::RetryBefore));
    views(&world, 0..50).await;
    world.append(1, &view("other")).await;
    let fan_out = world.start().await;
    eventually("rows go on", || {
        let lanes = fan_out.status().lanes;
        lanes[2..].iter().all(|lane| lane.lane == "rows" && lane.committed == lane.end)
    })
    .await;
    let status = fan_out.status();
    let failing = &status.lanes[0];
    assert_eq!((failing.state, failing.committed), (LaneState::Retrying, 0));
    assert!(failing.last_error.as_deref().is_some_and(|error| error.contains("scripted")));
    assert_eq!(failing.lag_records, 50);
    world.clock.advance(7_000);
    assert_eq!(fan_out.status().lanes[0].oldest_unserved_age_ms, Some(7_000));
    assert_eq!(fan_out.complete_until_ms(), NOW_MS);
    assert!(world.documents.state().events.is_empty());
    assert!(world.dead.records(0).is_empty(), "an outage is no dead letter");
    world.documents.script.always(None);
    let retries = world.metric("sluice_fanout_retries_total{lane=\"documents\"}");
    assert!(retries.is_some_and(|retries| retries >= 1.0), "{retries:?}");
    world.settled(&fan_out).await;
    world.agrees();
    assert_eq!(fan_out.status().lanes[0].last_error, None);
}

/// The second batch is taken while the first is not: nothing is committed.
#[tokio::test]
async fn a_batch_that_overtakes_another_commits_nothing() {
    let world = world(1);
    *world.documents.stuck.lock() = Some("e3".to_owned());
    views(&world, 0..30).await;
    let fan_out = world.start().await;
    eventually("overtaken", || world.documents.holds("e10")).await;
    eventually("durable in `D`", || world.dedupe.persisted(0) == 30).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    world.no_violations();
    assert_eq!(world.log.committed("documents", 0).expect("known"), None);
    drop(fan_out);
    *world.documents.stuck.lock() = None;
    let fan_out = world.start().await;
    world.settled(&fan_out).await;
    world.agrees();
}

#[tokio::test]
async fn applied_but_reported_failed_is_harmless() {
    let world = world(1);
    let faults = [Fault::RetryAfter, Fault::RetryAfterSome(3), Fault::None, Fault::RetryAfter];
    world.documents.script.then(faults.clone());
    world.rows.script.then(faults);
    views(&world, 0..40).await;
    let fan_out = world.start().await;
    world.settled(&fan_out).await;
    world.agrees();
}

#[tokio::test]
async fn a_poisoned_store_is_fatal() {
    let world = world(1);
    world.rows.script.then([Fault::Poison]);
    views(&world, 0..1).await;
    let fan_out = world.start().await;
    let fatal = tokio::time::timeout(Duration::from_secs(5), fan_out.fatal()).await;
    assert!(fatal.expect("told").0.contains("lane rows"));
    assert!(fan_out.status().fatal.is_some());
    world.no_violations();
}

#[tokio::test]
async fn a_lane_far_behind_reads_the_log_itself() {
    let mut world = world(1);
    world.config.window_bytes_max = 400;
    world.config.read_bytes_max = 200;
    world.documents.script.always(Some(Fault::RetryBefore));
    views(&world, 0..100).await;
    views(&world, 50..150).await;
    let fan_out = world.start().await;
    eventually("rows go on", || world.rows.holds("e149")).await;
    world.documents.script.always(None);
    world.settled(&fan_out).await;
    world.agrees();
    assert_eq!(world.documents.state().events.len(), 150);
}

#[tokio::test]
async fn replaying_one_lane_rebuilds_its_store_alone() {
    let mut world = world(2);
    world.config.window_bytes_max = 400;
    views(&world, 0..60).await;
    world.append(1, &record(vec![event("set", "profile", "p", 9)])).await;
    let fan_out = world.start().await;
    world.settled(&fan_out).await;
    world.documents.wipe();
    let row_calls = *world.rows.calls.lock();
    let begun = fan_out.replay("documents", ReplayFrom::Start).await.expect("replays");
    assert_eq!(begun[0].1.target, 60);
    views(&world, 60..61).await;
    world.settled(&fan_out).await;
    world.agrees();
    assert!(fan_out.status().lanes.iter().all(|lane| lane.replay.is_none()));
    assert!(*world.rows.calls.lock() <= row_calls + 1, "the other lane only took what is new");

    let before = world.documents.state();
    world.clock.advance(1_000);
    views(&world, 61..62).await;
    world.settled(&fan_out).await;
    let begun = fan_out.replay("documents", ReplayFrom::Time(NOW_MS + 1)).await.expect("replays");
    assert_eq!(begun[0].1.from, 61);
    let begun = fan_out.replay("documents", ReplayFrom::Offset(0, 40)).await.expect("replays");
    assert_eq!((begun.len(), begun[0].1.from), (1, 40));
    world.settled(&fan_out).await;
    world.agrees();
    assert_eq!(world.documents.state().events.len(), before.events.len() + 1);
    for lane in ["docs", ""] {
        assert!(fan_out.replay(lane, ReplayFrom::Start).await.is_err());
    }
    assert!(fan_out.replay("rows", ReplayFrom::Offset(9, 0)).await.is_err());
}

/// As after a crash amid a replay: done is when the store has everything, not
/// when it is back where the lane stood.
#[tokio::test]
async fn a_replay_of_a_lane_that_is_behind_ends_at_the_end_of_the_log() {
    let world = world(1);
    world.documents.script.always(Some(Fault::RetryBefore));
    views(&world, 0..60).await;
    let fan_out = world.start().await;
    eventually("rows go on", || world.rows.holds("e59")).await;
    let begun = fan_out.replay("documents", ReplayFrom::Start).await.expect("replays");
    assert_eq!((begun[0].1.from, begun[0].1.target), (0, 60));
    let replays = || fan_out.status().lanes.iter().filter(|lane| lane.replay.is_some()).count();
    assert_eq!(replays(), 1);
    world.documents.script.always(None);
    world.settled(&fan_out).await;
    world.agrees();
    assert_eq!(replays(), 0);
}

/// Ids older than the window are forgotten by `D`; a replay must not count
/// their duplicates.
#[tokio::test]
async fn replaying_what_the_index_forgot() {
    let mut world = world(1);
    world.config.dedupe_window_ms = 1_000;
    let mut retried = event("a", "page_view", "d", 0);
    world.append(0, &record(vec![retried.clone()])).await;
    retried.time_corrected += 86_400_000; // a visitor of another day, were it counted
    world.append(0, &record(vec![retried])).await;
    let fan_out = world.start().await;
    world.settled(&fan_out).await;
    world.clock.advance(61_000);
    views(&world, 0..1).await;
    world.settled(&fan_out).await;
    world.clock.advance(61_000);
    views(&world, 1..2).await;
    world.settled(&fan_out).await;
    drop(fan_out);
    world.documents.wipe();
    let fan_out = world.start().await;
    fan_out.replay("documents", ReplayFrom::Start).await.expect("replays");
    world.settled(&fan_out).await;
    world.agrees();
}

/// An id that came back after the window is first twice: a replay finds the
/// same two, and the document stays that of the older copy.
#[tokio::test]
async fn replaying_an_id_that_came_back_after_it_was_forgotten() {
    let mut world = world(1);
    world.config.dedupe_window_ms = 1_000;
    let mut again = event("a", "page_view", "d", 0);
    world.append(0, &record(vec![again.clone()])).await;
    let fan_out = world.start().await;
    for n in 0..2 {
        world.settled(&fan_out).await;
        world.clock.advance(61_000);
        views(&world, n..n + 1).await;
    }
    world.settled(&fan_out).await;
    again.time_corrected += 1_000;
    world.append(0, &record(vec![again])).await;
    world.settled(&fan_out).await;
    let (documents, rows) = (world.documents.state(), world.rows.state());
    assert_eq!(documents.events["a"].1, NOW_MS);
    world.documents.wipe();
    world.rows.wipe();
    drop(fan_out);
    let fan_out = world.start().await;
    for lane in BOTH {
        fan_out.replay(lane, ReplayFrom::Start).await.expect("replays");
    }
    eventually("replayed", || fan_out.status().lanes.iter().all(|lane| lane.taken == lane.end))
        .await;
    assert_eq!((world.documents.state(), world.rows.state()), (documents, rows));
}

/// A place further on than a lane has got would skip what is not taken.
#[tokio::test]
async fn a_replay_never_goes_forward() {
    let world = world(1);
    world.rows.script.always(Some(Fault::RetryBefore));
    views(&world, 0..20).await;
    let fan_out = world.start().await;
    let begun = fan_out.replay("rows", ReplayFrom::Offset(0, 15)).await.expect("replays");
    assert_eq!(begun[0].1.from, 0);
    world.rows.script.always(None);
    world.settled(&fan_out).await;
    world.agrees();
}

#[tokio::test]
async fn a_clean_stop_commits_everything_taken() {
    let mut world = world(1);
    world.config.persist_interval_ms = 3_600_000;
    views(&world, 0..30).await;
    let fan_out = world.start().await;
    eventually("taken", || fan_out.status().lanes.iter().all(|lane| lane.taken == 30)).await;
    assert!(fan_out.shutdown(Duration::from_secs(5)).await);
    for lane in BOTH {
        assert_eq!(world.log.committed(lane, 0).expect("known"), Some(30));
    }
    world.agrees();
}

#[tokio::test]
async fn a_stop_is_bounded_while_a_store_is_away() {
    let world = world(1);
    views(&world, 0..30).await;
    world.rows.script.always(Some(Fault::RetryBefore));
    let fan_out = world.start().await;
    eventually("taken", || fan_out.status().lanes[0].taken == 30).await;
    let began = std::time::Instant::now();
    fan_out.shutdown(Duration::from_millis(300)).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(world.log.committed("documents", 0).expect("known"), Some(30));
    world.rows.script.always(None);
    drop(fan_out);
    let fan_out = world.start().await;
    world.settled(&fan_out).await;
    world.agrees();
}

#[tokio::test]
async fn retention_goes_by_the_clock() {
    let mut world = world(1);
    world.config.retention_days = 30;
    let _fan_out = world.start().await;
    let expected = Some(Day(Day::of(NOW_MS).0 - 30));
    eventually("dropped", || *world.rows.dropped_before.lock() == expected).await;
    assert_eq!(*world.documents.dropped_before.lock(), expected);
}

#[tokio::test]
async fn a_log_that_was_cut_is_refused() {
    let mut short = world(1);
    let long = world(1);
    views(&long, 0..10).await;
    let fan_out = long.start().await;
    long.settled(&fan_out).await;
    drop(fan_out);
    short.dedupe = long.dedupe.clone();
    views(&short, 0..3).await;
    let deps = sluice_fanout::FanOutDeps {
        log: short.log.clone(),
        dead_letter_log: short.dead.clone(),
        assignment: std::sync::Arc::new(sluice_seams::StaticAssignment::all(1)),
        dedupe: short.dedupe.clone(),
        documents: short.documents.clone(),
        rows: short.rows.clone(),
        clock: std::sync::Arc::new(short.clock.clone()),
        metrics: sluice_telemetry::Registry::new(),
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    let refused = sluice_fanout::FanOut::start(short.config.clone(), deps).await;
    let error = refused.err().expect("refused").to_string();
    assert!(error.contains("the log ends at 3"), "{error}");
}

#[tokio::test]
async fn profiles_follow_their_users() {
    let world = world(1);
    let mut set = event("s", "profile", "u", 3);
    let inner = set.event.as_mut().expect("whole");
    inner.r#type = EventType::UserSet.into();
    inner.properties = br#"{"vip":true,"level":3}"#.to_vec().into();
    let both = record(vec![set, event("v", "page_view", "u", 4)]);
    assert!(both.encoded_len() > 0);
    world.append(0, &both).await;
    let fan_out = world.start().await;
    world.settled(&fan_out).await;
    world.agrees();
    assert_eq!(world.rows.state().profile.len(), 2);
    assert_eq!(world.documents.state().visitors.len(), 1);
}
