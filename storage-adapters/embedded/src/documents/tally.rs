//! Groups and measures of one segment, in the segment's own codes.
//!
//! A document enters a group only if some measure gains by it there, so that
//! every group has a measure that is not zero, and the limit on groups holds
//! while they are gathered.

use ahash::AHashMap;
use sluice_seams::StoreError;

use super::pairs::Pairs;
use super::plan::{By, Gauge};
use super::segment::{Block, Segment};

/// Largest table by which two codes are combined without hashing.
const TABLE_MAX: usize = 1 << 20;

/// What was gathered from one segment.
pub struct Tally {
    levels: Vec<Level>,
    /// For each measure: documents by group. Empty for the others.
    pub counts: Vec<Vec<u64>>,
    /// For each measure: `(group, code)`. `None` for the others.
    pub pairs: Vec<Option<Pairs>>,
    groups_max: usize,
    rows: Vec<(u32, u32)>,
}

/// Groups after some group keys: each is a group of the keys before and a code.
struct Level {
    codes: usize,
    table: Vec<u32>,
    map: AHashMap<u64, u32>,
    groups: Vec<(u32, u32)>,
}

/// No group yet.
const NONE: u32 = u32::MAX;

// === impl Tally ===

impl Tally {
    /// An empty tally of a segment.
    pub fn new(segment: &Segment, by: &[By], gauges: &[Gauge], groups_max: usize) -> Self {
        let level = |by: &By| Level {
            codes: match by {
                By::Time(edges) => edges.len(),
                By::Field(field) => segment.lanes[*field].codes(),
            },
            table: Vec::new(),
            map: AHashMap::new(),
            groups: Vec::new(),
        };
        Self {
            levels: by.iter().map(level).collect(),
            counts: gauges.iter().map(|_| Vec::new()).collect(),
            pairs: gauges
                .iter()
                .map(|gauge| matches!(gauge, Gauge::Distinct(..)).then(Pairs::default))
                .collect(),
            groups_max,
            rows: Vec::new(),
        }
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.levels.last().map_or(1, |level| level.groups.len())
    }

    /// The codes of a group, one for each group key: the index of a bucket, or
    /// the code of a value.
    pub fn codes(&self, mut group: u32) -> Vec<u32> {
        let mut codes = vec![0; self.levels.len()];
        for (level, code) in self.levels.iter().zip(&mut codes).rev() {
            (group, *code) = level.groups[group as usize];
        }
        codes
    }

    /// Adds the documents of a block that are set in `mask`.
    pub fn add(
        &mut self,
        segment: &mut Segment,
        block: Block,
        mut mask: Vec<bool>,
        by: &[By],
        gauges: &[Gauge],
    ) -> Result<(), StoreError> {
        let mut masks = Vec::with_capacity(gauges.len());
        for gauge in gauges {
            let mut own = mask.clone();
            match gauge {
                Gauge::Count(filter) => segment.narrow(&mut own, block, filter),
                Gauge::Distinct(field, filter) => {
                    segment.narrow(&mut own, block, filter);
                    let lane = &mut segment.lanes[*field];
                    lane.load(block.start, block.count);
                    own.iter_mut().zip(&lane.first).for_each(|(pass, code)| *pass &= *code != 0);
                }
            }
            masks.push(own);
        }
        mask.fill(false);
        for own in &masks {
            mask.iter_mut().zip(own).for_each(|(pass, own)| *pass |= own);
        }
        self.rows.clear();
        let documents = mask.iter().enumerate().filter(|(_, pass)| **pass);
        self.rows.extend(documents.map(|(document, _)| (document as u32, 0)));
        for (at, by) in by.iter().enumerate() {
            self.descend(at, segment, block, by);
        }
        if self.groups() > self.groups_max && !self.levels.is_empty() {
            return Err(too_many_groups(self.groups_max));
        }
        for (at, (gauge, own)) in gauges.iter().zip(&masks).enumerate() {
            self.measure(at, segment, gauge, own);
        }
        Ok(())
    }

