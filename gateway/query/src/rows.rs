//! Rows of an answer: keys, cells, order, and the buckets they fall into.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use sluice_seams::question::GroupKey;
use sluice_seams::{Field, KeyValue};

use crate::calendar::{Buckets, CalendarError};
use crate::range::Range;
use crate::request::{Direction, Order, Request};

/// A value for each dimension asked for, in order.
pub type RowKey = Vec<KeyValue>;

/// One value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell {
    /// A number of things.
    Whole(u64),
    /// A mean or a share.
    Real(f64),
    /// Not defined: nothing to divide by, or not yet known.
    Null,
}

/// How rows are told apart: by the question's dimensions, or not at all (totals).
#[derive(Debug, Clone)]
pub struct Grouping {
    /// Time buckets; one over the whole range where time is no dimension.
    pub buckets: Buckets,
    /// The place of time among the dimensions.
    pub time_at: Option<usize>,
    /// The other dimensions, in order.
    pub fields: Vec<Field>,
}

/// Rows with a cell for each metric.
#[derive(Debug, Clone)]
pub struct Rows {
    cells: HashMap<RowKey, Vec<Cell>>,
    defaults: Vec<Cell>,
}

// === impl Cell ===

impl Cell {
    /// A mean; null over nothing.
    pub fn mean(sum: f64, count: u64) -> Self {
        if count == 0 { Self::Null } else { Self::Real(sum / count as f64) }
    }

    fn number(self) -> Option<f64> {
        match self {
            Self::Whole(count) => Some(count as f64),
            Self::Real(value) => Some(value),
            Self::Null => None,
        }
    }

    /// Null comes last, whichever way.
    fn compare(self, other: Self, direction: Direction) -> Ordering {
        match (self.number(), other.number()) {
            (Some(a), Some(b)) => direction.apply(a.total_cmp(&b)),
            (a, b) => b.is_some().cmp(&a.is_some()),
        }
    }
}

impl Direction {
    fn apply(self, ordering: Ordering) -> Ordering {
        match self {
            Self::Ascending => ordering,
            Self::Descending => ordering.reverse(),
        }
    }
}

// === impl Grouping ===

impl Grouping {
    /// By the question's dimensions, over a range.
    pub fn by(request: &Request, range: Range) -> Result<Self, CalendarError> {
        let Some((at, unit)) = request.time() else {
            return Ok(Self { fields: request.fields(), ..Self::total(range) });
        };
        let buckets = unit.buckets(range.from_ms, range.to_ms, &request.tz)?;
        Ok(Self { buckets, time_at: Some(at), fields: request.fields() })
    }

    /// One row over everything.
    pub fn total(range: Range) -> Self {
        let buckets =
            Buckets { edges: vec![range.from_ms, range.to_ms], labels: vec![String::new()] };
        Self { buckets, time_at: None, fields: Vec::new() }
    }

    /// Whether there is but one row.
    pub fn is_total(&self) -> bool {
        self.time_at.is_none() && self.fields.is_empty()
    }

    /// Group keys for a store: time first (if `edges` are given), then the fields.
    pub fn group_keys(&self, edges: Option<Arc<[i64]>>) -> Vec<GroupKey> {
        let time = edges.map(GroupKey::Time);
        time.into_iter().chain(self.fields.iter().cloned().map(GroupKey::Field)).collect()
    }

    /// The key of a row, of a bucket and the fields' values.
    pub fn key(&self, bucket: usize, values: &[Option<Arc<str>>]) -> RowKey {
        let values = values.iter().map(|value| match value {
            Some(text) => KeyValue::Text(text.clone()),
            None => KeyValue::Missing,
        });
        self.arrange(bucket, values)
    }

    /// Makes a row's key that of the same values in another bucket.
    pub fn move_to(&self, key: &mut RowKey, bucket: usize) {
        if let Some(at) = self.time_at {
            key[at] = KeyValue::Bucket(bucket as u32);
        }
    }

    /// The same as [`key`](Self::key), of values that a store has grouped by.
    pub fn arrange(&self, bucket: usize, values: impl Iterator<Item = KeyValue>) -> RowKey {
        let mut key: RowKey = values.take(self.fields.len()).collect();
        if let Some(at) = self.time_at {
            key.insert(at.min(key.len()), KeyValue::Bucket(bucket as u32));
        }
        key
    }
}

// === impl Rows ===

impl Rows {
    /// No rows yet; `defaults` are the cells of a metric that has nothing to say.
    pub fn new(defaults: Vec<Cell>) -> Self {
        Self { cells: HashMap::new(), defaults }
    }

    /// Sets one metric's cell.
    pub fn set(&mut self, key: RowKey, metric: usize, cell: Cell) {
        let defaults = &self.defaults;
        self.cells.entry(key).or_insert_with(|| defaults.clone())[metric] = cell;
    }

    /// The cells of a row; defaults where there is none.
    pub fn get(&self, key: &RowKey) -> &[Cell] {
        self.cells.get(key).unwrap_or(&self.defaults)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Adds a row for every time bucket, with every combination of other values
    /// that some row has. `Err`: the number of rows that would make.
    pub fn fill(&mut self, grouping: &Grouping, rows_max: usize) -> Result<(), usize> {
        let Some(at) = grouping.time_at else { return Ok(()) };
        let mut others: Vec<RowKey> = self.cells.keys().cloned().collect();
        for key in &mut others {
            key.remove(at);
        }
        others.sort_unstable();
        others.dedup();
        if others.is_empty() && grouping.fields.is_empty() {
            others.push(Vec::new());
        }
        let wanted = others.len().saturating_mul(grouping.buckets.len());
        if wanted > rows_max {
            return Err(wanted);
        }
        for other in others {
            for bucket in 0..grouping.buckets.len() {
                let mut key = other.clone();
                key.insert(at, KeyValue::Bucket(bucket as u32));
                self.cells.entry(key).or_insert_with(|| self.defaults.clone());
            }
        }
        Ok(())
    }

    /// All rows in the order asked for. Where that leaves a tie, and by default:
    /// time ascending, the first metric descending, the dimensions ascending.
    pub fn sorted(
        self,
        order_by: &[(Order, Direction)],
        time_at: Option<usize>,
    ) -> Vec<(RowKey, Vec<Cell>)> {
        let mut orders = order_by.to_vec();
        orders.extend(time_at.map(|at| (Order::Dimension(at), Direction::Ascending)));
        orders.push((Order::Metric(0), Direction::Descending));
        let mut rows: Vec<(RowKey, Vec<Cell>)> = self.cells.into_iter().collect();
        rows.sort_unstable_by(|a, b| {
            let by_order = orders.iter().map(|(order, direction)| match *order {
                Order::Metric(n) => a.1[n].compare(b.1[n], *direction),
                Order::Dimension(n) => direction.apply(a.0[n].cmp(&b.0[n])),
            });
            by_order.fold(Ordering::Equal, Ordering::then).then_with(|| a.0.cmp(&b.0))
        });
        rows
    }
}
