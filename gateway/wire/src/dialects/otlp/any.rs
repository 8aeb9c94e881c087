//! What both encodings of OTLP are read into: values, attributes, records.
//!
//! Text and bytes are borrowed from the body wherever they can be. A record is
//! read only after its size was checked, so its tree is bounded by that.

use std::borrow::Cow;

use sluice_event::limits::PROPERTIES_DEPTH_MAX;
use sluice_event::{Reason, Text};

/// Levels of lists and maps in one value: it becomes a property, which is a level itself.
pub(super) const DEPTH_MAX: usize = PROPERTIES_DEPTH_MAX - 1;

/// Names with their values, in the order in which they were sent.
pub(super) type Pairs<'b> = Vec<(Text<'b>, Any<'b>)>;

/// Why an event is refused: the reason, and the field with what is allowed.
pub(super) type Wrong = (Reason, String);

/// `AnyValue`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Any<'b> {
    #[default]
    Empty,
    Text(Text<'b>),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(Cow<'b, [u8]>),
    List(Vec<Any<'b>>),
    Map(Pairs<'b>),
}

/// `InstrumentationScope`.
#[derive(Debug, Default)]
pub(super) struct Scope<'b> {
    pub name: Text<'b>,
    pub version: Text<'b>,
    pub attributes: Pairs<'b>,
}

/// `LogRecord`.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Record<'b> {
    /// Nanoseconds since the epoch; 0: not known.
    pub time_ns: u64,
    /// The same, when it was seen first.
    pub observed_ns: u64,
    /// `SeverityNumber`.
    pub severity: i32,
    pub severity_text: Text<'b>,
    pub event_name: Text<'b>,
    pub body: Any<'b>,
    pub attributes: Pairs<'b>,
    pub flags: u32,
    pub trace_id: Cow<'b, [u8]>,
    pub span_id: Cow<'b, [u8]>,
}

/// The value of a name; of one that stands twice, the last.
pub(super) fn get<'p, 'b>(pairs: &'p Pairs<'b>, name: &str) -> Option<&'p Any<'b>> {
    pairs.iter().rev().find(|(found, _)| found == name).map(|(_, value)| value)
}

/// The refusal of a value with too many levels.
pub(super) fn too_deep() -> Wrong {
    let detail = format!(
        "a value has more than {DEPTH_MAX} levels of arrays and maps: flatten it, or send it as \
         text"
    );
    (Reason::PropertiesInvalid, detail)
}

// === impl Any ===

impl<'b> Any<'b> {
    /// What can stand for an id or a name: text that is not empty, or an integer.
    pub(super) fn plain(&self) -> Option<Text<'b>> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text.clone()),
            Self::Int(number) => Some(Cow::Owned(number.to_string())),
            _ => None,
        }
    }

    /// Text, where it is that.
    pub(super) fn text(&self) -> Option<&Text<'b>> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}