    /// Splits the rows' groups by one more key.
    fn descend(&mut self, at: usize, segment: &mut Segment, block: Block, by: &By) {
        let before = at.checked_sub(1).map_or(1, |before| self.levels[before].groups.len());
        let level = &mut self.levels[at];
        let mut rows = std::mem::take(&mut self.rows);
        match by {
            By::Time(edges) => {
                let times = segment.times(block);
                let mut bucket = None;
                rows.retain_mut(|(document, group)| {
                    let time = times[*document as usize];
                    if bucket.is_none_or(|at: usize| time < edges[at] || time >= edges[at + 1]) {
                        bucket = bucket_of(edges, time);
                    }
                    let Some(bucket) = bucket else { return false };
                    *group = level.intern(before, *group, bucket as u32);
                    true
                });
            }
            By::Field(field) => {
                let lane = &mut segment.lanes[*field];
                lane.load(block.start, block.count);
                let mut further = Vec::new();
                for row in &mut rows {
                    let (document, group) = *row;
                    let from = lane.more.partition_point(|(of, _)| *of < document);
                    let more = lane.more[from..].iter().take_while(|(of, _)| *of == document);
                    for &(of, code) in more {
                        further.push((of, level.intern(before, group, code)));
                    }
                    row.1 = level.intern(before, group, lane.first[document as usize]);
                }
                rows.append(&mut further);
            }
        }
        self.rows = rows;
    }

    fn measure(&mut self, at: usize, segment: &Segment, gauge: &Gauge, own: &[bool]) {
        let rows = self.rows.iter().filter(|(document, _)| own[*document as usize]);
        match gauge {
            Gauge::Count(_) => {
                let groups = self.levels.last().map_or(1, |level| level.groups.len());
                self.counts[at].resize(groups, 0);
                for &(_, group) in rows {
                    self.counts[at][group as usize] += 1;
                }
            }
            Gauge::Distinct(field, _) => {
                let (lane, Some(pairs)) = (&segment.lanes[*field], &mut self.pairs[at]) else {
                    return;
                };
                for &(document, group) in rows {
                    pairs.insert(group, lane.first[document as usize]);
                    if !lane.more.is_empty() {
                        let from = lane.more.partition_point(|(of, _)| *of < document);
                        let more = lane.more[from..].iter().take_while(|(of, _)| *of == document);
                        more.for_each(|&(_, code)| pairs.insert(group, code));
                    }
                }
            }
        }
    }
}

// === impl Level ===

impl Level {
    /// The group of `(group before, code)`; `before` is how many there are.
    #[inline]
    fn intern(&mut self, before: usize, group: u32, code: u32) -> u32 {
        let place = group as usize * self.codes + code as usize;
        if before * self.codes <= TABLE_MAX {
            if self.table.len() <= place {
                self.table.resize(before * self.codes, NONE);
            }
            if self.table[place] != NONE {
                return self.table[place];
            }
        }
        // Groups met while the table was still small enough are in the map too.
        let next = self.groups.len() as u32;
        let held = *self.map.entry(u64::from(group) << 32 | u64::from(code)).or_insert(next);
        if held == next {
            self.groups.push((group, code));
        }
        if let Some(place) = self.table.get_mut(place) {
            *place = held;
        }
        held
    }
}

/// The bucket of a time; `None` where it is in none.
pub fn bucket_of(edges: &[i64], time: i64) -> Option<usize> {
    let after = edges.partition_point(|&edge| edge <= time);
    (after > 0 && after < edges.len()).then(|| after - 1)
}

/// The refusal of a question with too many groups.
pub fn too_many_groups(groups_max: usize) -> StoreError {
    let detail = format!(
        "the answer has more than {groups_max} groups, the most allowed: narrow the time or the \
         filter, or group by less"
    );
    StoreError::Refused(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_their_lower_edge() {
        let edges = [10, 20, 30];
        let buckets = [9, 10, 19, 20, 29, 30].map(|time| bucket_of(&edges, time));
        assert_eq!(buckets, [None, Some(0), Some(0), Some(1), Some(1), None]);
        assert_eq!(bucket_of(&[], 0), None);
    }

    #[test]
    fn groups_keep_their_number_when_the_table_gives_way() {
        let (table, map, groups) = (Vec::new(), AHashMap::new(), Vec::new());
        let mut level = Level { codes: 1_000, table, map, groups };
        let first: Vec<u32> = (0..500).map(|code| level.intern(1, 0, code)).collect();
        let again: Vec<u32> = (0..500).map(|code| level.intern(10_000, 0, code)).collect();
        assert_eq!(first, again);
        assert_eq!(level.intern(10_000, 9_999, 7), 500);
        assert_eq!(level.groups[500], (9_999, 7));
    }
}
