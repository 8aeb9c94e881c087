//! What is particular to a log that others write to, and to its faults, on a
//! real broker.

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sluice_kafka::{KafkaConfig, KafkaDeps, KafkaLog};
use sluice_seams::{AppendError, EventLog, LogRecord, StoreError};

use support::{Broker, events, now_ms, open};

const READ_BYTES: usize = 1 << 20;

fn payload(number: u32) -> Bytes {
    Bytes::from(format!("{number:08}"))
}

async fn read_all(log: &KafkaLog, partition: u32) -> Vec<LogRecord> {
    let (mut at, end) = log.bounds(partition);
    let mut all = Vec::new();
    while at < end {
        let some = log.read(partition, at, READ_BYTES).await.expect("read");
        let Some(last) = some.last() else { break };
        at = last.offset + 1;
        all.extend(some);
    }
    all
}

fn numbers(records: &[LogRecord]) -> Vec<u32> {
    let text = |record: &LogRecord| String::from_utf8_lossy(&record.payload).parse();
    records.iter().map(|record| text(record).expect("a number")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn what_one_appends_the_other_sees_soon() {
    let broker = Broker::shared();
    let config = broker.config();
    let (one, other) = (open(&config).await, open(&config).await);
    let mut latest = Vec::new();
    for n in 0..20 {
        let waiting = tokio::spawn({
            let other = other.clone();
            async move { other.wait(0, n).await }
        });
        // Let it stand at the end, as a worker that keeps up does.
        tokio::time::sleep(Duration::from_millis(30)).await;
        one.append(0, payload(n as u32)).await.expect("append");
        let appended = Instant::now();
        tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("wakes").expect("task");
        latest.push(appended.elapsed());
        let records = other.read(0, n, READ_BYTES).await.expect("read");
        assert_eq!(numbers(&records), [n as u32]);
    }
    latest.sort_unstable();
    assert!(latest[10] < Duration::from_millis(100), "median {:?}", latest[10]);
    assert!(other.bounds_at_ms(now_ms()) <= now_ms());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn the_offset_of_a_time_is_the_brokers() {
    let broker = Broker::shared();
    let log = open(&broker.config()).await;
    assert_eq!(log.offset_at(0, 0).await.expect("empty"), 0);
    for n in 0..10 {
        log.append(0, payload(n)).await.expect("append");
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    let records = read_all(&log, 0).await;
    for record in &records {
        assert_eq!(log.offset_at(0, record.appended_at_ms).await.expect("found"), record.offset);
    }
    assert_eq!(log.offset_at(0, i64::MAX).await.expect("the end"), 10);
    assert_eq!(log.offset_at(0, now_ms() + 60_000).await.expect("the end"), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn a_topic_other_than_wanted_is_refused_by_name() {
    let broker = Broker::shared();
    let config = broker.config();
    drop(open(&config).await);
    let refused = async |config: KafkaConfig| {
        let deps = KafkaDeps { now_ms: std::sync::Arc::new(now_ms) };
        let opened = KafkaLog::open(config.clone(), events(&config), deps).await;
        opened.err().expect("refused").to_string()
    };
    let more = refused(KafkaConfig { partitions: 3, ..config.clone() }).await;
    assert!(more.contains("has 2 partitions") && more.contains("kafka.partitions"), "{more}");
    let longer = KafkaConfig { retention_ms: config.retention_ms * 2, ..config.clone() };
    let longer = refused(longer).await;
    assert!(longer.contains("retention.ms") && longer.contains("kafka-configs.sh"), "{longer}");
    let copies = KafkaConfig { replication: 2, ..config.clone() };
    assert!(refused(copies).await.contains("has 1 copies"));
    let missing = KafkaConfig { create_topics: false, ..broker.config() };
    let missing = refused(missing).await;
    assert!(missing.contains("kafka-topics.sh") && missing.contains("LogAppendTime"), "{missing}");
    let away = KafkaConfig { brokers: "127.0.0.1:1".into(), request_timeout_ms: 1_000, ..config };
    let away = refused(away).await;
    assert!(away.contains("127.0.0.1:1"), "{away}");
}

/// Retention does not wait for lanes: a reader that is overtaken goes on from
/// the first record kept, at once and every time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn a_reader_that_retention_overtakes_goes_on_from_the_first_kept() {
    let broker = Broker::shared();
    let (fetch_bytes_max, compression) = (64 << 10, "none".to_owned());
    let config = KafkaConfig { fetch_bytes_max, compression, ..broker.config() };
    let log = open(&config).await;
    let large = |n: u64| Bytes::from(format!("{n:08}").repeat(1_000));
    for group in 0..50 {
        // Small batches: a reader has a part of the log only.
        let appends: Vec<_> = (0..20).map(|n| log.append(0, large(group * 20 + n))).collect();
        for append in appends {
            append.await.expect("append");
        }
    }
    let first = log.read(0, 0, 1).await.expect("read");
    assert_eq!(first[0].offset, 0);
    // The next second the log does not hear of a new beginning but by reading.
    let heard_ms = log.bounds_at_ms(i64::MAX);
    while log.bounds_at_ms(i64::MAX) == heard_ms {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    delete_below(&config, 900).await;
    let begun = Instant::now();
    let (mut at, mut seen) = (1, Vec::new());
    while at < 1_000 {
        let records = log.read(0, at, 30_000).await.expect("read");
        at = records.last().expect("there are some").offset + 1;
        seen.extend(records);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let ahead = seen.iter().filter(|record| record.offset < 900).count();
    println!("{ahead} were read ahead; {:?}", begun.elapsed());
    assert!(ahead < 800, "nothing was overtaken: {ahead}");
    assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
    assert!(seen.iter().all(|record| record.payload == large(record.offset)), "as appended");
    assert!(seen.is_sorted_by(|a, b| a.offset < b.offset), "in order, once");
    let kept: Vec<u64> = seen.iter().map(|record| record.offset).filter(|n| *n >= 900).collect();
    assert_eq!(kept, (900..1_000).collect::<Vec<_>>());
    let again = log.read(0, 5, 1).await.expect("read");
    assert_eq!(again[0].offset, 900);
}

async fn delete_below(config: &KafkaConfig, offset: i64) {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &config.brokers);
    let admin: AdminClient<DefaultClientContext> = client.create().expect("a client");
    let mut below = TopicPartitionList::new();
    let offset = Offset::Offset(offset);
    below.add_partition_offset(&config.topic, 0, offset).expect("an offset");
    admin.delete_records(&below, &AdminOptions::new()).await.expect("deleted");
}

/// Appends under load until told to stop; what was acknowledged, and the rest.
async fn load(log: KafkaLog, rounds: u32, pause: Duration) -> (BTreeSet<u32>, u32) {
    let (mut acknowledged, mut not) = (BTreeSet::new(), 0);
    for round in 0..rounds {
        let numbers = round * 100..(round + 1) * 100;
        let appends: Vec<_> = numbers.map(|n| (n, log.append(n % 2, payload(n)))).collect();
        tokio::time::sleep(pause).await;
        for (n, append) in appends {
            match append.await {
                Ok(_) => drop(acknowledged.insert(n)),
                Err(AppendError::Poisoned(why)) => panic!("poisoned: {why}"),
                Err(_) => not += 1,
            }
        }
    }
    (acknowledged, not)
}

fn check(all: &[Vec<u32>], acknowledged: &BTreeSet<u32>) {
    let mut seen = BTreeSet::new();
    for partition in all {
        assert!(partition.is_sorted(), "the order of the calls");
        for n in partition {
            assert!(seen.insert(*n), "{n} twice");
        }
    }
    let lost: Vec<_> = acknowledged.difference(&seen).collect();
    assert_eq!(lost, Vec::<&u32>::new(), "acknowledged and lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn a_broker_that_is_killed_costs_nothing_acknowledged() {
    let broker = tokio::task::block_in_place(Broker::own);
    let config = KafkaConfig { silent_ms_max: 1_000, ..broker.config() };
    let log = open(&config).await;
    let loading = tokio::spawn(load(log.clone(), 60, Duration::from_millis(100)));
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        tokio::task::block_in_place(|| broker.run("kill", &["kafka"]));
        tokio::time::sleep(Duration::from_secs(3)).await;
        let refusing = log.status().refusing;
        assert!(refusing.is_some_and(|why| why.contains("brokers")), "unready while it is away");
        tokio::task::block_in_place(|| broker.run("start", &["kafka"]));
        let started = Instant::now();
        while log.append(0, payload(2_000_000)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!("takes again {:?} after it is back", started.elapsed());
    }
    let (acknowledged, not) = loading.await.expect("no panic");
    let mut all = Vec::new();
    for partition in 0..2 {
        log.append(partition, payload(1_000_000)).await.expect("it takes again");
        all.push(numbers(&read_all(&log, partition).await));
    }
    all.iter_mut().for_each(|numbers| numbers.retain(|n| *n < 1_000_000));
    check(&all, &acknowledged);
    assert!(acknowledged.len() > 1_000, "{} acknowledged", acknowledged.len());
    println!("{} acknowledged, {not} not, lost 0, twice 0", acknowledged.len());
    assert_eq!(log.status().refusing, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn a_broker_that_hangs_past_the_time_out_leaves_the_outcome_unknown() {
    let broker = tokio::task::block_in_place(Broker::own);
    let config = KafkaConfig { message_timeout_ms: 2_000, silent_ms_max: 500, ..broker.config() };
    let log = open(&config).await;
    log.append(0, payload(0)).await.expect("append");
    broker.run("pause", &["kafka"]);
    let hanging = log.append(0, payload(1)).await;
    assert!(matches!(hanging, Err(AppendError::Unknown(_))), "{hanging:?}");
    // Meanwhile nothing more is queued up behind it.
    let hanging = log.append(0, payload(2));
    tokio::time::sleep(Duration::from_millis(900)).await;
    let next = log.append(0, payload(3)).await;
    assert!(matches!(next, Err(AppendError::NotWritten { .. })), "{next:?}");
    broker.run("resume", &["kafka"]);
    let second = hanging.await;
    let deadline = Instant::now() + Duration::from_secs(30);
    let offset = loop {
        match log.append(0, payload(4)).await {
            Ok(offset) => break offset,
            Err(error) => assert!(Instant::now() < deadline, "does not heal: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let found = numbers(&read_all(&log, 0).await);
    assert!(found.contains(&0) && found.contains(&4) && !found.contains(&3), "{found:?}");
    assert!(second.is_err() || found.contains(&2), "{found:?}");
    assert!(found.is_sorted() && offset >= 1, "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn a_full_queue_refuses_at_once() {
    let broker = tokio::task::block_in_place(Broker::own);
    let config = KafkaConfig { queue_bytes_max: 1 << 20, ..broker.config() };
    let log = open(&config).await;
    broker.run("pause", &["kafka"]);
    let large = Bytes::from(vec![b'x'; 300 << 10]);
    let taken: Vec<_> = (0..3).map(|_| log.append(0, large.clone())).collect();
    let refused = log.append(0, large.clone()).await;
    assert!(
        matches!(&refused, Err(AppendError::NotWritten { detail, .. }) if detail.contains("wait"))
    );
    broker.run("resume", &["kafka"]);
    for append in taken {
        append.await.expect("taken once it goes on");
    }
    assert_eq!(log.figures().queue_bytes, 0);
    let huge = log.append(0, Bytes::from(vec![0; config.record_bytes_max + 1])).await;
    assert!(matches!(huge, Err(AppendError::NotWritten { .. })));
    assert!(matches!(log.read(9, 0, 1).await, Err(StoreError::Refused(_))));
}
