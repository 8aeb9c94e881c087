//! What every [`EventLog`] is held to.
//!
//! [`Fixture`] is how a suite gets logs; every other function is one duty. A log
//! that keeps nothing across a restart says so by [`Fixture::reopen`] answering
//! `None`; the duties of durability then have nothing to check.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::{AppendError, BoxFuture, EventLog, LogRecord, StoreError};

/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Enough for all records of a test in one read.
const READ_BYTES: usize = 1 << 20;
const LANES: [&str; 2] = ["documents", "rows"];

/// One log under test, with a hold on its clock and its retention.
///
/// It must be fresh and empty, have two partitions or more, keep records for
/// [`Fixture::RETENTION_MS`], and drop in small steps: a few hundred records of
/// 100 bytes must be more than it drops at once.
pub trait Fixture: Send + Sync {
    /// How long the log keeps records.
    const RETENTION_MS: i64 = 60_000;

    /// The log.
    fn log(&self) -> Arc<dyn EventLog>;

    /// Closes the log and opens it again from what it left; `None` where it
    /// leaves nothing. All earlier handles have been dropped.
    fn reopen(&mut self) -> BoxFuture<'_, Option<()>>;

    /// Sets the clock of the log, milliseconds since the Unix epoch.
    fn set_now_ms(&self, now_ms: i64);

    /// Drops what retention allows, until there is no more.
    fn retain(&self) -> BoxFuture<'_, ()>;
}

/// Offsets rise in the order of the calls, and records read back whole.
pub async fn keeps_order(fixture: impl Fixture) {
    let log = fixture.log();
    let appends: Vec<_> = (0..100).map(|n| log.append(n % 2, payload(n))).collect();
    for (append, n) in appends.into_iter().zip(0..) {
        let offset = within(append).await.expect("append");
        assert!(offset < log.bounds(n % 2).1, "an acknowledged record lies within the bounds");
    }
    for partition in 0..2 {
        let records = read_all(&*log, partition, 0).await;
        let expected: Vec<_> = (0..100).filter(|n| n % 2 == partition).map(payload).collect();
        assert_eq!(payloads(&records), expected, "partition {partition}");
        assert!(records.is_sorted_by(|a, b| a.offset < b.offset), "offsets rise");
        assert!(records.is_sorted_by_key(|record| record.appended_at_ms), "times never fall");
    }
}

/// A read begins anywhere, honours its bound about, and is empty at the end.
pub async fn reads_from_anywhere(fixture: impl Fixture) {
    let log = fixture.log();
    assert_eq!(log.bounds(0), (0, 0), "a fresh log is empty");
    assert!(within(log.read(0, 0, READ_BYTES)).await.expect("read").is_empty());
    fill(&*log, 0, 0..200).await;
    let all = read_all(&*log, 0, 0).await;
    for (index, record) in all.iter().enumerate() {
        let some = within(log.read(0, record.offset, 1)).await.expect("read");
        assert!(!some.is_empty(), "at least one record where there is one");
        assert!(all[index..].starts_with(&some), "from offset {} on", record.offset);
        assert!(some.len() <= 3, "{} records where 1 byte was asked for", some.len());
    }
    let (_, end) = log.bounds(0);
    for past in [end, end + 1, u64::MAX] {
        assert!(within(log.read(0, past, READ_BYTES)).await.expect("read").is_empty());
    }
    assert!(within(log.read(1, 0, READ_BYTES)).await.expect("read").is_empty(), "partition 1");
}

/// An empty payload and a large one are records like others.
pub async fn keeps_any_payload(fixture: impl Fixture) {
    let log = fixture.log();
    let large = Bytes::from((0..1_000_000u32).map(|n| (n % 251) as u8).collect::<Vec<_>>());
    for payload in [Bytes::new(), large.clone(), Bytes::from_static(b"x"), large] {
        within(log.append(0, payload.clone())).await.expect("append");
        let (_, end) = log.bounds(0);
        let records = within(log.read(0, end - 1, 1)).await.expect("read");
        assert_eq!(payloads(&records), [payload]);
    }
    assert_eq!(read_all(&*log, 0, 0).await.len(), 4);
}

/// `wait` resolves once the record is there, and not before.
pub async fn wakes_who_waits(fixture: impl Fixture) {
    let log = fixture.log();
    fill(&*log, 0, 0..1).await;
    within(log.wait(0, 0)).await;
    let waiting = {
        let log = log.clone();
        tokio::spawn(async move {
            log.wait(0, 1).await;
            log.bounds(0).1
        })
    };
    let early = tokio::time::timeout(Duration::from_millis(30), log.wait(0, 1)).await;
    assert!(early.is_err(), "woke before there was a record");
    fill(&*log, 1, 0..1).await;
    assert!(!waiting.is_finished(), "woke for another partition");
    fill(&*log, 0, 1..2).await;
    assert_eq!(within(waiting).await.expect("task"), 2);
}

