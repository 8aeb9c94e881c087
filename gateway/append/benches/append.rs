//! The whole call of a batch but its decoding: admission, checks, reservation,
//! encoding and hand-over, then the receipt, over a log that keeps nothing.
//! 50 events of about 457 bytes a batch, every id new. Criterion's throughput is
//! events per second of one core.

use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures::FutureExt;
use sluice_admit::{AppsConfig, Tenants};
use sluice_append::{Collect, CollectConfig};
use sluice_event::batch::{Device, Page};
use sluice_event::{Batch, Collector, Dialect, Envelope, Event, Grant, Parsed, Presented};
use sluice_remember::{RememberConfig, Remembered};
use sluice_seams::log::LogStatus;
use sluice_seams::{AppendError, BoxFuture, EventLog, LogRecord, StoreError};
use sluice_telemetry::{ManualClock, Registry};

const NOW: i64 = 1_795_190_400_000;
const EVENTS: usize = 50;
const PROPERTIES: &str = r#"{"sku":"100012043978","price":"129.00","category":"digital","position":3,"is_first_day":false,"latest_scene":"1001","page_url":"pages/item/index?sku=100012043978&from=search"}"#;

/// Takes everything, keeps nothing.
struct NullLog;

impl EventLog for NullLog {
    fn partitions(&self) -> u32 {
        16
    }

    fn append(&self, _: u32, payload: Bytes) -> BoxFuture<'static, Result<u64, AppendError>> {
        let length = payload.len() as u64;
        std::future::ready(Ok(length)).boxed()
    }

    fn read(&self, _: u32, _: u64, _: usize) -> BoxFuture<'_, Result<Vec<LogRecord>, StoreError>> {
        std::future::ready(Ok(Vec::new())).boxed()
    }

    fn wait(&self, _: u32, _: u64) -> BoxFuture<'_, ()> {
        std::future::pending().boxed()
    }

    fn bounds(&self, _: u32) -> (u64, u64) {
        (0, 0)
    }

    fn offset_at(&self, _: u32, _: i64) -> BoxFuture<'_, Result<u64, StoreError>> {
        std::future::ready(Ok(0)).boxed()
    }

    fn declare_lane(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    fn committed(&self, _: &str, _: u32) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    fn commit(&self, _: &str, _: u32, _: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        std::future::ready(Ok(())).boxed()
    }

    fn rewind(&self, _: &str, _: u32, _: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        std::future::ready(Ok(())).boxed()
    }

    fn status(&self) -> LogStatus {
        LogStatus::default()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        std::future::ready(Ok(())).boxed()
    }
}

/// One device's events, as decoding leaves them: texts borrowed from the body.
fn batch<'b>(device_id: &'b str, ids: &'b [String]) -> Batch<'b> {
    let event = |id: &'b String| {
        Parsed::Event(Event {
            id: id.as_str().into(),
            name: "exposure".into(),
            time_ms: Some(NOW - 1_000),
            device_id: device_id.into(),
            session_id: "0193a5b2-7c4d-7e8f-9a0b".into(),
            seq: 17,
            page: Some(Page {
                path: "pages/item/index".into(),
                query: "sku=100012043978".into(),
                ..Page::default()
            }),
            scene: "1001".into(),
            properties: PROPERTIES.as_bytes().into(),
            bytes: 457,
            ..Event::default()
        })
    };
    let envelope = Envelope {
        app_id: "demo".into(),
        platform: "jd".into(),
        env: "release".into(),
        app_version: "3.2.1".into(),
        sdk_name: "sluice-js".into(),
        sdk_version: "1.0.0".into(),
        device: Device {
            model: "iPhone15,2".into(),
            brand: "Apple".into(),
            os: "iOS".into(),
            ..Device::default()
        },
        sent_at_ms: NOW - 100,
        batch_id: "0193a5b2-7c4d-7e8f".into(),
        attempt: 1,
        ..Envelope::default()
    };
    Batch { envelope, events: ids.iter().map(event).collect() }
}

fn collector() -> (Collect, Grant) {
    let (registry, clock) = (Registry::new(), Arc::new(ManualClock::at(NOW)));
    let tenants = Tenants::new(AppsConfig::demo(), clock.clone(), &registry).expect("valid");
    let remembered = Remembered::new(RememberConfig::default(), &registry).expect("valid");
    let (config, log) = (CollectConfig::default(), Arc::new(NullLog));
    let collect = Collect::new(config, Arc::new(tenants), remembered, log, clock, &registry);
    let collect = collect.expect("valid");
    let presented = Presented { key: Some("demo-write-key"), ..Presented::default() };
    let grant = collect.authenticate(&presented).expect("a demo key");
    (collect, grant)
}

fn append(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    let _entered = runtime.enter();
    let (collect, grant) = collector();
    runtime.block_on(collect.warm(|_| {})).expect("nothing to read");
    let mut group = c.benchmark_group("append");
    group.throughput(Throughput::Elements(EVENTS as u64));
    let mut number = 0u64;
    let mut ids = move || {
        (0..EVENTS)
            .map(|_| {
                number += 1;
                format!("0193a5b2-7c4d-7e8f-9a0b-{number:012x}")
            })
            .collect::<Vec<_>>()
    };
    for (name, known) in [("50 new events a batch", false), ("50 known events a batch", true)] {
        let again = ids();
        let mut next = || if known { again.clone() } else { ids() };
        group.bench_function(name, |b| {
            b.iter_batched(
                &mut next,
                |ids| {
                    let batch = batch("0193a5b2-7c4d-7e8f-9a0b-1c2d3e4f5a6b", &ids);
                    let receipt = collect.collect(&grant, Dialect::Native, batch).expect("let in");
                    // Ready at its first poll: the log answers at once.
                    let receipt = runtime.block_on(receipt);
                    assert_eq!(receipt.total() as usize, EVENTS);
                    ids
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, append);
criterion_main!(benches);
