//! The rules for one event: values, properties, time, key and fingerprint.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sluice_admit::{AppsConfig, Tenants, Terms, fingerprint};
use sluice_event::batch::Page;
use sluice_event::{Envelope, Event, Presented};
use sluice_telemetry::{Clock, ManualClock, Registry};

const NOW_MS: i64 = 1_795_190_400_000;
const PROPERTIES: &str = concat!(
    r#"{"sku":"100012043978","title":"iPhone 17 Pro 256GB 星宇橙","price":8999.00,"count":1,"#,
    r#""in_stock":true,"source":{"channel":"search","position":3},"coupon":null,"#,
    r#""url":"pages/product/index?sku=100012043978"}"#
);

fn event() -> Event<'static> {
    Event {
        id: "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b".into(),
        name: "page_view".into(),
        time_ms: Some(NOW_MS - 1_000),
        device_id: "9f1c2d3e-4b5a-6978-8796-a5b4c3d2e1f0".into(),
        user_id: "u-1234567".into(),
        session_id: "s-1790000000-17".into(),
        seq: 17,
        page: Some(Page { path: "pages/product/index".into(), ..Page::default() }),
        scene: "1001".into(),
        properties: PROPERTIES.as_bytes().into(),
        bytes: 600,
        ..Event::default()
    }
}

fn admit(c: &mut Criterion) {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW_MS));
    let tenants = Tenants::new(AppsConfig::demo(), clock, &Registry::new()).expect("valid");
    let presented = Presented { key: Some("demo-write-key"), ..Presented::default() };
    let grant = tenants.authenticate(&presented).expect("known");
    let terms = Terms::of(&grant);
    let envelope = Envelope { sent_at_ms: NOW_MS, ..Envelope::default() };

    let mut group = c.benchmark_group("admit");
    group.throughput(Throughput::Elements(1));
    group.bench_function("check one event", |b| {
        b.iter(|| terms.check(black_box(&envelope), black_box(&mut event()), NOW_MS));
    });
    group.bench_function("make the event (baseline)", |b| b.iter(|| black_box(event())));
    group.bench_function("fingerprint", |b| {
        let event = event();
        b.iter(|| fingerprint(black_box(&event)));
    });
    group
        .bench_function("authenticate", |b| b.iter(|| tenants.authenticate(black_box(&presented))));
    group.finish();
}

criterion_group!(benches, admit);
criterion_main!(benches);
