//! A batch as a dialect read it: borrowed from the body wherever it can be.
//!
//! A dialect checks types (is `name` a string?); `admit` checks values (is it a
//! valid name?). One bad event never fails its batch (GW-REPLY-4): it is carried
//! as [`Parsed::Bad`] with its reason.

use std::borrow::Cow;

use sluice_proto::v1::EventType;

use crate::properties::Properties;
use crate::reason::Reason;

/// Text of the body, or owned where it had escapes.
pub type Text<'b> = Cow<'b, str>;

/// What the events of one batch share. Empty text means absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Envelope<'b> {
    /// App id as sent; empty: take the key's.
    pub app_id: Text<'b>,
    /// `jd`, `wx`, `my` …
    pub platform: Text<'b>,
    /// Host app.
    pub host_app: Text<'b>,
    /// `release` where empty.
    pub env: Text<'b>,
    /// Version of the mini program.
    pub app_version: Text<'b>,
    /// SDK name.
    pub sdk_name: Text<'b>,
    /// SDK version.
    pub sdk_version: Text<'b>,
    /// Device.
    pub device: Device<'b>,
    /// The device's offset from UTC, minutes.
    pub tz_offset_min: i32,
    /// Device clock at sending, milliseconds; 0: unknown, no correction.
    pub sent_at_ms: i64,
    /// The client's name for this batch.
    pub batch_id: Text<'b>,
    /// 1 on a first try.
    pub attempt: u32,
    /// Events the client lost since its last success.
    pub dropped: u64,
    /// An event without a time happened when it is received. Otherwise it is refused.
    pub time_of_receipt: bool,
}

/// The device that reports.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Device<'b> {
    /// Model.
    pub model: Text<'b>,
    /// Brand.
    pub brand: Text<'b>,
    /// Operating system.
    pub os: Text<'b>,
    /// Version of it.
    pub os_version: Text<'b>,
    /// Screen, `WxH`.
    pub screen: Text<'b>,
    /// Network kind.
    pub network: Text<'b>,
    /// Language.
    pub lang: Text<'b>,
}

/// One event as sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'b> {
    /// Id, or the identity that the dialect composed; empty: missing.
    pub id: Text<'b>,
    /// Name; empty: missing.
    pub name: Text<'b>,
    /// Device clock when it happened, milliseconds; `None`: missing.
    pub time_ms: Option<i64>,
    /// Device; empty: missing (allowed for server keys only).
    pub device_id: Text<'b>,
    /// What it does.
    pub r#type: EventType,
    /// After login.
    pub user_id: Text<'b>,
    /// openid, unionid …
    pub ids: Vec<(Text<'b>, Text<'b>)>,
    /// Session.
    pub session_id: Text<'b>,
    /// Place in the session.
    pub seq: u64,
    /// Page, where there is one.
    pub page: Option<Page<'b>>,
    /// How the mini program was opened.
    pub scene: Text<'b>,
    /// A JSON object's text; empty: none.
    pub properties: Properties<'b>,
    /// Bytes that the event took in the body.
    pub bytes: usize,
}

/// The page an event happened on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page<'b> {
    /// Path.
    pub path: Text<'b>,
    /// Query.
    pub query: Text<'b>,
    /// Title.
    pub title: Text<'b>,
    /// Referrer.
    pub referrer: Text<'b>,
}

/// One element of `events`.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)] // nearly all are events: a box each would be an allocation each
pub enum Parsed<'b> {
    /// Read; its values are not yet checked.
    Event(Event<'b>),
    /// Could not be read.
    Bad {
        /// Id where one could be read.
        id: String,
        /// Why.
        reason: Reason,
        /// Where, and what is allowed.
        detail: String,
    },
}

/// A batch as a dialect read it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch<'b> {
    /// What its events share.
    pub envelope: Envelope<'b>,
    /// Its events, in order; at most the batch limit.
    pub events: Vec<Parsed<'b>>,
}

// === impl Event ===

impl Default for Event<'_> {
    fn default() -> Self {
        Self {
            id: Text::default(),
            name: Text::default(),
            time_ms: None,
            device_id: Text::default(),
            r#type: EventType::Track,
            user_id: Text::default(),
            ids: Vec::new(),
            session_id: Text::default(),
            seq: 0,
            page: None,
            scene: Text::default(),
            properties: Properties::default(),
            bytes: 0,
        }
    }
}
