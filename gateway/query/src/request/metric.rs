//! The metrics of a question: by name, or as an object with parameters.

use serde_json::{Map, Value, json};

use super::known_keys;
use crate::config::METRICS_MAX;
use crate::definitions::{DEFINITIONS, Definition};
use crate::filter::{self, Condition};
use crate::problem::Problem;

const METRIC_KEYS: &[&str] = &["metric", "event", "filters", "as"];

/// A metric asked for.
#[derive(Debug, Clone)]
pub struct Metric {
    /// What it is.
    pub definition: &'static Definition,
    /// Its name in this question: `as`, else the metric's own.
    pub label: String,
    /// Its own filters, beside those of the question.
    pub filters: Vec<Condition>,
    /// As it is echoed.
    pub(super) normal: Value,
}

/// Reads the list of metrics; labels are unique.
pub(super) fn parse_list(value: Option<&Value>) -> Result<Vec<Metric>, Problem> {
    let names = || DEFINITIONS.iter().map(|metric| metric.name);
    let Some(Value::Array(items)) = value else {
        return Err(Problem::invalid("metrics", "must be a list of metrics").allowed(names()));
    };
    if items.is_empty() || items.len() > METRICS_MAX {
        let detail = format!("has {} metrics, 1 to {METRICS_MAX} are allowed", items.len());
        return Err(Problem::invalid("metrics", detail).allowed(names()));
    }
    let mut metrics: Vec<Metric> = Vec::with_capacity(items.len());
    for (n, item) in items.iter().enumerate() {
        let path = format!("metrics[{n}]");
        let metric = Metric::parse(item, &path)?;
        if metrics.iter().any(|other| other.label == metric.label) {
            let detail = format!("`{}` is there already; tell them apart with `as`", metric.label);
            return Err(Problem::invalid(path, detail));
        }
        metrics.push(metric);
    }
    Ok(metrics)
}

// === impl Metric ===

impl Metric {
    fn parse(value: &Value, path: &str) -> Result<Self, Problem> {
        match value {
            Value::String(name) => Ok(Self {
                definition: definition(name, path)?,
                label: name.clone(),
                filters: Vec::new(),
                normal: json!(name),
            }),
            Value::Object(map) => Self::parse_object(map, path),
            _ => Err(Problem::invalid(path, "a metric is a name or {\"metric\": name, …}")),
        }
    }

    fn parse_object(map: &Map<String, Value>, path: &str) -> Result<Self, Problem> {
        known_keys(map, METRIC_KEYS, path)?;
        let at = format!("{path}.metric");
        let Some(Value::String(name)) = map.get("metric") else {
            return Err(Problem::invalid(at, "must be the name of a metric")
                .allowed(DEFINITIONS.iter().map(|metric| metric.name)));
        };
        let definition = definition(name, &at)?;
        let mut filters = match map.get("filters") {
            Some(value) => filter::parse_list(value, &format!("{path}.filters"))?,
            None => Vec::new(),
        };
        if let Some(event) = map.get("event") {
            if !matches!(name.as_str(), "event_count" | "event_users") {
                let detail = "only `event_count` and `event_users` take an event name";
                return Err(Problem::invalid(format!("{path}.event"), detail));
            }
            let condition = filter::parse_list(&json!([["is", "name", event]]), "")
                .map_err(|problem| Problem { path: Some(format!("{path}.event")), ..problem })?;
            filters.extend(condition);
        }
        let label = match map.get("as") {
            None => name.clone(),
            Some(Value::String(label)) if (1..=128).contains(&label.len()) => label.clone(),
            Some(_) => {
                let detail = "must be a string of 1 to 128 bytes";
                return Err(Problem::invalid(format!("{path}.as"), detail));
            }
        };
        let echoed: Vec<&Value> = filters.iter().map(|filter| &filter.normal).collect();
        let normal = json!({"metric": name, "filters": echoed, "as": label});
        Ok(Self { definition, label, filters, normal })
    }
}

fn definition(name: &str, path: &str) -> Result<&'static Definition, Problem> {
    Definition::of(name).ok_or_else(|| {
        Problem::unknown(path, "metric", name, DEFINITIONS.iter().map(|metric| metric.name))
    })
}
