//! A collector that keeps what it gets, and a raw socket that says anything.

#![allow(dead_code, unreachable_pub)] // each test binary uses its own part

use std::collections::HashSet;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use sluice_event::service::{InFlight, KeyKind, SdkConfig};
use sluice_event::{
    Batch, Collector, Dialect, EventResult, Grant, Limits, Outcome, Parsed, Presented, Reason,
    Receipt, Refusal,
};
use sluice_telemetry::Registry;
use sluice_wire::{Fallback, Listener, ServeHandle, WireConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest that a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
pub struct Fake {
    pub seen: Arc<Mutex<HashSet<String>>>,
    pub batches: AtomicUsize,
    pub refusals: Mutex<Vec<Reason>>,
    pub in_flight: Arc<AtomicUsize>,
    pub finished: Arc<AtomicUsize>,
    /// Nothing is durable.
    pub broken: AtomicBool,
    pub unready: AtomicBool,
    /// How long an append takes, milliseconds.
    pub append_ms: AtomicUsize,
    pub limits: Mutex<Limits>,
    /// The last batch, as the vectors write it.
    pub last: Mutex<Value>,
}

impl Fake {
    fn judge(&self, batch: &Batch<'_>, store: bool) -> Receipt {
        let mut receipt = Receipt { server_time_ms: 1_795_190_400_123, ..Receipt::default() };
        for (index, parsed) in batch.events.iter().enumerate() {
            let index = index as u32;
            let (id, outcome, reason, detail) = match parsed {
                Parsed::Bad { id, reason, detail } => {
                    (id.clone(), Outcome::Rejected, Some(*reason), detail.clone())
                }
                Parsed::Event(event) if self.broken.load(Ordering::SeqCst) => {
                    let reason = Some(Reason::LogUnavailable);
                    (event.id.to_string(), Outcome::Retry, reason, String::new())
                }
                Parsed::Event(event) => {
                    if !store || self.seen.lock().insert(event.id.to_string()) {
                        receipt.accepted += 1;
                        continue;
                    }
                    (event.id.to_string(), Outcome::Duplicate, None, String::new())
                }
            };
            match outcome {
                Outcome::Duplicate => receipt.duplicates += 1,
                Outcome::Retry => receipt.retry += 1,
                _ => receipt.rejected += 1,
            }
            receipt.results.push(EventResult { index, id, outcome, reason, detail });
        }
        receipt.retry_after_ms = 1_500;
        receipt
    }
}

impl Collector for Fake {
    fn authenticate(&self, presented: &Presented<'_>) -> Result<Grant, Refusal> {
        let sensors = presented.sensors_project.is_some_and(|(project, _)| project != "unknown");
        let rangers = presented.datarangers_app_id.is_some_and(|app_id| app_id != "404");
        match presented.key {
            Some("key") => {}
            None if sensors || rangers => {}
            None => return Err(Refusal::new(Reason::KeyMissing, "present a key")),
            Some(_) => return Err(Refusal::new(Reason::KeyUnknown, "no such key")),
        }
        let limits = *self.limits.lock();
        Ok(Grant { app_id: "demo".into(), kind: KeyKind::Write, limits, tenant: Arc::new(()) })
    }

    fn admit_bytes(
        &self,
        _grant: &Grant,
        _presented: &Presented<'_>,
        _body: &[u8],
    ) -> Result<InFlight, Refusal> {
        let in_flight = Arc::clone(&self.in_flight);
        in_flight.fetch_add(1, Ordering::SeqCst);
        Ok(InFlight::new(move || {
            in_flight.fetch_sub(1, Ordering::SeqCst);
        }))
    }

    fn collect(
        &self,
        _grant: &Grant,
        _dialect: Dialect,
        batch: Batch<'_>,
    ) -> Result<impl Future<Output = Receipt> + Send + 'static, Refusal> {
        if batch.envelope.app_id == "limited" {
            return Err(Refusal::new(Reason::RateLimited, "slow down").retry_after_ms(2_500));
        }
        self.batches.fetch_add(1, Ordering::SeqCst);
        *self.last.lock() = describe(&batch);
        let receipt = self.judge(&batch, true);
        let finished = Arc::clone(&self.finished);
        let append = Duration::from_millis(self.append_ms.load(Ordering::SeqCst) as u64);
        Ok(async move {
            tokio::time::sleep(append).await;
            finished.fetch_add(1, Ordering::SeqCst);
            receipt
        })
    }

    fn validate(&self, _grant: &Grant, batch: Batch<'_>) -> Result<Receipt, Refusal> {
        Ok(self.judge(&batch, false))
    }

    fn sdk_config(&self, _grant: &Grant) -> SdkConfig {
        SdkConfig::default()
    }

    fn refused(&self, _app_id: Option<&str>, _dialect: Dialect, refusal: &Refusal) {
        self.refusals.lock().push(refusal.reason);
    }

    fn unready(&self) -> Option<Refusal> {
        let refusal = || Refusal::new(Reason::Overloaded, "too much in flight");
        self.unready.load(Ordering::SeqCst).then(refusal)
    }
}

