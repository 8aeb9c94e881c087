//! Bodies as SDKs and servers send them, and the way of a body to the collector
//! as the listener walks it, without the sockets.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::future::join_all;
use prost::Message;
use sluice_admit::{AppsConfig, Tenants};
use sluice_append::{Collect, CollectConfig};
use sluice_event::{Collector, Receipt};
use sluice_proto::v1;
use sluice_remember::{RememberConfig, Remembered};
use sluice_seams::EventLog;
use sluice_telemetry::{Clock, Registry, SystemClock};
use sluice_wire::dialects::{self, Answer, Dialect};
use sluice_wire::{Encoding, Head, Inflater};
use tokio::task::JoinHandle;

use crate::population::{Population, Sent, body};

/// Events of a batch, as SDKs send by default.
pub const BATCH_EVENTS: usize = 50;

/// One batch: of one device, or of as many as there are.
pub fn batch(population: &mut Population, now_ms: i64, one_device: bool) -> Vec<Sent> {
    let mut events = population.events(BATCH_EVENTS, now_ms);
    if one_device && let Some(Sent { device, user, .. }) = events.first().cloned() {
        for event in &mut events {
            (event.device, event.user) = (device.clone(), user.clone());
        }
    }
    events
}

/// A batch in JSON.
pub fn json(events: &[Sent], now_ms: i64) -> Bytes {
    body(events, now_ms).into()
}

/// A body through gzip.
pub fn gzip(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("in memory").into()
}

/// A batch in protobuf: the same fields as in JSON.
pub fn protobuf(events: &[Sent], now_ms: i64) -> Bytes {
    batch_message(events, now_ms).encode_to_vec().into()
}

/// The same before it is encoded.
pub fn batch_message(events: &[Sent], now_ms: i64) -> v1::Batch {
    let events = events.iter().map(event).collect();
    let device = v1::Device {
        model: "iPhone 15".to_owned(),
        os: "iOS".to_owned(),
        network: "wifi".to_owned(),
        ..v1::Device::default()
    };
    v1::Batch {
        platform: "wx".to_owned(),
        app_version: "1.2.3".to_owned(),
        sent_at: now_ms,
        device: Some(device),
        events,
        ..v1::Batch::default()
    }
}

/// An event as it stands in protobuf.
pub fn event(sent: &Sent) -> v1::Event {
    let json = sent.json();
    let page = v1::Page {
        path: sent.page.clone(),
        query: "from=list".to_owned(),
        title: "商品详情".to_owned(),
        ..v1::Page::default()
    };
    v1::Event {
        id: sent.id.clone(),
        name: sent.name.to_owned(),
        time: sent.time_ms,
        device_id: sent.device.clone(),
        user_id: sent.user.clone().unwrap_or_default(),
        session_id: format!("s-{}", sent.device),
        scene: "1001".to_owned(),
        page: Some(page),
        properties: json["properties"].to_string().into_bytes().into(),
        ..v1::Event::default()
    }
}

/// The collector of a gateway without a config file, over a log.
pub struct Door {
    /// Takes what comes through the door.
    pub collect: Collect,
    dialect: &'static dyn Dialect,
    head: Head,
    inflater: Inflater,
    inflated: Vec<u8>,
}

// === impl Door ===

impl Door {
    /// Opens it for bodies of one kind.
    pub async fn open(log: Arc<dyn EventLog>, media: &str, gzip: bool) -> Self {
        let (registry, clock) = (Registry::new(), Arc::new(SystemClock));
        let tenants = Tenants::new(AppsConfig::demo(), clock.clone(), &registry).expect("valid");
        let remembered = Remembered::new(RememberConfig::default(), &registry).expect("valid");
        let config = CollectConfig::default();
        let collect = Collect::new(config, Arc::new(tenants), remembered, log, clock, &registry);
        let collect = collect.expect("valid");
        collect.warm(|_| {}).await.expect("a log that can be read");
        let (dialect, route) = dialects::find("/v1/events").expect("claimed");
        let mut request = http::Request::post(route.path)
            .header("authorization", "Bearer demo-write-key")
            .header("content-type", media);
        if gzip {
            request = request.header("content-encoding", "gzip");
        }
        let head = Head::new(request.body(()).expect("valid").into_parts().0, None);
        let (inflater, inflated) = (Inflater::default(), Vec::new());
        Self { collect, dialect, head, inflater, inflated }
    }

    /// All that happens in the call: admit, inflate, decode, check, remember,
    /// encode, hand over. A task of its own, as the listener makes one, waits for
    /// the log.
    pub fn hand_over(&mut self, body: &Bytes) -> JoinHandle<Receipt> {
        let Self { collect, dialect, head, inflater, inflated } = self;
        dialect.check_head(head).expect("valid");
        let encoding = dialect.encoding(head).expect("known");
        let presented = dialect.presented(head);
        let grant = collect.authenticate(&presented).expect("a demo key");
        let permit = collect.admit_bytes(&grant, &presented, body).expect("unlimited");
        let limits = &grant.limits;
        let plain: &[u8] = if encoding == Encoding::Identity {
            body
        } else {
            inflated.clear();
            inflater.inflate(encoding, body, inflated, limits.inflated_bytes_max).expect("valid");
            inflated
        };
        let payload = dialect.unwrap(head, plain, limits, inflater).expect("valid");
        let batch = dialect.decode(head, &payload, limits).expect("valid");
        let pending = collect.collect(&grant, dialect.kind(), batch).expect("let in");
        tokio::spawn(async move {
            let receipt = pending.await;
            drop(permit);
            receipt
        })
    }

    /// Words the answer.
    pub fn answer(&self, receipt: &Receipt) -> Answer {
        self.dialect.answer(&self.head, "", Ok(receipt))
    }
}

/// Fills a log with `batches` batches of one device each, through the collector.
pub async fn fill(log: Arc<dyn EventLog>, population: &mut Population, batches: usize) {
    const AT_ONCE: usize = 200;
    let mut door = Door::open(log, "application/json", false).await;
    for start in (0..batches).step_by(AT_ONCE) {
        let pending: Vec<_> = (start..batches.min(start + AT_ONCE))
            .map(|_| {
                let now_ms = SystemClock.now_ms();
                let events = batch(population, now_ms, true);
                door.hand_over(&json(&events, now_ms))
            })
            .collect();
        for receipt in join_all(pending).await {
            let receipt = receipt.expect("no panic");
            assert_eq!(receipt.accepted as usize, BATCH_EVENTS, "{receipt:?}");
        }
    }
}
