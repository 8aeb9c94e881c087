//! The documents themselves, reduced to who, when, what and some fields.

use std::io;
use std::sync::Arc;

use sluice_seams::key::AppHash;
use sluice_seams::question::Visit;
use sluice_seams::{Field, NamedField, StoreError};
use tantivy::SegmentReader;

use super::lane::Lane;
use super::plan::{Node, Plan};
use super::schema::{KEY_HIGH, KEY_LOW};
use super::segment::Segment;

/// What is wanted of each document.
pub struct Wanted {
    user: usize,
    name: usize,
    fields: Vec<usize>,
}

/// A document in the codes of its segment.
struct Row {
    document: u32,
    time_ms: i64,
    /// User, name, then the wanted fields.
    codes: Vec<u32>,
}

// === impl Wanted ===

impl Wanted {
    /// Numbers the fields that visits need.
    pub fn new(plan: &mut Plan, fields: &[Field]) -> Self {
        Self {
            user: plan.field(&Field::Named(NamedField::User)),
            name: plan.field(&Field::Named(NamedField::Name)),
            fields: fields.iter().map(|field| plan.field(field)).collect(),
        }
    }

    /// The visits of one segment, unsorted; an error beyond `visits_max`.
    pub fn of(
        &self,
        reader: &SegmentReader,
        segment: &mut Segment,
        filter: &Node,
        app: AppHash,
        visits_max: usize,
    ) -> Result<Result<Vec<Visit>, StoreError>, tantivy::TantivyError> {
        let columns: Vec<usize> =
            [self.user, self.name].iter().chain(&self.fields).copied().collect();
        let mut rows: Vec<Row> = Vec::new();
        for block in segment.blocks() {
            let mask = segment.looked_at(block, filter);
            let found = mask.iter().filter(|pass| **pass).count();
            if found == 0 {
                continue;
            }
            if rows.len() + found > visits_max {
                return Ok(Err(too_many_visits(visits_max)));
            }
            segment.times(block);
            for &column in &columns {
                segment.lanes[column].load(block.start, block.count);
            }
            for (at, _) in mask.iter().enumerate().filter(|(_, pass)| **pass) {
                rows.push(Row {
                    document: block.start + at as u32,
                    time_ms: segment.times_ms[at],
                    codes: columns.iter().map(|&column| segment.lanes[column].first[at]).collect(),
                });
            }
        }
        let mut texts = Vec::with_capacity(columns.len());
        for (at, &column) in columns.iter().enumerate() {
            let codes = rows.iter().map(|row| row.codes[at]).collect();
            texts.push(lookup(&segment.lanes[column], codes)?);
        }
        let high = reader.fast_fields().u64(KEY_HIGH)?;
        let low = reader.fast_fields().u64(KEY_LOW)?;
        let nothing: Arc<str> = "".into();
        let visit = |row: Row| {
            let text = |at: usize| texts[at].of(row.codes[at]);
            let half = |half: Option<u64>| u128::from(half.unwrap_or(0));
            Visit {
                user: app.user(&text(0).unwrap_or_else(|| nothing.clone())).0,
                time_ms: row.time_ms,
                key: half(high.first(row.document)) << 64 | half(low.first(row.document)),
                name: text(1).unwrap_or_else(|| nothing.clone()),
                fields: (2..columns.len()).map(text).collect(),
            }
        };
        Ok(Ok(rows.into_iter().map(visit).collect()))
    }
}

/// Texts by ascending code.
struct Texts(Vec<(u32, Arc<str>)>);

impl Texts {
    fn of(&self, code: u32) -> Option<Arc<str>> {
        let at = self.0.binary_search_by_key(&code, |(of, _)| *of).ok()?;
        Some(self.0[at].1.clone())
    }
}

fn lookup(lane: &Lane, mut codes: Vec<u32>) -> io::Result<Texts> {
    codes.sort_unstable();
    codes.dedup();
    let mut texts = Vec::with_capacity(codes.len());
    lane.texts(&codes, |code, text| texts.push((code, text.into())))?;
    Ok(Texts(texts))
}

/// The refusal of a question with too many visits.
pub fn too_many_visits(visits_max: usize) -> StoreError {
    let detail = format!(
        "the question looks at more than {visits_max} documents, the most allowed: narrow the \
         time or the filter"
    );
    StoreError::Refused(detail)
}