/// `offset_at` finds the first record at or after a time.
pub async fn finds_a_time(fixture: impl Fixture) {
    let log = fixture.log();
    assert_eq!(within(log.offset_at(0, 0)).await.expect("offset_at"), 0, "empty: the end");
    for n in 0..50 {
        fixture.set_now_ms(10_000 + i64::from(n) * 10);
        fill(&*log, 0, n..n + 1).await;
    }
    // A clock set back must not make times fall.
    fixture.set_now_ms(5_000);
    fill(&*log, 0, 50..51).await;
    let records = read_all(&*log, 0, 0).await;
    assert_eq!(records.last().map(|record| record.appended_at_ms), Some(10_490));
    let end = log.bounds(0).1;
    for time_ms in (9_990..10_520).step_by(5) {
        let found = records.iter().find(|record| record.appended_at_ms >= time_ms);
        let expected = found.map_or(end, |record| record.offset);
        let offset = within(log.offset_at(0, time_ms)).await.expect("offset_at");
        assert_eq!(offset, expected, "at {time_ms}");
    }
}

/// A dropped future takes nothing back.
pub async fn delivers_without_the_future(fixture: impl Fixture) {
    let log = fixture.log();
    drop(log.append(0, payload(1)));
    drop(log.append(0, payload(2)));
    within(log.wait(0, 1)).await;
    assert_eq!(payloads(&read_all(&*log, 0, 0).await), [payload(1), payload(2)]);
}

