//! Tests that Lucene cannot do: the field's values within the question's app
//! and time are listed, each is tested here, and those that pass are kept.

use sluice_seams::question::{Measure, Test};
use sluice_seams::{Field, Question, StoreError};

use super::composite::{Budget, KeySource, Pager, Part, Reading};
use super::filter::{Resolution, scope, unresolved};
use super::view::View;
use crate::layout::Column;

/// Values that may pass one test: four `terms` queries of the engines' size.
const VALUES_MAX: usize = 4 * 65_536;

/// Resolves every such test of a question and its measures.
pub async fn resolve(
    view: &View<'_>,
    question: &Question,
    measures: &[Measure],
    budget: &Budget,
) -> Result<Vec<Resolution>, StoreError> {
    let mut tests = tests(question, measures);
    let mut resolved: Vec<Resolution> = Vec::new();
    while let Some((field, _)) = tests.first() {
        let field = field.clone();
        // All tests of one field share one listing of its values.
        let (same, others) = tests.into_iter().partition(|(of, _)| *of == field);
        resolved.extend(list(view, question, &field, same, budget).await?);
        tests = others;
    }
    Ok(resolved)
}

/// The tests of a question that have to be resolved, each once.
pub fn tests(question: &Question, measures: &[Measure]) -> Vec<(Field, Test)> {
    let mut tests = Vec::new();
    unresolved(&question.filter, &mut tests);
    for Measure::Count(filter) | Measure::Users(filter) | Measure::Distinct(_, filter) in measures {
        unresolved(filter, &mut tests);
    }
    tests
}

async fn list(
    view: &View<'_>,
    question: &Question,
    field: &Field,
    tests: Vec<(Field, Test)>,
    budget: &Budget,
) -> Result<Vec<Resolution>, StoreError> {
    let column = Column::of(field);
    let mut filters = scope(&question.app_id, question.from_ms, question.to_ms);
    filters.push(column.exists());
    let reading = Reading {
        filters,
        within: (question.from_ms, question.to_ms),
        time: None,
        sources: vec![KeySource { field: column.name.clone(), missing: false }],
        counted: Vec::new(),
    };
    let mut found: Vec<Resolution> = tests
        .into_iter()
        .map(|(field, test)| Resolution { field, test, values: Vec::new() })
        .collect();
    let mut pager = Pager::new(view, budget, reading);
    if let Some(before) = before(&column.prefix) {
        pager = pager.after(&before);
    }
    while let Some(page) = pager.next().await? {
        for bucket in page {
            let Some(Part::Term(term)) = bucket.key.first() else { continue };
            // Terms come in order: after those of this path there are none.
            let Some(value) = column.value(term) else { return Ok(found) };
            for one in &mut found {
                if one.test.passes(value) {
                    one.values.push(value.to_owned());
                }
                if one.values.len() > VALUES_MAX {
                    return Err(too_many(field));
                }
            }
        }
    }
    Ok(found)
}

/// A term right before all that begin with a prefix (which ends in `=`).
fn before(prefix: &str) -> Option<String> {
    let path = prefix.strip_suffix('=')?;
    Some(format!("{path}<\u{10ffff}"))
}

fn too_many(field: &Field) -> StoreError {
    StoreError::Refused(format!(
        "more than {VALUES_MAX} values of `{field}` pass a `matches`, `<` or `>` test: narrow the \
         test or the time, or test for equality"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listing_begins_right_before_the_first_value() {
        let before = before("a=").expect("a prefix");
        assert!(*before < *"a=" && *before > *"a<zz" && *before > *"Z=");
        assert_eq!(super::before(""), None, "named fields have no prefix");
    }
}
