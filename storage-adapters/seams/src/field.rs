//! Fields that questions filter and group by.
//!
//! Every field is read as text, on every store, so that the same question has
//! the same answer on each: numbers and booleans of `properties` in their JSON
//! spelling, arrays as one value per element, objects flattened with dots.
//! `<` and `>` compare as numbers where both sides are numbers, else as text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A field of an event or of its batch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Field {
    /// One of the closed list.
    Named(NamedField),
    /// `properties.<path>`.
    Property(String),
    /// `ids.<name>`.
    Id(String),
}

macro_rules! named_fields {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// Fields every event has a place for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum NamedField { $($(#[$doc])* $variant,)+ }

        impl NamedField {
            /// All of them, in the order in which they are listed to users.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name that users write.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The field of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

named_fields! {
    /// Event name.
    Name = "name",
    /// Event type: `track`, `error` …
    Type = "type",
    /// User id, else device id: who is counted as one user.
    User = "user",
    /// User id.
    UserId = "user_id",
    /// Device id.
    DeviceId = "device_id",
    /// Session id as sent.
    SessionId = "session_id",
    /// Path of the page.
    PagePath = "page.path",
    /// Query of the page.
    PageQuery = "page.query",
    /// Title of the page.
    PageTitle = "page.title",
    /// Referrer of the page.
    PageReferrer = "page.referrer",
    /// How the mini program was opened.
    Scene = "scene",
    /// `jd`, `wx` …
    Platform = "platform",
    /// Host app.
    HostApp = "host_app",
    /// `release`, `trial`, `develop`.
    Env = "env",
    /// Version of the mini program.
    AppVersion = "app_version",
    /// Name of the SDK.
    SdkName = "sdk.name",
    /// Version of the SDK.
    SdkVersion = "sdk.version",
    /// Device model.
    DeviceModel = "device.model",
    /// Device brand.
    DeviceBrand = "device.brand",
    /// Operating system.
    DeviceOs = "device.os",
    /// Version of the operating system.
    DeviceOsVersion = "device.os_version",
    /// Screen, as `WxH`.
    DeviceScreen = "device.screen",
    /// Kind of network.
    DeviceNetwork = "device.network",
    /// Language.
    DeviceLang = "device.lang",
    /// The device's offset from UTC, minutes.
    TzOffsetMin = "tz_offset_min",
    /// The dialect that brought the event.
    Source = "source",
}

/// The prefix of property fields.
pub const PROPERTIES_PREFIX: &str = "properties.";
/// The prefix of identity fields.
pub const IDS_PREFIX: &str = "ids.";

/// A field name that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown field `{0}`")]
pub struct UnknownField(pub String);

// === impl Field ===

impl FromStr for Field {
    type Err = UnknownField;

    fn from_str(text: &str) -> Result<Self, UnknownField> {
        if let Some(path) = text.strip_prefix(PROPERTIES_PREFIX).filter(|path| !path.is_empty()) {
            return Ok(Self::Property(path.to_owned()));
        }
        if let Some(name) = text.strip_prefix(IDS_PREFIX).filter(|name| !name.is_empty()) {
            return Ok(Self::Id(name.to_owned()));
        }
        NamedField::from_name(text).map(Self::Named).ok_or_else(|| UnknownField(text.to_owned()))
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(field) => f.write_str(field.name()),
            Self::Property(path) => write!(f, "{PROPERTIES_PREFIX}{path}"),
            Self::Id(name) => write!(f, "{IDS_PREFIX}{name}"),
        }
    }
}

impl From<Field> for String {
    fn from(field: Field) -> Self {
        field.to_string()
    }
}

impl TryFrom<String> for Field {
    type Error = UnknownField;

    fn try_from(text: String) -> Result<Self, UnknownField> {
        text.parse()
    }
}
