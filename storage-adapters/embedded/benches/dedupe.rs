//! `D`: new keys into an index that already holds a week, copies, persist.
//!
//! `cargo bench -p sluice-embedded --bench dedupe`; time is per record of 50 events.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sluice_embedded::dedupe::{DedupeConfig, EmbeddedDedupe};
use sluice_seams::key::DAY_MS;
use sluice_seams::{Day, DedupeIndex, DedupePartition, Key, Seen, Sighting};

const EVENTS_PER_RECORD: u64 = 50;
const RECORDS_PER_PERSIST: u64 = 1_000;
const RECORDS_PER_DAY: u64 = 4_000;
const LOG_MS: i64 = 20_777 * DAY_MS;

/// Record `offset`: keys are spread as hashes are.
fn record(offset: u64, sightings: &mut Vec<Sighting>) {
    sightings.clear();
    sightings.extend((0..EVENTS_PER_RECORD).map(|index| {
        let n = u128::from(offset * EVENTS_PER_RECORD + index + 1);
        let key = n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        let key = key ^ key.rotate_right(59).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let fingerprint = key as u64;
        Sighting { key: Key(key), offset, index: index as u32, day: Day(20_777), fingerprint }
    }));
}

/// Resolves a run of records, persisting as fan out does.
struct Run {
    owner: Box<dyn DedupePartition>,
    next: u64,
    sightings: Vec<Sighting>,
    verdicts: Vec<Seen>,
}

impl Run {
    fn step(&mut self, at_ms: i64) {
        record(self.next, &mut self.sightings);
        self.verdicts.clear();
        self.owner.resolve(at_ms, &self.sightings, &mut self.verdicts).expect("resolve succeeds");
        self.next += 1;
        if self.next.is_multiple_of(RECORDS_PER_PERSIST) {
            self.owner.persist(self.next).expect("persist succeeds");
        }
    }
}

fn benches(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let index = EmbeddedDedupe::open(DedupeConfig::new(dir.path())).expect("the index opens");
    let owner = index.open(0).expect("the partition opens");
    let mut run = Run { owner, next: 0, sightings: Vec::new(), verdicts: Vec::new() };
    let mut group = criterion.benchmark_group("dedupe");
    group.throughput(Throughput::Elements(EVENTS_PER_RECORD));
    group.bench_function("new keys, first day", |bencher| {
        bencher.iter(|| run.step(LOG_MS));
    });
    for day in 1..8 {
        for _ in 0..RECORDS_PER_DAY {
            run.step(LOG_MS + day * DAY_MS);
        }
    }
    let now_ms = LOG_MS + 7 * DAY_MS;
    group.bench_function("new keys, eighth day", |bencher| {
        bencher.iter(|| run.step(now_ms));
    });
    run.owner.persist(run.next).expect("persist succeeds");
    let mut at = 0;
    group.bench_function("copies of any age", |bencher| {
        bencher.iter(|| {
            at = (at + 7_919) % run.next;
            record(at, &mut run.sightings);
            run.verdicts.clear();
            run.owner.resolve(now_ms, &run.sightings, &mut run.verdicts).expect("resolve succeeds");
            black_box(&run.verdicts);
        });
    });
    group.finish();
}

criterion_group!(dedupe, benches);
criterion_main!(dedupe);
