//! Rows a second and rows per CPU-second of this side, against a running HBase.
//!
//! `cargo run --release -p sluice-hbase --example load -- HOST:PORT[,HOST:PORT…]
//! [events] [calls at a time]`. Makes tables of its own (`load-…`), which stay.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::StreamExt;
use sluice_hbase::{HbaseConfig, HbaseDeps, HbaseRows};
use sluice_seams::contract::sample::{document, properties};
use sluice_seams::row::Cell;
use sluice_seams::{Key, ProfileChange, RowStore, RowWrite};

const EVENTS_PER_CALL: u64 = 1_000;
const USERS: u64 = 20_000;

type Failure = Box<dyn std::error::Error>;

#[expect(clippy::disallowed_methods, reason = "the clock that the store is given")]
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

/// Call `n`: a row and a sighting for each event, a profile for one in twenty.
fn call(n: u64, start_ms: i64, profiles: bool) -> Vec<RowWrite> {
    let mut writes = Vec::with_capacity(2 * EVENTS_PER_CALL as usize);
    for event in n * EVENTS_PER_CALL..(n + 1) * EVENTS_PER_CALL {
        let user = format!("user-{}", event * 7_919 % USERS);
        let time_ms = start_ms + event as i64;
        let row = document("demo", &format!("e-{event}"), "buy", time_ms, &user, "", |event, _| {
            properties(event, r#"{"price":199.5,"sku":"a-1024","tags":["new","sale"],"count":3}"#);
        });
        writes.push(RowWrite::Timeline(row));
        let user: Arc<str> = user.into();
        if profiles && event % 20 == 0 {
            writes.push(RowWrite::Profile(ProfileChange {
                app_id: "demo".into(),
                user: Arc::clone(&user),
                time_ms,
                key: Key(u128::from(event)),
                name: "level".into(),
                cell: Cell::Set(Bytes::from(event.to_string())),
            }));
        }
        writes.push(RowWrite::Seen { app_id: "demo".into(), user, time_ms });
    }
    writes
}

async fn phase(
    name: &str,
    store: &HbaseRows,
    calls: VecDeque<Vec<RowWrite>>,
    at_a_time: usize,
) -> Result<(), Failure> {
    let events = calls.len() as u64 * EVENTS_PER_CALL;
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let mut writes =
        futures::stream::iter(calls).map(|writes| store.write(writes)).buffer_unordered(at_a_time);
    while let Some(report) = writes.next().await {
        report?;
    }
    let (took, cpu) = (began.elapsed().as_secs_f64(), (cpu_seconds() - cpu).max(0.01));
    let events = events as f64;
    println!(
        "{name:32} {:9.0} events/s {:9.0} events per CPU-second  ({took:.1} s, {cpu:.2} CPU-s)",
        events / took,
        events / cpu
    );
    Ok(())
}

async fn pages(store: &HbaseRows) -> Result<(), Failure> {
    const PAGES: u64 = 2_000;
    let (began, cpu) = (Instant::now(), cpu_seconds());
    for user in 0..PAGES {
        store.timeline("demo", &format!("user-{user}"), None, 20).await?;
    }
    let (took, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let (pages, each_ms) = (PAGES as f64, took * 1e3 / PAGES as f64);
    println!(
        "{:32} {:9.0} a second, one by one: {each_ms:.2} ms ({cpu:.2} CPU-s)",
        "pages of 20",
        pages / took
    );
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let servers = arguments.next().ok_or("usage: load HOST:PORT[,HOST:PORT…] [events] [calls]")?;
    let events: u64 = arguments.next().map_or(Ok(200_000), |text| text.parse())?;
    let at_a_time: usize = arguments.next().map_or(Ok(4), |text| text.parse())?;
    let config = HbaseConfig {
        servers: servers.split(',').map(str::to_owned).collect(),
        table_prefix: format!("load-{}.", now_ms()),
        salt_buckets: 4,
        ..HbaseConfig::default()
    };
    let open = || HbaseRows::open(config.clone(), HbaseDeps { now_ms: Arc::new(now_ms) });
    let store = open().await?;
    let (count, start_ms) = (events / EVENTS_PER_CALL, now_ms());
    let calls = |from, to, profiles| (from..to).map(|n| call(n, start_ms, profiles)).collect();
    phase("users not seen before", &store, calls(0, 20, true), at_a_time).await?;
    phase("rows and sightings", &store, calls(20, count, false), at_a_time).await?;
    let more = calls(count, count + count / 4, true);
    phase("rows, sightings, profiles", &store, more, at_a_time).await?;
    phase("all of it again", &store, calls(20, count, false), at_a_time).await?;
    let rows: VecDeque<Vec<_>> = calls(20, count, false);
    let rows = rows.into_iter().map(|call| {
        call.into_iter().filter(|write| matches!(write, RowWrite::Timeline(_))).collect()
    });
    phase("rows alone", &store, rows.collect(), at_a_time).await?;
    pages(&store).await?;
    println!("{:?}", store.figures());
    store.close().await?;
    let store = open().await?;
    phase("all of it, by another writer", &store, calls(20, count, false), at_a_time).await?;
    Ok(())
}
