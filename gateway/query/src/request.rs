//! A question as users ask it, read and bounded.
//!
//! Unknown keys are refused with the nearest known one; every refusal names the
//! offending path. Nothing here looks at a store.

mod metric;

use std::sync::Arc;

use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use sluice_seams::{Field, Filter, NamedField};

use crate::calendar::TimeUnit;
use crate::config::{DIMENSIONS_MAX, METRICS_MAX};
use crate::definitions::Recipe;
use crate::filter::{self, Condition};
use crate::problem::Problem;
use crate::range::{Compare, Range};

const KEYS: &[&str] = &[
    "metrics",
    "date_range",
    "timezone",
    "dimensions",
    "filters",
    "order_by",
    "limit",
    "offset",
    "include",
];
const INCLUDE_KEYS: &[&str] = &["totals", "empty_rows", "compare"];
pub use metric::Metric;

/// Rows of an answer where `limit` is not given.
pub const LIMIT_DEFAULT: usize = 100;

/// What a question is read against.
#[derive(Debug, Clone)]
pub struct Context {
    /// IANA name of the time zone where none is asked for.
    pub timezone: Arc<str>,
    /// Milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// Largest `limit`.
    pub limit_max: usize,
}

/// A question, read.
#[derive(Debug, Clone)]
pub struct Request {
    /// At least one; labels are unique.
    pub metrics: Vec<Metric>,
    /// The period.
    pub range: Range,
    /// The time zone's IANA name.
    pub timezone: String,
    /// The time zone.
    pub tz: TimeZone,
    /// In the order asked for; at most one of them is time.
    pub dimensions: Vec<Dimension>,
    /// All of them must hold.
    pub filters: Vec<Condition>,
    /// Empty: the default order.
    pub order_by: Vec<(Order, Direction)>,
    /// Rows wanted.
    pub limit: usize,
    /// Rows left out before them.
    pub offset: usize,
    /// Whether totals are wanted.
    pub totals: bool,
    /// Whether time buckets without events are wanted.
    pub empty_rows: bool,
    /// The period to be compared with.
    pub compare: Option<Compare>,
}

/// A dimension asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dimension {
    /// Time buckets.
    Time(TimeUnit),
    /// A field's values.
    Field(Field),
}

/// What rows are ordered by: an index into the metrics or dimensions asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// A metric.
    Metric(usize),
    /// A dimension.
    Dimension(usize),
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

// === impl Request ===

impl Request {
    /// Reads a question.
    pub fn parse(body: &Value, context: &Context) -> Result<Self, Problem> {
        let Value::Object(map) = body else {
            return Err(
                Problem::invalid("$", "a question is a JSON object").allowed(KEYS.iter().copied())
            );
        };
        known_keys(map, KEYS, "")?;
        let (timezone, tz) = timezone(map.get("timezone"), &context.timezone)?;
        let Some(range) = map.get("date_range") else {
            return Err(Problem::invalid("date_range", "is missing"));
        };
        let range = Range::parse(range, &tz, context.now_ms)?;
        let metrics = metric::parse_list(map.get("metrics"))?;
        let dimensions = dimensions(map.get("dimensions"))?;
        let filters = match map.get("filters") {
            Some(value) => filter::parse_list(value, "filters")?,
            None => Vec::new(),
        };
        let order_by = order_by(map.get("order_by"), &metrics, &dimensions)?;
        let limit = count(map, "limit", LIMIT_DEFAULT.min(context.limit_max), context.limit_max)?;
        let offset = count(map, "offset", 0, usize::MAX)?;
        let (totals, empty_rows, compare) = include(map.get("include"))?;
        let request = Self {
            metrics,
            range,
            timezone,
            tz,
            dimensions,
            filters,
            order_by,
            limit,
            offset,
            totals,
            empty_rows,
            compare,
        };
        request.check_retention()?;
        Ok(request)
    }

    /// The unit and place of the time dimension.
    pub fn time(&self) -> Option<(usize, TimeUnit)> {
        self.dimensions.iter().enumerate().find_map(|(n, dimension)| match dimension {
            Dimension::Time(unit) => Some((n, *unit)),
            Dimension::Field(_) => None,
        })
    }