pub struct Server {
    pub fake: Arc<Fake>,
    pub registry: Registry,
    pub handle: ServeHandle,
}

pub fn config() -> WireConfig {
    WireConfig { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..WireConfig::default() }
}

pub fn start() -> Server {
    start_with(config(), Fallback::not_found())
}

pub fn start_with(config: WireConfig, fallback: Fallback) -> Server {
    let fake = Arc::new(Fake::default());
    let registry = Registry::new();
    let listener = Listener::bind(config).expect("a free port");
    let handle = listener.serve(Arc::clone(&fake), fallback, &registry);
    Server { fake, registry, handle }
}

impl Server {
    pub fn addr(&self) -> SocketAddr {
        self.handle.local_addr()
    }

    /// Sends bytes, reads to the end of the connection or of one response.
    pub async fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.addr()).await.expect("listening");
        stream.write_all(bytes).await.expect("taken");
        read_answer(&mut stream).await
    }

    pub async fn post(&self, path: &str, headers: &str, body: &[u8]) -> Answer {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n{headers}\r\n",
            body.len()
        );
        self.raw(&[head.as_bytes(), body].concat()).await
    }

    pub async fn events(&self, headers: &str, body: &[u8]) -> Answer {
        self.post("/v1/events", &format!("x-sluice-key: key\r\n{headers}"), body).await
    }
}

/// A response; `status` 0: the connection was closed without one.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub fn reason(&self) -> String {
        self.json()["error"]["reason"].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    }
}

/// Reads one response.
pub async fn read_answer(stream: &mut TcpStream) -> Answer {
    let read = async {
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(end) = head_end {
                let mut answer = Answer {
                    head: String::from_utf8_lossy(&bytes[..end]).into_owned(),
                    ..Answer::default()
                };
                answer.status = answer.head[9..12].parse().expect("a status");
                let length = answer.header("content-length");
                let length: usize = length.map_or(0, |text| text.parse().expect("a number"));
                if bytes.len() >= end + 4 + length {
                    answer.body = bytes[end + 4..end + 4 + length].to_vec();
                    return answer;
                }
            }
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return Answer::default(),
                Ok(read) => bytes.extend_from_slice(&chunk[..read]),
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("an answer or an end")
}

/// A native batch of `count` events whose ids begin with `prefix`.
pub fn batch(prefix: &str, count: usize) -> String {
    let events: Vec<_> = (0..count)
        .map(|index| {
            format!(
                r#"{{"id":"{prefix}-{index}","name":"page_view","time":1795190400000,"device_id":"d1","page":{{"path":"pages/index"}},"properties":{{"a":1}}}}"#
            )
        })
        .collect();
    format!(r#"{{"platform":"wx","events":[{}]}}"#, events.join(","))
}

/// Waits until something holds.
pub async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..400 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not in time: {what}");
}

/// A batch as the vectors write it: what is empty is left out.
pub fn describe(batch: &Batch<'_>) -> Value {
    let envelope = &batch.envelope;
    let device = &envelope.device;
    let events: Vec<_> = batch.events.iter().map(describe_event).collect();
    let envelope = lean(json!({
        "app_id": envelope.app_id, "platform": envelope.platform, "host_app": envelope.host_app,
        "env": envelope.env, "app_version": envelope.app_version,
        "sdk_name": envelope.sdk_name, "sdk_version": envelope.sdk_version,
        "device": lean(json!({
            "model": device.model, "brand": device.brand, "os": device.os,
            "os_version": device.os_version, "screen": device.screen,
            "network": device.network, "lang": device.lang,
        })),
        "tz_offset_min": envelope.tz_offset_min, "sent_at": envelope.sent_at_ms,
        "batch_id": envelope.batch_id, "attempt": envelope.attempt, "dropped": envelope.dropped,
    }));
    json!({"envelope": envelope, "events": events})
}

fn describe_event(parsed: &Parsed<'_>) -> Value {
    let event = match parsed {
        Parsed::Bad { id, reason, detail } => {
            return json!({"bad": {"id": id, "reason": reason, "detail": detail}});
        }
        Parsed::Event(event) => event,
    };
    let ids: Map<_, _> =
        event.ids.iter().map(|(key, id)| (key.to_string(), id.to_string().into())).collect();
    let page = event.page.as_ref().map(|page| {
        lean(json!({
            "path": page.path, "query": page.query, "title": page.title, "referrer": page.referrer,
        }))
    });
    let properties: Value = serde_json::from_slice(&event.properties).unwrap_or_default();
    let r#type = event.r#type.as_str_name().trim_start_matches("EVENT_TYPE_").to_lowercase();
    lean(json!({
        "id": event.id, "name": event.name, "time": event.time_ms, "device_id": event.device_id,
        "type": r#type, "user_id": event.user_id, "ids": ids, "session_id": event.session_id,
        "seq": event.seq, "page": page, "scene": event.scene, "properties": properties,
    }))
}

fn lean(mut value: Value) -> Value {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    if let Value::Object(members) = &mut value {
        members.retain(|_, member| !empty(member));
    }
    value
}
