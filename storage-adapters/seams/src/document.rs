//! The document store: what questions are asked of.

use std::borrow::Cow;
use std::sync::Arc;

use prost::Message;
use sluice_proto::v1::{BatchRecord, Envelope, EventType, RecordEvent};

use crate::question::{Question, Table};
use crate::{BoxFuture, Day, Field, Key, NamedField, Position, StoreError};

/// One deduplicated event, ready to be filed.
#[derive(Debug, Clone)]
pub struct EventDocument {
    /// Its identity; the document's id.
    pub key: Key,
    /// Where its first copy stands.
    pub position: Position,
    /// The day it is filed under (from `D`).
    pub day: Day,
    /// Milliseconds since the Unix epoch by the gateway's clock at receipt.
    pub received_at_ms: i64,
    /// The dialect that brought it.
    pub source: Arc<str>,
    /// What its batch shared.
    pub envelope: Arc<Envelope>,
    /// The event as admitted.
    pub event: Arc<RecordEvent>,
}

/// One idempotent write. None of them increments anything.
#[derive(Debug, Clone)]
pub enum DocumentWrite {
    /// `create` under `key`: an existing document stays as it is.
    Event(EventDocument),
    /// A user was active on a day: `create` under `(app, day, user)`. The day is
    /// of the *corrected* time, UTC.
    Visitor {
        /// App.
        app_id: Arc<str>,
        /// Day of the corrected time.
        day: Day,
        /// User id, else device id.
        user: Arc<str>,
    },
    /// A candidate for a user's first event. Under `(app, user)`; the smallest
    /// `(corrected time, key)` wins whatever the order. Kept for ever.
    FirstSeen(EventDocument),
    /// A follow or unfollow. `create` under `key`; kept for ever, so that the
    /// state at any past moment can be asked for.
    Follow(EventDocument),
}

/// A write that can never succeed; goes to the dead-letter log.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Index into the writes handed over.
    pub index: usize,
    /// Why, for people.
    pub detail: String,
}

/// What became of a set of writes. Everything not named in it is durable.
#[derive(Debug, Clone, Default)]
pub struct WriteReport {
    /// Were there already and stay as they were.
    pub existing: u64,
    /// Never going to be taken.
    pub refused: Vec<Refused>,
}

/// State of a store, for readiness and metrics.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct StoreStatus {
    /// Why it does not take writes; `None` when it does.
    pub refusing: Option<String>,
    /// Bytes on disk, where known.
    pub disk_bytes: Option<u64>,
    /// Documents or rows, where known.
    pub entries: Option<u64>,
}

/// What an app has sent so far: what a user can ask about.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Catalogue {
    /// Event names, sorted.
    pub events: Vec<String>,
    /// Paths below `properties`, sorted.
    pub properties: Vec<String>,
    /// Names below `ids`, sorted.
    pub ids: Vec<String>,
}

/// Documents by day, and the state documents beside them.
///
/// Duties: see the crate's page. `write` resolves once everything that it does
/// not refuse is durable and seen by the next `answer`; on `Retry` any subset
/// may have been applied, and the caller sends the same writes again.
pub trait DocumentStore: Send + Sync + 'static {
    /// Applies writes.
    fn write(&self, writes: Vec<DocumentWrite>) -> BoxFuture<'_, Result<WriteReport, StoreError>>;

    /// Answers a question exactly, or refuses it.
    fn answer(&self, question: Question) -> BoxFuture<'_, Result<Table, StoreError>>;

    /// Whether an event's document is there; for the event ledger.
    fn contains(&self, key: Key, day: Day) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// What an app has sent.
    fn catalogue(&self, app_id: &str) -> BoxFuture<'_, Result<Catalogue, StoreError>>;

    /// Days that hold documents, ascending.
    fn days(&self) -> BoxFuture<'_, Result<Vec<Day>, StoreError>>;

    /// Drops whole days of event documents before `day`. State documents
    /// (first seen, follows) stay.
    fn drop_before(&self, day: Day) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// State for readiness and metrics.
    fn status(&self) -> BoxFuture<'_, StoreStatus>;

    /// Makes everything durable and takes no more.
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

// === impl EventDocument ===

impl EventDocument {
    /// App id.
    pub fn app_id(&self) -> &str {
        &self.envelope.app_id
    }

    /// The event's own fields.
    pub fn inner(&self) -> &sluice_proto::v1::Event {
        // Fan out drops records without it before a document is made.
        self.event.event.as_ref().expect("a document is made from a whole event")
    }

    /// Corrected time, milliseconds since the Unix epoch.
    pub fn time_ms(&self) -> i64 {
        self.event.time_corrected
    }

    /// Who is counted as one user: the user id, else the device id.
    pub fn user(&self) -> &str {
        let event = self.inner();
        if event.user_id.is_empty() { &event.device_id } else { &event.user_id }
    }

