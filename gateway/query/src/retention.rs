//! Retention: of the users first seen on a day, how many came back k days later.
//!
//! Worked out of two tables that any store gives exactly: who was first seen on
//! which day, and who was active on which day.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sluice_seams::KeyValue;
use sluice_seams::question::Group;

use crate::calendar::Buckets;
use crate::rows::{Cell, Grouping, RowKey};

/// Who was active on which day; days count from the first day of the range.
#[derive(Debug, Default)]
pub struct Active(HashSet<(u32, Arc<str>)>);

/// The cohorts of one row, and how many of them came back for each k asked for.
struct Cohort {
    size: u64,
    back: Vec<u64>,
    bucket: usize,
}

/// Days of the range, and the days after it that matter.
#[derive(Debug, Clone)]
pub struct Days {
    /// The range's own days, cut to it.
    pub range: Buckets,
    /// Whole days from the range's first on, as far as the largest k reaches.
    pub whole: Buckets,
}

// === impl Active ===

impl Active {
    /// Reads groups by `[day, user]`.
    pub fn read(groups: Vec<Group>) -> Self {
        let pairs = groups.into_iter().filter_map(|group| match group.keys.as_slice() {
            [KeyValue::Bucket(day), KeyValue::Text(user)] => Some((*day, user.clone())),
            _ => None,
        });
        Self(pairs.collect())
    }
}

/// Shares per row, for each `k` of `after_days`. `cohorts` are groups by
/// `[day, user, fields…]`; `complete_until_ms` is where what is known ends.
pub fn shares(
    cohorts: &[Group],
    active: &Active,
    days: &Days,
    grouping: &Grouping,
    after_days: &[u16],
    complete_until_ms: i64,
) -> HashMap<RowKey, Vec<Cell>> {
    let mut rows: HashMap<RowKey, Cohort> = HashMap::new();
    let mut counted: HashSet<(RowKey, u32, &str)> = HashSet::new();
    for group in cohorts {
        let [KeyValue::Bucket(day), KeyValue::Text(user), values @ ..] = group.keys.as_slice()
        else {
            continue;
        };
        let Some(bucket) = grouping.buckets.index(days.range.edges[*day as usize]) else {
            continue;
        };
        let key = grouping.arrange(bucket, values.iter().cloned());
        // Coarser groupings see a user once for each value of a field left out.
        if !counted.insert((key.clone(), *day, user)) {
            continue;
        }
        let fresh = || Cohort { size: 0, back: vec![0; after_days.len()], bucket };
        let cohort = rows.entry(key).or_insert_with(fresh);
        cohort.size += 1;
        for (back, after) in cohort.back.iter_mut().zip(after_days) {
            *back += u64::from(active.0.contains(&(day + u32::from(*after), user.clone())));
        }
    }
    let cells = |cohort: Cohort| {
        let closed = |after: u16| days.closed(grouping, cohort.bucket, after, complete_until_ms);
        let share = |(back, after): (&u64, &u16)| {
            if closed(*after) { Cell::mean(*back as f64, cohort.size) } else { Cell::Null }
        };
        cohort.back.iter().zip(after_days).map(share).collect()
    };
    rows.into_iter().map(|(key, cohort)| (key, cells(cohort))).collect()
}

// === impl Days ===

impl Days {
    /// Whether the day `after` days after the bucket's last is over.
    fn closed(&self, grouping: &Grouping, bucket: usize, after: u16, until_ms: i64) -> bool {
        let last_ms = grouping.buckets.edges[bucket + 1] - 1;
        let day = self.range.index(last_ms).unwrap_or_default() + usize::from(after);
        self.whole.edges.get(day + 1).is_some_and(|end| *end <= until_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(rows: &[(u32, &str)]) -> Vec<Group> {
        rows.iter()
            .map(|(day, user)| Group {
                keys: vec![KeyValue::Bucket(*day), KeyValue::Text((*user).into())],
                values: vec![1],
            })
            .collect()
    }

    fn days(count: i64) -> Buckets {
        Buckets {
            edges: (0..=count).map(|day| day * 10).collect(),
            labels: vec![String::new(); count as usize],
        }
    }

    #[test]
    fn of_each_day_and_of_both_together() {
        let days = Days { range: days(2), whole: days(4) };
        let cohorts = groups(&[(0, "a"), (0, "b"), (1, "c")]);
        let active = Active::read(groups(&[(0, "a"), (1, "a"), (2, "b"), (2, "c")]));
        let daily = Grouping { buckets: days.range.clone(), time_at: Some(0), fields: Vec::new() };
        let total = Grouping::total(crate::range::Range { from_ms: 0, to_ms: 20 });
        let at =
            |grouping: &Grouping, until| shares(&cohorts, &active, &days, grouping, &[1, 2], until);
        let open = at(&daily, 30);
        assert_eq!(open[&vec![KeyValue::Bucket(0)]], [Cell::Real(0.5), Cell::Real(0.5)]);
        assert_eq!(open[&vec![KeyValue::Bucket(1)]], [Cell::Real(1.0), Cell::Null]);
        assert_eq!(at(&total, 29)[&Vec::new()], [Cell::Null, Cell::Null]);
        assert_eq!(at(&total, 30)[&Vec::new()], [Cell::Real(2.0 / 3.0), Cell::Null]);
        assert_eq!(at(&total, 40)[&Vec::new()][1], Cell::Real(1.0 / 3.0));
    }
}
