//! Filters as users write them: `["is", "platform", ["jd"]]` and their like.
//!
//! Read into the seams' [`Filter`] and into a normal form that is echoed. Depth,
//! number of conditions, values and pattern sizes are bounded; every refusal
//! names its path.

use regex::RegexBuilder;
use serde_json::{Value, json};
use sluice_seams::question::Test;
use sluice_seams::{Field, Filter, NamedField};

use crate::problem::Problem;

/// Operators, in the order in which they are listed to users.
pub const OPERATORS: &[&str] = &[
    "is",
    "is_not",
    "contains",
    "not_contains",
    "matches",
    "<",
    ">",
    "exists",
    "and",
    "or",
    "not",
];

/// Nesting of and, or, not.
pub const DEPTH_MAX: usize = 8;
/// Conditions in one list of filters.
pub const CONDITIONS_MAX: usize = 100;
/// Values of one condition.
pub const VALUES_MAX: usize = 1_000;
/// Bytes of one value or pattern.
pub const VALUE_BYTES_MAX: usize = 1_024;
/// Bytes that a compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// One condition of a list (all of which must hold), read.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// For the store.
    pub filter: Filter,
    /// As it is echoed.
    pub normal: Value,
}

/// Conditions left to be read.
struct Budget(usize);

/// Reads a list of filters.
pub fn parse_list(value: &Value, path: &str) -> Result<Vec<Condition>, Problem> {
    let Value::Array(items) = value else {
        return Err(Problem::invalid(path, "must be a list of filters"));
    };
    let mut budget = Budget(CONDITIONS_MAX);
    items
        .iter()
        .enumerate()
        .map(|(n, item)| budget.node(item, &format!("{path}[{n}]"), 1))
        .collect()
}

/// Reads a field name.
pub fn parse_field(text: &str, path: &str) -> Result<Field, Problem> {
    if text.len() > VALUE_BYTES_MAX {
        let detail = format!("a field name has at most {VALUE_BYTES_MAX} bytes");
        return Err(Problem::invalid(path, detail));
    }
    text.parse().map_err(|_| Problem::unknown(path, "field", text, field_names()))
}

/// Every field name there is, families with their prefix.
pub fn field_names() -> impl Iterator<Item = &'static str> {
    let named = NamedField::ALL.iter().map(|field| field.name());
    named.chain(["properties.<path>", "ids.<name>"])
}

/// The fields a filter looks at.
pub fn each_field<'f>(filter: &'f Filter, visit: &mut impl FnMut(&'f Field)) {
    match filter {
        Filter::All => {}
        Filter::And(parts) | Filter::Or(parts) => {
            parts.iter().for_each(|part| each_field(part, visit));
        }
        Filter::Not(part) => each_field(part, visit),
        Filter::Test(field, _) => visit(field),
    }
}

/// All of the parts hold.
pub fn all_of(parts: impl IntoIterator<Item = Filter>) -> Filter {
    parts.into_iter().fold(Filter::All, Filter::and)
}

// === impl Budget ===

impl Budget {
    fn node(&mut self, value: &Value, path: &str, depth: usize) -> Result<Condition, Problem> {
        if depth > DEPTH_MAX {
            let detail = format!("filters nest at most {DEPTH_MAX} deep");
            return Err(Problem::invalid(path, detail));
        }
        self.0 = self.0.checked_sub(1).ok_or_else(|| {
            Problem::invalid(path, format!("a question has at most {CONDITIONS_MAX} conditions"))
        })?;
        let Value::Array(parts) = value else {
            let detail = "a filter is a list: [operator, field, values] or [\"and\", [filters]]";
            return Err(Problem::invalid(path, detail).allowed(OPERATORS.iter().copied()));
        };
        let head = format!("{path}[0]");
        let Some(Value::String(operator)) = parts.first() else {
            let detail = "a filter begins with its operator";
            return Err(Problem::invalid(head, detail).allowed(OPERATORS.iter().copied()));
        };
        match operator.as_str() {
            "and" | "or" => self.join(operator, parts, path, depth),
            "not" => {
                arity(parts, 2, path, "[\"not\", filter]")?;
                let inner = self.node(&parts[1], &format!("{path}[1]"), depth + 1)?;
                Ok(Condition {
                    filter: Filter::Not(Box::new(inner.filter)),
                    normal: json!(["not", inner.normal]),
                })
            }
            _ => condition(operator, parts, path),
        }
    }