    /// The value of a named field; `None` where it is empty.
    pub fn named(&self, field: NamedField) -> Option<Cow<'_, str>> {
        use NamedField as F;
        let (event, envelope) = (self.inner(), &*self.envelope);
        let page = event.page.as_ref();
        let device = envelope.device.as_ref();
        let sdk = envelope.sdk.as_ref();
        let text: &str = match field {
            F::Name => &event.name,
            F::Type => type_name(event.r#type()),
            F::User => self.user(),
            F::UserId => &event.user_id,
            F::DeviceId => &event.device_id,
            F::SessionId => &event.session_id,
            F::PagePath => page.map_or("", |page| &page.path),
            F::PageQuery => page.map_or("", |page| &page.query),
            F::PageTitle => page.map_or("", |page| &page.title),
            F::PageReferrer => page.map_or("", |page| &page.referrer),
            F::Scene => &event.scene,
            F::Platform => &envelope.platform,
            F::HostApp => &envelope.host_app,
            F::Env => &envelope.env,
            F::AppVersion => &envelope.app_version,
            F::SdkName => sdk.map_or("", |sdk| &sdk.name),
            F::SdkVersion => sdk.map_or("", |sdk| &sdk.version),
            F::DeviceModel => device.map_or("", |device| &device.model),
            F::DeviceBrand => device.map_or("", |device| &device.brand),
            F::DeviceOs => device.map_or("", |device| &device.os),
            F::DeviceOsVersion => device.map_or("", |device| &device.os_version),
            F::DeviceScreen => device.map_or("", |device| &device.screen),
            F::DeviceNetwork => device.map_or("", |device| &device.network),
            F::DeviceLang => device.map_or("", |device| &device.lang),
            F::TzOffsetMin => return Some(Cow::Owned(envelope.tz_offset_min.to_string())),
            F::Source => &self.source,
        };
        (!text.is_empty()).then_some(Cow::Borrowed(text))
    }

    /// All values of any field (several where a property is an array).
    pub fn values(&self, field: &Field) -> Vec<String> {
        match field {
            Field::Named(named) => self.named(*named).map(Cow::into_owned).into_iter().collect(),
            Field::Id(name) => self.inner().ids.get(name).cloned().into_iter().collect(),
            Field::Property(path) => {
                let mut values = Vec::new();
                self.each_property(|at, value| {
                    if at == path {
                        values.push(value.to_owned());
                    }
                });
                values
            }
        }
    }

    /// Calls `visit(path, value)` for every scalar below `properties`, as
    /// [`crate::field`] spells them. `null` is absence.
    pub fn each_property(&self, mut visit: impl FnMut(&str, &str)) {
        let bytes = &self.inner().properties;
        if bytes.is_empty() {
            return;
        }
        let Ok(serde_json::Value::Object(map)) = serde_json::from_slice(bytes) else { return };
        let mut path = String::new();
        for (name, value) in &map {
            walk(&mut path, name, value, &mut visit);
        }
    }

    /// Encodes the document so that a store can keep it whole.
    pub fn encode(&self) -> Vec<u8> {
        let record = BatchRecord {
            envelope: Some((*self.envelope).clone()),
            received_at: self.received_at_ms,
            source: self.source.to_string(),
            events: vec![RecordEvent { day: self.day.0, ..(*self.event).clone() }],
        };
        let mut bytes = Vec::with_capacity(16 + record.encoded_len());
        bytes.extend_from_slice(&self.position.partition.to_be_bytes());
        bytes.extend_from_slice(&self.position.offset.to_be_bytes());
        bytes.extend_from_slice(&self.position.index.to_be_bytes());
        record.encode(&mut bytes).expect("a Vec grows");
        bytes
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` where it is not that.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, tail) = bytes.split_at_checked(16)?;
        let record = BatchRecord::decode(tail).ok()?;
        let event = record.events.into_iter().next()?;
        event.event.as_ref()?;
        Some(Self {
            key: Key::from_slice(&event.key)?,
            position: Position {
                partition: u32::from_be_bytes(head[..4].try_into().ok()?),
                offset: u64::from_be_bytes(head[4..12].try_into().ok()?),
                index: u32::from_be_bytes(head[12..].try_into().ok()?),
            },
            day: Day(event.day),
            received_at_ms: record.received_at,
            source: record.source.into(),
            envelope: Arc::new(record.envelope.unwrap_or_default()),
            event: Arc::new(event),
        })
    }
}

/// The name users write for an event type.
pub fn type_name(r#type: EventType) -> &'static str {
    match r#type {
        EventType::Track => "track",
        EventType::UserSet => "user_set",
        EventType::UserSetOnce => "user_set_once",
        EventType::UserUnset => "user_unset",
        EventType::Alias => "alias",
        EventType::Error => "error",
        EventType::Perf => "perf",
        EventType::Request => "request",
    }
}

fn walk(
    path: &mut String,
    name: &str,
    value: &serde_json::Value,
    visit: &mut impl FnMut(&str, &str),
) {
    let length = path.len();
    if length > 0 {
        path.push('.');
    }
    path.push_str(name);
    leaf(path, value, visit);
    path.truncate(length);
}

fn leaf(path: &mut String, value: &serde_json::Value, visit: &mut impl FnMut(&str, &str)) {
    use serde_json::Value;
    match value {
        Value::Null => {}
        Value::Bool(flag) => visit(path, if *flag { "true" } else { "false" }),
        Value::Number(number) => visit(path, &number.to_string()),
        Value::String(text) => visit(path, text),
        Value::Array(items) => items.iter().for_each(|item| leaf(path, item, visit)),
        Value::Object(map) => {
            map.iter().for_each(|(name, value)| walk(path, name, value, visit));
        }
    }
}
