//! One segment, read for one question: which documents are looked at, block by
//! block.
//!
//! A test is made once per distinct value of the segment, not once per document.

use sluice_seams::question::Test;
use tantivy::SegmentReader;
use tantivy::columnar::Column;

use super::lane::{BLOCK, Lane};
use super::plan::{Node, Plan};
use super::schema::{APP, TIME_MS, column_of};

/// A segment open for a question.
pub struct Segment {
    /// A lane for each field of the plan.
    pub lanes: Vec<Lane>,
    /// Corrected times of the block's documents; read by [`Segment::times`].
    pub times_ms: Vec<i64>,
    time: Column<i64>,
    times_at: Option<u32>,
    from_ms: i64,
    to_ms: i64,
    within: bool,
    app: Option<(Lane, Vec<bool>)>,
    /// For each test of the plan: its field and the codes that pass.
    passing: Vec<(usize, Vec<bool>)>,
    documents: u32,
}

/// A stretch of documents.
#[derive(Debug, Clone, Copy)]
pub struct Block {
    /// First document.
    pub start: u32,
    /// Number of documents.
    pub count: usize,
}

// === impl Segment ===

impl Segment {
    /// Opens a segment; `None` where it holds nothing of the app in the time.
    pub fn open(
        reader: &SegmentReader,
        plan: &Plan,
        app_id: &str,
        (from_ms, to_ms): (i64, i64),
    ) -> tantivy::Result<Option<Self>> {
        let time = reader.fast_fields().i64(TIME_MS)?;
        let (min, max) = (time.min_value(), time.max_value());
        if reader.max_doc() == 0 || max < from_ms || min >= to_ms {
            return Ok(None);
        }
        let app = Lane::open(reader, APP)?;
        let ours = app.passing(&Test::Is(vec![app_id.to_owned()]))?;
        if !ours.contains(&true) {
            return Ok(None);
        }
        let alone = ours.len() == 2;
        let lanes = plan.fields.iter().map(|field| Lane::open(reader, &column_of(field)));
        let lanes = lanes.collect::<tantivy::Result<Vec<Lane>>>()?;
        let mut passing = Vec::with_capacity(plan.tests.len());
        for (field, test) in &plan.tests {
            passing.push((*field, lanes[*field].passing(test)?));
        }
        Ok(Some(Self {
            lanes,
            times_ms: Vec::with_capacity(BLOCK),
            time,
            times_at: None,
            from_ms,
            to_ms,
            within: min >= from_ms && max < to_ms,
            app: (!alone).then_some((app, ours)),
            passing,
            documents: reader.max_doc(),
        }))
    }

    /// The segment's blocks, in order.
    pub fn blocks(&self) -> impl Iterator<Item = Block> + use<> {
        let documents = self.documents;
        (0..documents)
            .step_by(BLOCK)
            .map(move |start| Block { start, count: BLOCK.min((documents - start) as usize) })
    }

    /// Reads the times of a block.
    pub fn times(&mut self, block: Block) -> &[i64] {
        if self.times_at != Some(block.start) {
            self.times_at = Some(block.start);
            self.times_ms.resize(block.count, 0);
            self.time.values.get_range(u64::from(block.start), &mut self.times_ms);
        }
        &self.times_ms
    }

    /// Which documents of a block are of the app, within the time, and pass.
    pub fn looked_at(&mut self, block: Block, filter: &Node) -> Vec<bool> {
        let mut mask = vec![true; block.count];
        if let Some((lane, ours)) = &mut self.app {
            lane.load(block.start, block.count);
            for (pass, &code) in mask.iter_mut().zip(&lane.first) {
                *pass = ours[code as usize];
            }
        }
        if !self.within {
            let range = self.from_ms..self.to_ms;
            for (pass, time) in mask.iter_mut().zip(self.times(block)) {
                *pass &= range.contains(time);
            }
        }
        if mask.contains(&true) {
            self.narrow(&mut mask, block, filter);
        }
        mask
    }

    /// Clears the mask where a filter does not hold.
    pub fn narrow(&mut self, mask: &mut [bool], block: Block, filter: &Node) {
        match filter {
            Node::And(parts) => parts.iter().for_each(|part| self.narrow(mask, block, part)),
            Node::Or(parts) => {
                let mut any = vec![false; mask.len()];
                for part in parts {
                    let mut one = mask.to_vec();
                    self.narrow(&mut one, block, part);
                    any.iter_mut().zip(&one).for_each(|(any, one)| *any |= one);
                }
                mask.copy_from_slice(&any);
            }
            Node::Not(part) => {
                let mut one = mask.to_vec();
                self.narrow(&mut one, block, part);
                mask.iter_mut().zip(&one).for_each(|(pass, one)| *pass &= !one);
            }
            Node::Test(test) => {
                let (field, passing) = &self.passing[*test];
                let lane = &mut self.lanes[*field];
                lane.load(block.start, block.count);
                if lane.more.is_empty() {
                    for (pass, &code) in mask.iter_mut().zip(&lane.first) {
                        *pass &= passing[code as usize];
                    }
                    return;
                }
                let mut one: Vec<bool> =
                    lane.first.iter().map(|&code| passing[code as usize]).collect();
                for &(document, code) in &lane.more {
                    one[document as usize] |= passing[code as usize];
                }
                mask.iter_mut().zip(&one).for_each(|(pass, one)| *pass &= one);
            }
        }
    }
}