    fn join(
        &mut self,
        operator: &str,
        parts: &[Value],
        path: &str,
        depth: usize,
    ) -> Result<Condition, Problem> {
        arity(parts, 2, path, "[\"and\", [filters]]")?;
        let Value::Array(items) = &parts[1] else {
            return Err(Problem::invalid(format!("{path}[1]"), "must be a list of filters"));
        };
        if items.is_empty() {
            return Err(Problem::invalid(format!("{path}[1]"), "must not be empty"));
        }
        let inner: Vec<Condition> = items
            .iter()
            .enumerate()
            .map(|(n, item)| self.node(item, &format!("{path}[1][{n}]"), depth + 1))
            .collect::<Result<_, _>>()?;
        let normal: Vec<&Value> = inner.iter().map(|condition| &condition.normal).collect();
        let normal = json!([operator, normal]);
        let filters = inner.into_iter().map(|condition| condition.filter).collect();
        let filter = if operator == "and" { Filter::And(filters) } else { Filter::Or(filters) };
        Ok(Condition { filter, normal })
    }
}

fn arity(parts: &[Value], wanted: usize, path: &str, shape: &str) -> Result<(), Problem> {
    if parts.len() == wanted {
        return Ok(());
    }
    let detail = format!("has {} parts, its shape is {shape}", parts.len());
    Err(Problem::invalid(path, detail))
}

/// A test of one field.
fn condition(operator: &str, parts: &[Value], path: &str) -> Result<Condition, Problem> {
    if !OPERATORS.contains(&operator) {
        let words = OPERATORS.iter().copied();
        return Err(Problem::unknown(format!("{path}[0]"), "operator", operator, words));
    }
    let field_path = format!("{path}[1]");
    let Some(Value::String(name)) = parts.get(1) else {
        let detail = "the second part of a filter is the name of a field";
        return Err(Problem::invalid(field_path, detail).allowed(field_names()));
    };
    let field = parse_field(name, &field_path)?;
    if operator == "exists" {
        arity(parts, 2, path, "[\"exists\", field]")?;
        let normal = json!(["exists", field.to_string()]);
        return Ok(Condition { filter: Filter::Test(field, Test::Exists), normal });
    }
    arity(parts, 3, path, "[operator, field, values]")?;
    let values_path = format!("{path}[2]");
    let values = texts(&parts[2], &values_path)?;
    let single = || match values.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(Problem::invalid(&values_path, format!("`{operator}` takes exactly one value"))),
    };
    let normal = match operator {
        "matches" | "<" | ">" => json!([operator, field.to_string(), single()?]),
        _ => json!([operator, field.to_string(), values]),
    };
    let test = match operator {
        "is" | "is_not" => Test::Is(values),
        "contains" | "not_contains" => Test::Contains(values),
        "<" => Test::Less(single()?),
        ">" => Test::Greater(single()?),
        _ => Test::Matches(pattern(&single()?, &values_path)?),
    };
    let filter = Filter::Test(field, test);
    let filter = match operator {
        "is_not" | "not_contains" => Filter::Not(Box::new(filter)),
        _ => filter,
    };
    Ok(Condition { filter, normal })
}

fn pattern(text: &str, path: &str) -> Result<regex::Regex, Problem> {
    RegexBuilder::new(text)
        .size_limit(PATTERN_BYTES_MAX)
        .dfa_size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_err(|error| {
            let detail = format!("not a pattern that can be used: {error}");
            Problem::invalid(path, detail.chars().take(500).collect::<String>())
        })
}

/// One value or a list of them, as text.
fn texts(value: &Value, path: &str) -> Result<Vec<String>, Problem> {
    let Value::Array(items) = value else { return Ok(vec![text(value, path)?]) };
    if items.is_empty() || items.len() > VALUES_MAX {
        let detail = format!("has {} values, 1 to {VALUES_MAX} are allowed", items.len());
        return Err(Problem::invalid(path, detail));
    }
    items.iter().enumerate().map(|(n, item)| text(item, &format!("{path}[{n}]"))).collect()
}

fn text(value: &Value, path: &str) -> Result<String, Problem> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => return Err(Problem::invalid(path, "a value is a string, a number or a boolean")),
    };
    if text.len() > VALUE_BYTES_MAX {
        let detail = format!("has {} bytes, at most {VALUE_BYTES_MAX} are allowed", text.len());
        return Err(Problem::invalid(path, detail));
    }
    Ok(text)
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