    /// The fields among the dimensions, in order.
    pub fn fields(&self) -> Vec<Field> {
        self.dimensions
            .iter()
            .filter_map(|dimension| match dimension {
                Dimension::Field(field) => Some(field.clone()),
                Dimension::Time(_) => None,
            })
            .collect()
    }

    /// The question as it was understood; asking it again gives the same answer.
    pub fn normal(&self) -> Value {
        let dimensions: Vec<String> = self.dimensions.iter().map(Dimension::name).collect();
        let order_by: Vec<Value> = self
            .order_by
            .iter()
            .map(|(order, direction)| json!([self.order_name(*order), direction.name()]))
            .collect();
        json!({
            "metrics": self.metrics.iter().map(|metric| &metric.normal).collect::<Vec<_>>(),
            "date_range": self.range.normal(&self.tz),
            "timezone": self.timezone,
            "dimensions": dimensions,
            "filters": self.filters.iter().map(|filter| &filter.normal).collect::<Vec<_>>(),
            "order_by": order_by,
            "limit": self.limit,
            "offset": self.offset,
            "include": {
                "totals": self.totals,
                "empty_rows": self.empty_rows,
                "compare": self.compare.map(Compare::name),
            },
        })
    }

    fn order_name(&self, order: Order) -> String {
        match order {
            Order::Metric(n) => self.metrics[n].label.clone(),
            Order::Dimension(n) => self.dimensions[n].name(),
        }
    }

    fn check_retention(&self) -> Result<(), Problem> {
        let by_clock = matches!(self.time(), Some((_, TimeUnit::Minute | TimeUnit::Hour)));
        let retention = self
            .metrics
            .iter()
            .position(|metric| matches!(metric.definition.recipe, Recipe::Retention(_)));
        match retention {
            Some(n) if by_clock => Err(Problem::invalid(
                format!("metrics[{n}]"),
                "retention is of whole days; ask for it by a day or longer",
            )
            .allowed(["time:day", "time:week", "time:month"])),
            _ => Ok(()),
        }
    }
}

// === impl Dimension ===

impl Dimension {
    /// The name that users write.
    pub fn name(&self) -> String {
        match self {
            Self::Time(unit) => unit.name().to_owned(),
            Self::Field(field) => field.to_string(),
        }
    }

    /// Every dimension there is, families with their prefix.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TimeUnit::ALL.iter().map(|unit| unit.name()).chain(filter::field_names())
    }
}

// === impl Direction ===

impl Direction {
    /// The word that users write.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ascending => "asc",
            Self::Descending => "desc",
        }
    }
}

/// Refuses keys that are not known; `path` is empty at the top.
fn known_keys(map: &Map<String, Value>, known: &[&str], path: &str) -> Result<(), Problem> {
    match map.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let shown: String = key.chars().take(64).collect();
            let at = if path.is_empty() { shown } else { format!("{path}.{shown}") };
            Err(Problem::unknown(at, "key", key, known.iter().copied()))
        }
    }
}

fn timezone(value: Option<&Value>, default: &str) -> Result<(String, TimeZone), Problem> {
    let name = match value {
        None | Some(Value::Null) => default,
        Some(Value::String(name)) => name,
        Some(_) => return Err(Problem::invalid("timezone", "must be a string")),
    };
    let tz = if name.len() <= 64 { TimeZone::get(name).ok() } else { None };
    // The database also answers to "local"; what that is depends on the machine.
    let tz = tz.filter(|tz| tz.iana_name().is_some()).ok_or_else(|| {
        let shown: String = name.chars().take(64).collect();
        Problem::invalid("timezone", format!("`{shown}` is no IANA time zone")).allowed([
            "Asia/Shanghai",
            "Europe/Berlin",
            "America/New_York",
            "UTC",
            "…",
        ])
    })?;
    let name = tz.iana_name().unwrap_or(name).to_owned();
    Ok((name, tz))
}

