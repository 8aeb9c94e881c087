//! An event as an app makes it. The fields are those of `sdk-spec/collect.md`, §1.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

/// Something that happened. Made with [`Event::new`]; everything else is optional.
///
/// ```
/// use sluice_client::Event;
///
/// let event = Event::new("order")
///     .id("order-7001-paid") // the same order reported twice counts once
///     .user_id("user-42")
///     .property("amount_cny", 129.9)
///     .property("items", 3);
/// assert_eq!(event.name(), "order");
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Event {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(rename = "time")]
    pub(crate) time_ms: Option<i64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) device_id: String,
    #[serde(rename = "type", skip_serializing_if = "is_track")]
    pub(crate) kind: Kind,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) user_id: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) ids: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) session_id: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) page: Option<Page>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) scene: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(crate) properties: Map<String, Value>,
}

/// What an event does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Something happened.
    #[default]
    Track,
    /// Sets properties of the user.
    UserSet,
    /// Sets those that are not set yet.
    UserSetOnce,
    /// Unsets properties of the user.
    UserUnset,
    /// Joins two identities.
    Alias,
    /// An error.
    Error,
    /// A measurement.
    Perf,
    /// A request of the app.
    Request,
}

/// The page an event happened on. Each text at most 8 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Page {
    /// Path.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Query, without `?`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub query: String,
    /// Title.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// The page before.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub referrer: String,
}

fn is_track(kind: &Kind) -> bool {
    *kind == Kind::Track
}

fn is_zero(seq: &u64) -> bool {
    *seq == 0
}

// === impl Event ===

impl Event {
    /// An event of this name: `^[$A-Za-z][A-Za-z0-9_.$-]{0,127}$`. Reserved names
    /// (`order`, `page_view` …) mean what the contract says (SDK-EVENT-1).
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// 1–64 visible ASCII characters, unique within the app for ever. Left out, the
    /// client makes a UUIDv7 (SDK-ID-1, SDK-ID-2). An id that follows from what
    /// happened makes reporting it twice harmless, also from two servers.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// When it happened, milliseconds since 1970-01-01 UTC; left out, now.
    #[must_use]
    pub fn time_ms(mut self, time_ms: i64) -> Self {
        self.time_ms = Some(time_ms);
        self
    }

    /// The device on whose behalf this is reported, at most 128 bytes. A server key
    /// may leave it out.
    #[must_use]
    pub fn device_id(mut self, device_id: impl Into<String>) -> Self {
        self.device_id = device_id.into();
        self
    }

    /// What it does; [`Kind::Track`] where left out.
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The user, at most 255 bytes.
    #[must_use]
    pub fn user_id(mut self, user_id: impl Into<String>) -> Self {
        self.user_id = user_id.into();
        self
    }

    /// Another identity, such as `openid`; at most 16 of them.
    #[must_use]
    pub fn identity(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.ids.insert(name.into(), value.into());
        self
    }

    /// The session, at most 64 bytes, and the place in it.
    #[must_use]
    pub fn session(mut self, session_id: impl Into<String>, seq: u64) -> Self {
        (self.session_id, self.seq) = (session_id.into(), seq);
        self
    }

    /// The page.
    #[must_use]
    pub fn page(mut self, page: Page) -> Self {
        self.page = Some(page);
        self
    }

    /// How the mini program was opened, at most 8 KiB.
    #[must_use]
    pub fn scene(mut self, scene: impl Into<String>) -> Self {
        self.scene = scene.into();
        self
    }

    /// Adds a property. At most 100 at all levels together, three levels deep; what
    /// is beyond is left out, a text over 8 KiB is cut (SDK-EVENT-2).
    #[must_use]
    pub fn property(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.properties.insert(key.into(), value.into());
        self
    }

    /// Adds properties.
    #[must_use]
    pub fn properties(mut self, more: impl IntoIterator<Item = (String, Value)>) -> Self {
        self.properties.extend(more);
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its id; empty until the client has taken it, where none was given.
    pub fn event_id(&self) -> &str {
        &self.id
    }
}
