//! Each step of the way of a batch by itself: inflate, decode (every kind of
//! `drive`, from the body as it came), check, remember, encode, pack. Batches of 50
//! events as `drive` makes them; criterion's throughput is events per second of
//! one core. `cargo bench -p load-tests --bench steps -- decode/sensors` takes one.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main,
};
use load_tests::crowd::now_ms;
use load_tests::drive::body::Form;
use load_tests::drive::forge::{Forge, Mix};
use load_tests::drive::kind::Kind;
use load_tests::reader::Reader;
use sluice_admit::{Admitted, AppsConfig, Tenants, Terms};
use sluice_append::steps;
use sluice_event::{Batch, Event, Grant, Limits, Parsed, Presented};
use sluice_remember::{RememberConfig, Remembered};
use sluice_seams::Key;
use sluice_telemetry::{Registry, SystemClock};
use sluice_wire::{Encoding, Inflater};

const EVENTS: usize = 50;
/// Partitions of the log of a gateway without a config file.
const PARTITIONS: u32 = 4;
const RECORD_BYTES_MAX: usize = 512 * 1024;

/// One body, as it comes over the wire.
fn body(kind: Kind) -> Bytes {
    let forge = Forge::new(Form::new(kind, "bench"), EVENTS, Mix::CLEAN, 7);
    Reader::framed(kind, forge.make(1).body)
}

fn group<'c>(bench: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = bench.benchmark_group(name);
    group.throughput(Throughput::Elements(EVENTS as u64));
    group
}

fn inflate(bench: &mut Criterion) {
    let (body, mut inflater, mut inflated) =
        (body(Kind::JsonGzip), Inflater::default(), Vec::new());
    group(bench, "inflate").bench_function("json", |bencher| {
        bencher.iter(|| {
            inflated.clear();
            let max = Limits::default().inflated_bytes_max;
            inflater.inflate(Encoding::Gzip, &body, &mut inflated, max).expect("valid");
            black_box(inflated.len())
        });
    });
}

fn decode(bench: &mut Criterion) {
    let mut group = group(bench, "decode");
    // A message of a stream is read as one of a call.
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::GrpcStream) {
        let (body, mut reader) = (body(kind), Reader::new(kind));
        let good = |batch: Batch<'_>| {
            batch.events.iter().filter(|event| matches!(event, Parsed::Event(_))).count()
        };
        assert_eq!(reader.read(&body, good).expect("valid"), EVENTS, "{}", kind.name());
        group.bench_function(kind.name(), |bencher| {
            bencher.iter(|| reader.read(&body, |batch| black_box(&batch).events.len()));
        });
    }
}

fn grant() -> Grant {
    let clock = Arc::new(SystemClock);
    let tenants = Tenants::new(AppsConfig::demo(), clock, &Registry::new()).expect("valid");
    let presented = Presented { key: Some("demo-write-key"), ..Presented::default() };
    tenants.authenticate(&presented).expect("a demo key")
}

fn events(batch: &Batch<'_>) -> Vec<Event<'static>> {
    let good = batch.events.iter().filter_map(|parsed| match parsed {
        Parsed::Event(event) => Some(owned(event)),
        Parsed::Bad { .. } => None,
    });
    good.collect()
}

/// Out of the body, so that a bench can hold it.
fn owned(event: &Event<'_>) -> Event<'static> {
    let text = |text: &str| text.to_owned().into();
    Event {
        id: text(&event.id),
        name: text(&event.name),
        time_ms: event.time_ms,
        device_id: text(&event.device_id),
        user_id: text(&event.user_id),
        session_id: text(&event.session_id),
        scene: text(&event.scene),
        properties: event.properties.to_vec().into(),
        bytes: event.bytes,
        ..Event::default()
    }
}

fn admitted(grant: &Grant, events: Vec<Event<'static>>) -> Vec<(Event<'static>, Admitted)> {
    let (terms, envelope, now_ms) = (Terms::of(grant), Default::default(), now_ms());
    let check = |mut event| {
        let admitted = terms.check(&envelope, &mut event, now_ms).expect("valid");
        (event, admitted)
    };
    events.into_iter().map(check).collect()
}

fn check(bench: &mut Criterion) {
    let (grant, mut reader) = (grant(), Reader::new(Kind::Json));
    let events = reader.read(&body(Kind::Json), |batch| events(&batch)).expect("valid");
    assert_eq!(events.len(), EVENTS);
    group(bench, "admit").bench_function("check", |bencher| {
        let call = |events| black_box(admitted(&grant, events));
        bencher.iter_batched(|| events.clone(), call, BatchSize::SmallInput);
    });
}

fn remember(bench: &mut Criterion) {
    let set = Remembered::new(RememberConfig::default(), &Registry::new()).expect("valid");
    let mut next: u64 = 0;
    group(bench, "remember").bench_function("reserve and confirm", |bencher| {
        bencher.iter(|| {
            let keys: [(Key, u64); EVENTS] = std::array::from_fn(|_| {
                next += 1;
                let low = next.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let high = low.rotate_left(29) ^ next;
                (Key(u128::from(high) << 64 | u128::from(low)), low)
            });
            let mut guard = set.reserve(&keys).expect("nothing else is in flight");
            guard.confirm(0..keys.len());
        });
    });
}

fn record(bench: &mut Criterion) {
    let (grant, mut reader) = (grant(), Reader::new(Kind::Json));
    let batch = body(Kind::Json);
    let events = reader.read(&batch, |batch| events(&batch)).expect("valid");
    let admitted = admitted(&grant, events);
    let (dialect, envelope) = (sluice_event::Dialect::Native, Default::default());
    let mut out = Vec::new();
    let encode = |out: &mut Vec<u8>| {
        out.clear();
        steps::encode(&grant, dialect, &envelope, &admitted, 1, out);
        out.len()
    };
    let bytes = encode(&mut out);
    assert!(bytes > batch.len() / 2, "{bytes} bytes of {}", batch.len());
    group(bench, "record").bench_function("encode", |bencher| {
        bencher.iter(|| black_box(encode(&mut out)));
    });
    let encoded: Vec<(u32, Bytes)> = (0..EVENTS as u32)
        .map(|index| (index % PARTITIONS, Bytes::from(vec![7; bytes / EVENTS])))
        .collect();
    group(bench, "record").bench_function("pack, 4 partitions", |bencher| {
        bencher.iter(|| {
            let records = steps::pack(b"head", black_box(&encoded), RECORD_BYTES_MAX);
            assert_eq!(records.len(), PARTITIONS as usize);
            records
        });
    });
}

criterion_group!(benches, inflate, decode, check, remember, record);
criterion_main!(benches);