fn dimensions(value: Option<&Value>) -> Result<Vec<Dimension>, Problem> {
    let items = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) if items.len() <= DIMENSIONS_MAX => items,
        Some(_) => {
            let detail = format!("must be a list of at most {DIMENSIONS_MAX} dimensions");
            return Err(Problem::invalid("dimensions", detail).allowed(Dimension::names()));
        }
    };
    let mut dimensions = Vec::with_capacity(items.len());
    for (n, item) in items.iter().enumerate() {
        let path = format!("dimensions[{n}]");
        let Value::String(name) = item else {
            return Err(Problem::invalid(path, "must be a name").allowed(Dimension::names()));
        };
        let dimension = match TimeUnit::ALL.iter().find(|unit| unit.name() == name) {
            Some(unit) => Dimension::Time(*unit),
            None => filter::parse_field(name, &path).map(Dimension::Field).map_err(|_| {
                Problem::unknown(path.as_str(), "dimension", name, Dimension::names())
            })?,
        };
        let time = matches!(dimension, Dimension::Time(_));
        if time && dimensions.iter().any(|other| matches!(other, Dimension::Time(_))) {
            return Err(Problem::invalid(path, "there is a time dimension already"));
        }
        if dimensions.contains(&dimension) {
            return Err(Problem::invalid(path, "this dimension is there already"));
        }
        dimensions.push(dimension);
    }
    Ok(dimensions)
}

fn order_by(
    value: Option<&Value>,
    metrics: &[Metric],
    dimensions: &[Dimension],
) -> Result<Vec<(Order, Direction)>, Problem> {
    let items = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) if items.len() <= METRICS_MAX + DIMENSIONS_MAX => items,
        Some(_) => {
            return Err(Problem::invalid("order_by", "must be a list of [name, \"asc\"|\"desc\"]"));
        }
    };
    let names: Vec<String> = (metrics.iter().map(|metric| metric.label.clone()))
        .chain(dimensions.iter().map(Dimension::name))
        .collect();
    let mut orders = Vec::with_capacity(items.len());
    for (n, item) in items.iter().enumerate() {
        let path = format!("order_by[{n}]");
        let parts: &[Value] = match item {
            Value::Array(parts) if (1..=2).contains(&parts.len()) => parts,
            _ => return Err(Problem::invalid(path, "must be [name, \"asc\"|\"desc\"]")),
        };
        let name = parts[0].as_str().unwrap_or_default();
        let Some(at) = names.iter().position(|known| known == name) else {
            let words = names.iter().map(String::as_str);
            return Err(Problem::unknown(format!("{path}[0]"), "name", name, words));
        };
        let order = match at.checked_sub(metrics.len()) {
            None => Order::Metric(at),
            Some(dimension) => Order::Dimension(dimension),
        };
        let direction = match parts.get(1).map(Value::as_str) {
            None | Some(Some("asc")) => Direction::Ascending,
            Some(Some("desc")) => Direction::Descending,
            Some(word) => {
                let word = word.unwrap_or_default();
                let words = ["asc", "desc"];
                return Err(Problem::unknown(format!("{path}[1]"), "direction", word, words));
            }
        };
        orders.push((order, direction));
    }
    Ok(orders)
}

fn count(
    map: &Map<String, Value>,
    key: &str,
    default: usize,
    max: usize,
) -> Result<usize, Problem> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value
            .as_u64()
            .and_then(|count| usize::try_from(count).ok())
            .filter(|count| *count <= max)
            .ok_or_else(|| Problem::invalid(key, format!("must be a whole number, 0 to {max}"))),
    }
}

fn include(value: Option<&Value>) -> Result<(bool, bool, Option<Compare>), Problem> {
    let map = match value {
        None | Some(Value::Null) => return Ok((false, false, None)),
        Some(Value::Object(map)) => map,
        Some(_) => {
            return Err(Problem::invalid("include", "must be an object")
                .allowed(INCLUDE_KEYS.iter().copied()));
        }
    };
    known_keys(map, INCLUDE_KEYS, "include")?;
    let flag = |key: &str| match map.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(Problem::invalid(format!("include.{key}"), "must be true or false")),
    };
    let compare = match map.get("compare") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let name = value.as_str().unwrap_or_default();
            let words = Compare::NAMES.iter().copied();
            let known = Compare::from_name(name);
            Some(known.ok_or_else(|| Problem::unknown("include.compare", "period", name, words))?)
        }
    };
    Ok((flag("totals")?, flag("empty_rows")?, compare))
}

/// Whether a filter looks at `env`, and at nothing else.
pub fn looks_at_env(filter: &Filter) -> (bool, bool) {
    let (mut some, mut only) = (false, true);
    filter::each_field(filter, &mut |field| {
        let env = *field == Field::Named(NamedField::Env);
        some |= env;
        only &= env;
    });
    (some, some && only)
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
