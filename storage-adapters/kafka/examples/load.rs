//! Records a second and events per CPU-second of this side, against a running
//! broker.
//!
//! `cargo run --release -p sluice-kafka --example load -- HOST:PORT [records]
//! [events a record] [bytes an event]`. Makes a topic of its own (`load-…`),
//! which stays. Appends are 512 at a time over 8 partitions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sluice_kafka::{KafkaConfig, KafkaDeps, KafkaLog, TopicConfig};
use sluice_seams::EventLog as _;

const AT_A_TIME: usize = 512;

type Failure = Box<dyn std::error::Error>;

#[expect(clippy::disallowed_methods, reason = "the clock that the log is given")]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// User and system time of this process, seconds (`proc(5)`: fields 14 and 15 of
/// `stat`, 100 a second on Linux).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Text that compresses about as events do: a common frame, values that differ.
fn payload(record: u64, events: u64, event_bytes: usize) -> Bytes {
    let mut text = String::with_capacity(events as usize * event_bytes);
    let mut random = record.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for event in 0..events {
        let from = text.len();
        text.push_str("{\"name\":\"page_view\",\"path\":\"/pages/goods/detail\",\"id\":\"");
        while text.len() - from < event_bytes {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            text.push_str(&format!("{random:016x}\",\"property_{event}\":\"of some value "));
        }
        text.truncate(from + event_bytes);
    }
    Bytes::from(text)
}

fn report(what: &str, records: u64, events: u64, begun: Instant, cpu_before: f64) {
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu_before);
    println!(
        "{what}: {:.0} records/s, {:.0} events/s; {cpu:.2} CPU-seconds, {:.0} events per CPU-second",
        records as f64 / seconds,
        (records * events) as f64 / seconds,
        (records * events) as f64 / cpu.max(0.01)
    );
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let brokers = arguments.first().ok_or("load HOST:PORT [records] [events] [bytes]")?.clone();
    let number = |at: usize, default: u64| match arguments.get(at) {
        Some(text) => text.parse::<u64>(),
        None => Ok(default),
    };
    let (records, events, bytes) = (number(1, 20_000)?, number(2, 50)?, number(3, 400)?);
    let config = KafkaConfig { brokers, topic: format!("load-{}", now_ms()), ..Default::default() };
    let topic = TopicConfig {
        name: config.topic.clone(),
        partitions: config.partitions,
        retention_ms: Some(config.retention_ms),
    };
    let log = KafkaLog::open(config.clone(), topic, KafkaDeps { now_ms: Arc::new(now_ms) }).await?;
    let kinds: Vec<Bytes> = (0..256).map(|n| payload(n, events, bytes as usize)).collect();

    let (begun, before) = (Instant::now(), cpu_seconds());
    let mut waiting = VecDeque::new();
    for n in 0..records {
        if waiting.len() == AT_A_TIME
            && let Some(oldest) = waiting.pop_front()
        {
            oldest.await?;
        }
        let partition = (n % u64::from(config.partitions)) as u32;
        waiting.push_back(log.append(partition, kinds[(n % 256) as usize].clone()));
    }
    for append in waiting {
        append.await?;
    }
    report("append", records, events, begun, before);

    let (begun, before, mut read) = (Instant::now(), cpu_seconds(), 0);
    for partition in 0..config.partitions {
        let (mut at, end) = log.bounds(partition);
        while at < end {
            let some = log.read(partition, at, 4 << 20).await?;
            at = some.last().ok_or("records are missing")?.offset + 1;
            read += some.len() as u64;
        }
    }
    report("read", read, events, begun, before);
    log.close().await?;
    Ok(())
}
