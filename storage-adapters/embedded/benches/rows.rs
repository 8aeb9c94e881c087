//! Rows: a write call as a lane makes it, the pages of a timeline, a profile.
//!
//! `cargo bench -p sluice-embedded --bench rows`; a write is timed per call of
//! 1,000 events, its fsync included.

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sluice_embedded::rows::{EmbeddedRows, RowsConfig};
use sluice_seams::contract::sample::page_view;
use sluice_seams::key::DAY_MS;
use sluice_seams::{RowStore, RowWrite};

const EVENTS_PER_CALL: u64 = 1_000;
const USERS: u64 = 20_000;
const NOON_MS: i64 = 20_777 * DAY_MS + DAY_MS / 2;

/// Call `n`: a row and a sighting for each event, over a week.
fn call(n: u64) -> Vec<RowWrite> {
    let mut writes = Vec::with_capacity(2 * EVENTS_PER_CALL as usize);
    for event in n * EVENTS_PER_CALL..(n + 1) * EVENTS_PER_CALL {
        let user = format!("user-{}", event * 7_919 % USERS);
        let time_ms = NOON_MS + (event % 7) as i64 * DAY_MS + event as i64;
        let row = page_view("demo", &format!("e-{event}"), time_ms, &user, "pages/index");
        writes.push(RowWrite::Timeline(row));
        writes.push(RowWrite::Seen { app_id: "demo".into(), user: user.into(), time_ms });
    }
    writes
}

fn benches(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let config = RowsConfig::new(dir.path(), Arc::new(|| NOON_MS));
    let store = EmbeddedRows::open(config).expect("the rows open");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut next = 0;
    let mut group = criterion.benchmark_group("rows");
    group.throughput(Throughput::Elements(EVENTS_PER_CALL));
    group.sample_size(20);
    group.bench_function("write", |bencher| {
        bencher.iter_batched(
            || {
                next += 1;
                call(next - 1)
            },
            |writes| runtime.block_on(store.write(writes)).expect("write succeeds"),
            criterion::BatchSize::PerIteration,
        );
    });
    while next < 100 {
        runtime.block_on(store.write(call(next))).expect("write succeeds");
        next += 1;
    }
    group.throughput(Throughput::Elements(1));
    let mut user = 0;
    group.bench_function("newest 20 of a timeline", |bencher| {
        bencher.iter(|| {
            user = (user + 1) % USERS;
            let page = store.timeline("demo", &format!("user-{user}"), None, 20);
            runtime.block_on(page).expect("timeline succeeds")
        });
    });
    group.bench_function("profile", |bencher| {
        bencher.iter(|| {
            user = (user + 1) % USERS;
            let profile = store.profile("demo", &format!("user-{user}"));
            runtime.block_on(profile).expect("profile succeeds")
        });
    });
    group.finish();
}

criterion_group!(rows, benches);
criterion_main!(rows);