/// Many callers: nothing lost, nothing twice, each caller's order kept.
pub async fn serves_many_callers(fixture: impl Fixture) {
    const CALLERS: u32 = 8;
    const EACH: u32 = 300;
    let log = fixture.log();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut appends = Vec::new();
                for n in 0..EACH {
                    appends.push(log.append(0, payload(caller * 10_000 + n)));
                    if n % 50 == 49 {
                        for append in appends.drain(..) {
                            within(append).await.expect("append");
                        }
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        within(caller).await.expect("caller");
    }
    let records = read_all(&*log, 0, 0).await;
    let numbers: Vec<u32> = records.iter().map(number).collect();
    let distinct: BTreeSet<u32> = numbers.iter().copied().collect();
    assert_eq!(numbers.len(), (CALLERS * EACH) as usize, "lost or doubled");
    assert_eq!(distinct.len(), numbers.len(), "doubled");
    for caller in 0..CALLERS {
        let own = numbers.iter().filter(|&&n| n / 10_000 == caller);
        assert!(own.is_sorted(), "the order of caller {caller}");
    }
}

/// Commits rise only, unless rewound, and never point past the end.
pub async fn commits_rise(fixture: impl Fixture) {
    let log = fixture.log();
    fill(&*log, 0, 0..20).await;
    log.declare_lane(LANES[0]).expect("declare");
    log.declare_lane(LANES[0]).expect("declare again");
    assert_eq!(log.committed(LANES[0], 0).expect("committed"), None);
    within(log.commit(LANES[0], 0, 7)).await.expect("commit");
    within(log.commit(LANES[0], 0, 3)).await.expect("a lower commit is ignored");
    assert_eq!(log.committed(LANES[0], 0).expect("committed"), Some(7));
    assert_eq!(log.committed(LANES[0], 1).expect("committed"), None, "another partition");
    assert_eq!(log.committed(LANES[1], 0).expect("committed"), None, "another lane");
    within(log.rewind(LANES[0], 0, 2)).await.expect("rewind");
    assert_eq!(log.committed(LANES[0], 0).expect("committed"), Some(2));
    within(log.rewind(LANES[0], 0, 20)).await.expect("rewind forward");
    assert_eq!(log.committed(LANES[0], 0).expect("committed"), Some(20));
    let past = within(log.commit(LANES[0], 0, 21)).await;
    assert!(matches!(past, Err(StoreError::Refused(_))), "past the end: {past:?}");
    let racing: Vec<_> = (0..=20).map(|next| log.commit(LANES[1], 0, next)).collect();
    for commit in racing {
        within(commit).await.expect("commit");
    }
    assert_eq!(log.committed(LANES[1], 0).expect("committed"), Some(20));
}

/// What was acknowledged is there after a restart: records, times, commits, lanes.
pub async fn survives_a_restart(mut fixture: impl Fixture) {
    fixture.set_now_ms(50_000);
    let before = {
        let log = fixture.log();
        fill(&*log, 0, 0..300).await;
        fill(&*log, 1, 500..510).await;
        for lane in LANES {
            log.declare_lane(lane).expect("declare");
        }
        within(log.commit(LANES[0], 0, 9)).await.expect("commit");
        within(log.commit(LANES[1], 0, 100)).await.expect("commit");
        within(log.rewind(LANES[1], 0, 40)).await.expect("rewind");
        // Handed over only; a clean close makes it durable.
        drop(log.append(1, payload(510)));
        read_all(&*log, 0, 0).await
    };
    for round in 0..3u32 {
        fixture.set_now_ms(40_000 + i64::from(round));
        if fixture.reopen().await.is_none() {
            return;
        }
        let log = fixture.log();
        assert_eq!(read_all(&*log, 0, 0).await[..300], before, "round {round}");
        let second = payloads(&read_all(&*log, 1, 0).await);
        assert_eq!(second, (500..511).map(payload).collect::<Vec<_>>(), "round {round}");
        assert_eq!(log.committed(LANES[0], 0).expect("committed"), Some(9));
        assert_eq!(log.committed(LANES[1], 0).expect("committed"), Some(40));
        let offset = within(log.append(0, payload(300 + round))).await.expect("append");
        let last = read_all(&*log, 0, offset).await;
        assert_eq!(payloads(&last), [payload(300 + round)]);
        assert!(last[0].appended_at_ms >= 50_000, "times never fall, restarts included");
    }
}

/// Old records go, but none that a lane has not taken; reads begin at the rest.
pub async fn retention_waits_for_lanes(mut fixture: impl Fixture) {
    let log = fixture.log();
    fixture.set_now_ms(0);
    fill(&*log, 0, 0..400).await;
    for lane in LANES {
        log.declare_lane(lane).expect("declare");
    }
    within(log.commit(LANES[0], 0, 400)).await.expect("commit");
    fixture.set_now_ms(10 * 60_000);
    fixture.retain().await;
    assert_eq!(log.bounds(0).0, 0, "the other lane never committed");
    within(log.commit(LANES[1], 0, 250)).await.expect("commit");
    fixture.retain().await;
    let (first, end) = log.bounds(0);
    assert!(0 < first && first <= 250, "dropped up to {first}; one lane stands at 250");
    assert_eq!(end, 400);
    let numbers: Vec<u32> = read_all(&*log, 0, 0).await.iter().map(number).collect();
    assert_eq!(numbers, (first as u32..400).collect::<Vec<_>>(), "begins at the first kept");
    fill(&*log, 0, 400..401).await;
    within(log.commit(LANES[0], 0, 401)).await.expect("commit");
    within(log.commit(LANES[1], 0, 401)).await.expect("commit");
    fixture.retain().await;
    let numbers: Vec<u32> = read_all(&*log, 0, 0).await.iter().map(number).collect();
    assert_eq!(numbers.last(), Some(&400), "a young record stays");
    let bounds = log.bounds(0);
    drop(log);
    if fixture.reopen().await.is_some() {
        assert_eq!(fixture.log().bounds(0), bounds, "after a restart");
    }
}

/// Closing makes durable what was handed over; then nothing is taken.
pub async fn closes(mut fixture: impl Fixture) {
    let log = fixture.log();
    let handed_over: Vec<_> = (0..50).map(|n| log.append(0, payload(n))).collect();
    within(log.close()).await.expect("close");
    for append in handed_over {
        within(append).await.expect("handed over before the close");
    }
    let late = within(log.append(0, payload(99))).await;
    assert!(matches!(late, Err(AppendError::NotWritten { .. })), "after the close: {late:?}");
    assert!(log.status().refusing.is_some(), "the status says so");
    within(log.close()).await.expect("close again");
    assert_eq!(read_all(&*log, 0, 0).await.len(), 50, "still readable");
    drop(log);
    if fixture.reopen().await.is_some() {
        assert_eq!(read_all(&*fixture.log(), 0, 0).await.len(), 50);
    }
}

/// What is out of range is refused, and harms nothing.
pub async fn refuses_nonsense(fixture: impl Fixture) {
    let log = fixture.log();
    let none = log.partitions();
    assert!(within(log.append(none, payload(1))).await.is_err(), "no such partition");
    assert!(within(log.read(none, 0, READ_BYTES)).await.is_err());
    assert!(within(log.offset_at(none, 0)).await.is_err());
    assert!(log.committed(LANES[0], none).is_err());
    assert!(within(log.commit(LANES[0], none, 0)).await.is_err());
    assert_eq!(log.bounds(none), (0, 0));
    fill(&*log, 0, 0..1).await;
    assert!(log.status().refusing.is_none(), "{:?}", log.status());
}

async fn fill(log: &dyn EventLog, partition: u32, numbers: std::ops::Range<u32>) {
    let appends: Vec<_> = numbers.map(|n| log.append(partition, payload(n))).collect();
    for append in appends {
        within(append).await.expect("append");
    }
}

async fn read_all(log: &dyn EventLog, partition: u32, from: u64) -> Vec<LogRecord> {
    let (mut from, end) = (from, log.bounds(partition).1);
    let mut all = Vec::new();
    while from < end {
        let some = within(log.read(partition, from, 10_000)).await.expect("read");
        let last = some.last().expect("a record below the end");
        from = last.offset + 1;
        all.extend(some);
    }
    all
}

/// 100 bytes that begin with their number.
fn payload(number: u32) -> Bytes {
    let mut payload = vec![b'.'; 100];
    payload[..4].copy_from_slice(&number.to_be_bytes());
    payload.into()
}

fn number(record: &LogRecord) -> u32 {
    record.payload[..4].iter().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

fn payloads(records: &[LogRecord]) -> Vec<Bytes> {
    records.iter().map(|record| record.payload.clone()).collect()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("takes too long")
}
