//! The event log against the bare disk: groups of records of about 20 KB, and one
//! write with one fdatasync of the same bytes, in the same run.
//!
//! The difference is what the log itself costs: hand-over, checksums, one copy,
//! and answering every caller.

use std::fs::OpenOptions;
use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sluice_embedded::log::{EmbeddedLog, LogConfig};
use sluice_seams::EventLog;
use tokio::runtime::Runtime;

/// A batch of 50 events, packed.
const RECORD_BYTES: usize = 20_000;
/// Files are begun anew past this, so that a bench does not fill a disk.
const FILE_BYTES_MAX: u64 = 512 << 20;

fn payload() -> Bytes {
    (0..RECORD_BYTES).map(|n| (n * 31 % 251) as u8).collect::<Vec<_>>().into()
}

fn append(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("runtime");
    let payload = payload();
    let mut group = criterion.benchmark_group("log_append");
    group.sample_size(20).measurement_time(Duration::from_secs(2));
    group.warm_up_time(Duration::from_millis(500));
    for records in [1usize, 16, 128] {
        group.throughput(Throughput::Bytes((records * RECORD_BYTES) as u64));
        let dir = tempfile::tempdir().expect("tempdir");
        let bytes = vec![7u8; records * RECORD_BYTES];
        group.bench_function(BenchmarkId::new("bare", records), |bencher| {
            let path = dir.path().join("bare");
            let mut file = OpenOptions::new().append(true).create(true).open(&path).expect("open");
            bencher.iter(|| {
                file.write_all(black_box(&bytes)).expect("write");
                file.sync_data().expect("sync");
                if file.metadata().expect("metadata").len() > FILE_BYTES_MAX {
                    file.set_len(0).expect("truncate");
                }
            });
        });
        for partitions in [1u32, 8] {
            let dir = tempfile::tempdir().expect("tempdir");
            let mut config = LogConfig::new(dir.path().join("log"), partitions, Arc::new(|| 0));
            config.retention_bytes = Some(FILE_BYTES_MAX);
            config.disk_reserve_bytes = Some(0);
            let log = EmbeddedLog::open(config).expect("open");
            let id = BenchmarkId::new(format!("log_{partitions}_partitions"), records);
            group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    runtime.block_on(async {
                        let appends: Vec<_> = (0..records)
                            .map(|n| log.append(n as u32 % partitions, payload.clone()))
                            .collect();
                        for append in appends {
                            black_box(append.await.expect("append"));
                        }
                    });
                    log.housekeep().expect("housekeep");
                });
            });
        }
    }
    group.finish();
}

fn read(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("runtime");
    let dir = tempfile::tempdir().expect("tempdir");
    let log = EmbeddedLog::open(LogConfig::new(dir.path().join("log"), 1, Arc::new(|| 0)));
    let log = log.expect("open");
    runtime.block_on(async {
        for _ in 0..8 {
            let appends: Vec<_> = (0..400).map(|_| log.append(0, payload())).collect();
            for append in appends {
                append.await.expect("append");
            }
        }
    });
    let end = log.bounds(0).1;
    let mut group = criterion.benchmark_group("log_read");
    group.sample_size(20).measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Bytes(end * RECORD_BYTES as u64));
    group.bench_function("from_start_to_end", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let mut from = 0;
                while from < end {
                    let records = log.read(0, from, 1 << 20).await.expect("read");
                    from = records.last().map_or(end, |record| record.offset + 1);
                }
            });
        });
    });
    group.finish();
}

criterion_group!(benches, append, read);
criterion_main!(benches);
