//! Filters as queries.
//!
//! What Lucene does exactly as the seam says is asked of it: equality, presence,
//! substrings (a wildcard over whole terms). Regular expressions and comparisons
//! of numbers-or-text it cannot: for those the field's values are listed, tested
//! here, and those that pass become a `terms` query (see `resolve`).

use serde_json::{Value, json};
use sluice_seams::question::Test;
use sluice_seams::{Field, Filter};

use crate::layout::{APP, Column, TIME};

/// Terms of one query; `index.max_terms_count` is at least this by default.
const TERMS_MAX: usize = 65_536;
/// Times beyond these are no dates to the engines, milliseconds.
const TIME_MS_MAX: i64 = 9_000_000_000_000_000;

/// The values that pass a test that Lucene cannot do.
#[derive(Debug, Clone)]
pub struct Resolution {
    /// The field.
    pub field: Field,
    /// The test.
    pub test: Test,
    /// All values of the field that pass.
    pub values: Vec<String>,
}

/// Documents of an app within `[from, to)`.
pub fn scope(app_id: &str, from_ms: i64, to_ms: i64) -> Vec<Value> {
    vec![json!({"term": {APP: app_id}}), within(from_ms, to_ms)]
}

/// Corrected time within `[from, to)`.
pub fn within(from_ms: i64, to_ms: i64) -> Value {
    let cut = |time: i64| time.clamp(-TIME_MS_MAX, TIME_MS_MAX);
    json!({"range": {TIME: {"gte": cut(from_ms), "lt": cut(to_ms)}}})
}

/// All of these.
pub fn all(parts: Vec<Value>) -> Value {
    json!({"bool": {"filter": parts}})
}

/// Any of these; of none, nothing.
pub fn any(mut parts: Vec<Value>) -> Value {
    match parts.len() {
        0 => json!({"match_none": {}}),
        1 => parts.remove(0),
        _ => json!({"bool": {"should": parts, "minimum_should_match": 1}}),
    }
}

/// Not this.
pub fn not(part: Value) -> Value {
    json!({"bool": {"must_not": [part]}})
}

/// The query of a filter whose tests are resolved.
pub fn query(filter: &Filter, resolved: &[Resolution]) -> Value {
    match filter {
        Filter::All => json!({"match_all": {}}),
        Filter::And(parts) if parts.is_empty() => json!({"match_all": {}}),
        Filter::And(parts) => all(parts.iter().map(|part| query(part, resolved)).collect()),
        Filter::Or(parts) => any(parts.iter().map(|part| query(part, resolved)).collect()),
        Filter::Not(part) => not(query(part, resolved)),
        Filter::Test(field, test) => {
            let column = Column::of(field);
            match test {
                Test::Is(values) => is(&column, values),
                Test::Exists => column.exists(),
                Test::Contains(parts) => {
                    any(parts.iter().map(|part| contains(&column, part)).collect())
                }
                Test::Matches(_) | Test::Less(_) | Test::Greater(_) => {
                    let found = resolved.iter().find(|r| r.field == *field && r.test == *test);
                    is(&column, found.map_or(&[], |found| &found.values))
                }
            }
        }
    }
}

/// Gathers tests that Lucene cannot do, each once.
pub fn unresolved(filter: &Filter, found: &mut Vec<(Field, Test)>) {
    match filter {
        Filter::All => {}
        Filter::And(parts) | Filter::Or(parts) => {
            parts.iter().for_each(|part| unresolved(part, found));
        }
        Filter::Not(part) => unresolved(part, found),
        Filter::Test(field, test) => {
            let beyond = matches!(test, Test::Matches(_) | Test::Less(_) | Test::Greater(_));
            if beyond && !found.iter().any(|(f, t)| f == field && t == test) {
                found.push((field.clone(), test.clone()));
            }
        }
    }
}

fn is(column: &Column, values: &[String]) -> Value {
    let chunks = values.chunks(TERMS_MAX).map(|some| {
        let terms: Vec<String> = some.iter().map(|value| column.term(value)).collect();
        json!({"terms": {&column.name: terms}})
    });
    any(chunks.collect())
}

fn contains(column: &Column, part: &str) -> Value {
    let mut pattern = String::new();
    escape(&column.prefix, &mut pattern);
    pattern.push('*');
    if !part.is_empty() {
        escape(part, &mut pattern);
        pattern.push('*');
    }
    json!({"wildcard": {&column.name: {"value": pattern}}})
}

/// `*`, `?` and `\` mean something in a wildcard.
fn escape(text: &str, pattern: &mut String) {
    for c in text.chars() {
        if matches!(c, '*' | '?' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
}

#[cfg(test)]
mod tests {
    use sluice_seams::NamedField;

    use super::*;

    #[test]
    fn substrings_are_escaped() {
        let field = Field::Property("a*b".into());
        let filter = Filter::Test(field.clone(), Test::Contains(vec![r"x?\".into()]));
        let column = Column::of(&field);
        let wanted = json!({"wildcard": {&column.name: {"value": r"a\*b=*x\?\\*"}}});
        assert_eq!(query(&filter, &[]), wanted);
    }

    #[test]
    fn nothing_passes_an_empty_or_and_everything_an_empty_and() {
        assert_eq!(query(&Filter::Or(vec![]), &[]), json!({"match_none": {}}));
        assert_eq!(query(&Filter::And(vec![]), &[]), json!({"match_all": {}}));
        let none = Filter::Test(Field::Named(NamedField::Name), Test::Is(vec![]));
        assert_eq!(query(&none, &[]), json!({"match_none": {}}));
    }

    #[test]
    fn each_test_is_resolved_once() {
        let less = Filter::Test(Field::Property("p".into()), Test::Less("9".into()));
        let both = Filter::And(vec![less.clone(), Filter::Not(Box::new(less))]);
        let mut found = Vec::new();
        unresolved(&both, &mut found);
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn many_terms_are_several_queries() {
        let values: Vec<String> = (0..=TERMS_MAX).map(|n| n.to_string()).collect();
        let filter = Filter::is(Field::Named(NamedField::Name), values);
        let query = query(&filter, &[]);
        assert_eq!(query["bool"]["should"].as_array().map(Vec::len), Some(2));
    }
}
