//! What a key costs: reserve + confirm at a million live keys, and a look at a
//! key that is known, beside a plain map. Prints ns a key (criterion's
//! throughput) and bytes a key.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sluice_remember::{RememberConfig, Remembered};
use sluice_seams::Key;
use sluice_seams::key::AppHash;
use sluice_telemetry::Registry;

const LIVE: usize = 1_000_000;
const BATCH: usize = 50;

fn keys(from: usize, count: usize) -> Vec<(Key, u64)> {
    let app = AppHash::of("bench");
    (from..from + count).map(|n| (app.key(&format!("event-{n}")), n as u64)).collect()
}

fn full(registry: &Registry) -> Arc<Remembered> {
    // A capacity of a third over a million keys, full: each insertion forgets.
    let config = RememberConfig { bytes_max: LIVE * 4 / 3 * 24, ..Default::default() };
    let set = Remembered::new(config, registry).expect("valid bounds");
    for (key, fingerprint) in keys(0, LIVE * 3 / 2) {
        set.seed(key, fingerprint);
    }
    set
}

fn value(registry: &Registry, name: &str) -> f64 {
    let text = registry.encode().expect("encodes");
    let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).expect("is there");
    line.rsplit(' ').next().and_then(|text| text.parse().ok()).expect("a number")
}

fn remember(c: &mut Criterion) {
    let registry = Registry::new();
    let set = full(&registry);
    let fresh = keys(10_000_000, LIVE * 2);
    let mut group = c.benchmark_group("remember");
    group.throughput(Throughput::Elements(BATCH as u64));
    let (mut at, mut slowest) = (0, Duration::ZERO);
    group.bench_function("reserve+confirm, new keys, 50 a batch", |b| {
        b.iter(|| {
            at = (at + BATCH) % fresh.len();
            let since = Instant::now();
            let mut guard = set.reserve(&fresh[at..at + BATCH]).expect("room");
            guard.confirm(0..BATCH);
            drop(guard);
            slowest = slowest.max(since.elapsed());
        });
    });
    let known = keys(LIVE * 3 / 2 - 100_000, 100_000);
    group.bench_function("reserve, known keys, 50 a batch", |b| {
        let mut at = 0;
        b.iter(|| {
            at = (at + BATCH) % known.len();
            drop(black_box(set.reserve(&known[at..at + BATCH]).expect("room")));
        });
    });
    group.finish();
    let (held, bytes) =
        (value(&registry, "sluice_remember_keys"), value(&registry, "sluice_remember_bytes"));
    println!(
        "remember: {held} keys in {bytes} bytes: {:.1} B a key now, {:.1} at capacity; \
         slowest batch {slowest:?}",
        bytes / held,
        bytes / set.capacity() as f64,
    );
}

fn plain_map(c: &mut Criterion) {
    let mut map: HashMap<u128, (), ahash::RandomState> = HashMap::default();
    map.reserve(LIVE * 4 / 3);
    let old = keys(0, LIVE);
    map.extend(old.iter().map(|(key, _)| (key.0, ())));
    let fresh = keys(10_000_000, LIVE);
    let mut group = c.benchmark_group("plain ahash map");
    group.throughput(Throughput::Elements(BATCH as u64));
    let mut at = 0;
    // Each batch replaces the one that it pushes out, so that the size stays.
    group.bench_function("insert + remove an old one, 50 a batch", |b| {
        b.iter(|| {
            let out = if (at / LIVE).is_multiple_of(2) { &old } else { &fresh };
            let into = if (at / LIVE).is_multiple_of(2) { &fresh } else { &old };
            let start = at % LIVE;
            for n in start..start + BATCH {
                map.remove(&out[n].0.0);
                black_box(map.insert(into[n].0.0, ()));
            }
            at += BATCH;
        });
    });
    group.finish();
    println!("plain map: {:.1} B a key of its capacity", 17.0 * 8.0 / 7.0);
}

criterion_group!(benches, remember, plain_map);
criterion_main!(benches);
