//! Buckets folded into groups.

use std::collections::HashMap;

use sluice_seams::question::Group;
use sluice_seams::{KeyValue, StoreError, Table};

/// Groups in which some measure is not zero.
pub struct Fold {
    groups: HashMap<Vec<KeyValue>, Vec<u64>>,
    measures: usize,
    groups_max: Option<usize>,
}

// === impl Fold ===

impl Fold {
    /// For a question with this many group keys and measures.
    pub fn new(keys: usize, measures: usize, groups_max: usize) -> Self {
        let mut groups = HashMap::new();
        if keys == 0 {
            groups.insert(Vec::new(), vec![0; measures]);
        }
        Self { groups, measures, groups_max: (keys > 0).then_some(groups_max) }
    }

    /// Adds to the measures of a group; an error if there are too many groups.
    pub fn add(&mut self, keys: Vec<KeyValue>, values: &[(usize, u64)]) -> Result<(), StoreError> {
        if values.iter().all(|(_, value)| *value == 0) {
            return Ok(());
        }
        let measures = self.measures;
        let group = self.groups.entry(keys).or_insert_with(|| vec![0; measures]);
        values.iter().for_each(|(measure, value)| group[*measure] += value);
        match self.groups_max {
            Some(max) if self.groups.len() > max => Err(StoreError::Refused(format!(
                "more than {max} groups: at most {max} are allowed"
            ))),
            _ => Ok(()),
        }
    }

    /// The answer.
    pub fn table(self) -> Table {
        let group = |(keys, values)| Group { keys, values };
        Table::Groups(self.groups.into_iter().map(group).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_zeros_are_left_out_but_for_the_only_one() {
        let mut fold = Fold::new(1, 2, 1);
        fold.add(vec![KeyValue::Missing], &[(0, 0), (1, 0)]).expect("nothing");
        fold.add(vec![KeyValue::Bucket(3)], &[(1, 2)]).expect("one group");
        let error = fold.add(vec![KeyValue::Bucket(4)], &[(1, 2)]).expect_err("two groups");
        assert!(error.to_string().contains("more than 1"), "{error}");
        assert_eq!(
            Fold::new(0, 1, 0).table(),
            Table::Groups(vec![Group { keys: vec![], values: vec![0] }])
        );
    }
}
