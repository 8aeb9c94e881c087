//! Who follows, and who began or ceased to, out of the whole history of follow
//! and unfollow events in `(user, time, key)` order.

use std::collections::{HashMap, HashSet};

use sluice_seams::question::Visit;

use crate::rows::{Grouping, RowKey};

/// What follow metrics count in one row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Users that follow at the bucket's end.
    pub followers: u64,
    /// Users that changed to following in the bucket.
    pub began: u64,
    /// Users that changed to not following in the bucket.
    pub ceased: u64,
}

/// Counts follow states over the grouping's buckets. An event that is not
/// `picked` still changes its user's state, but counts nowhere itself.
pub fn tally(
    visits: &[Visit],
    grouping: &Grouping,
    picked: impl Fn(u128) -> bool,
) -> HashMap<RowKey, Tally> {
    let buckets = grouping.buckets.len();
    let mut tallies: HashMap<RowKey, Tally> = HashMap::new();
    // What each bucket adds to the followers of one combination of field values,
    // under that combination's key in bucket 0.
    let mut steps: HashMap<RowKey, Vec<i64>> = HashMap::new();
    for history in visits.chunk_by(|a, b| a.user == b.user) {
        count_changes(history, grouping, &picked, &mut tallies);
        for (n, visit) in history.iter().enumerate() {
            if &*visit.name != "follow" || !picked(visit.key) {
                continue;
            }
            let next = history.get(n + 1);
            let from = shown_from(grouping, visit.time_ms);
            let until = next.map_or(buckets, |next| shown_from(grouping, next.time_ms));
            if from < until {
                let key = grouping.key(0, &visit.fields);
                let steps = steps.entry(key).or_insert_with(|| vec![0; buckets + 1]);
                steps[from] += 1;
                steps[until] -= 1;
            }
        }
    }
    for (mut key, steps) in steps {
        let mut followers = 0;
        for (bucket, step) in steps[..buckets].iter().enumerate() {
            followers += step;
            if followers > 0 {
                grouping.move_to(&mut key, bucket);
                tallies.entry(key.clone()).or_default().followers = followers as u64;
            }
        }
    }
    tallies
}

/// Counts one user's changes, each once a row however often it happened there.
fn count_changes(
    history: &[Visit],
    grouping: &Grouping,
    picked: &impl Fn(u128) -> bool,
    tallies: &mut HashMap<RowKey, Tally>,
) {
    let mut following = false;
    let mut changed: HashSet<(RowKey, bool)> = HashSet::new();
    for visit in history {
        let follows = match &*visit.name {
            "follow" => true,
            "unfollow" => false,
            _ => continue,
        };
        if follows == std::mem::replace(&mut following, follows) || !picked(visit.key) {
            continue;
        }
        let Some(bucket) = grouping.buckets.index(visit.time_ms) else { continue };
        let key = grouping.key(bucket, &visit.fields);
        if changed.insert((key.clone(), follows)) {
            let tally = tallies.entry(key).or_default();
            let count = if follows { &mut tally.began } else { &mut tally.ceased };
            *count += 1;
        }
    }
}

/// The first bucket at whose end a change at this time shows.
fn shown_from(grouping: &Grouping, time_ms: i64) -> usize {
    grouping.buckets.edges[1..].partition_point(|&end| end <= time_ms)
}

#[cfg(test)]
mod tests {
    use sluice_seams::KeyValue;

    use super::*;
    use crate::calendar::Buckets;

    /// Three buckets of ten milliseconds from 100 on.
    fn grouping() -> Grouping {
        let labels = vec![String::new(); 3];
        let buckets = Buckets { edges: vec![100, 110, 120, 130], labels };
        Grouping { buckets, time_at: Some(0), fields: Vec::new() }
    }

    fn visits(steps: &[(u128, i64, &str)]) -> Vec<Visit> {
        steps
            .iter()
            .enumerate()
            .map(|(n, (user, time_ms, name))| Visit {
                user: *user,
                time_ms: *time_ms,
                key: n as u128,
                name: (*name).into(),
                fields: Vec::new(),
            })
            .collect()
    }

    #[track_caller]
    fn check(steps: &[(u128, i64, &str)], wanted: [(u64, u64, u64); 3]) {
        let tallies = tally(&visits(steps), &grouping(), |_| true);
        let got = [0, 1, 2].map(|bucket| {
            let tally = tallies.get(&vec![KeyValue::Bucket(bucket)]).copied().unwrap_or_default();
            (tally.followers, tally.began, tally.ceased)
        });
        assert_eq!(got, wanted, "{steps:?}");
    }

    #[test]
    fn the_state_before_the_range_lasts() {
        check(&[(1, 5, "follow")], [(1, 0, 0), (1, 0, 0), (1, 0, 0)]);
        check(&[(1, 5, "follow"), (1, 110, "unfollow")], [(1, 0, 0), (0, 0, 1), (0, 0, 0)]);
    }

    #[test]
    fn a_repeated_follow_is_no_change() {
        check(&[(1, 105, "follow"), (1, 115, "follow")], [(1, 1, 0), (1, 0, 0), (1, 0, 0)]);
        check(&[(1, 5, "follow"), (1, 115, "follow")], [(1, 0, 0), (1, 0, 0), (1, 0, 0)]);
        check(&[(1, 105, "unfollow")], [(0, 0, 0), (0, 0, 0), (0, 0, 0)]);
    }

    #[test]
    fn a_user_counts_once_a_bucket() {
        check(
            &[(1, 101, "follow"), (1, 102, "unfollow"), (1, 103, "follow"), (2, 104, "follow")],
            [(2, 2, 1), (2, 0, 0), (2, 0, 0)],
        );
    }

    #[test]
    fn what_is_not_picked_changes_the_state_but_counts_nowhere() {
        let history = visits(&[(1, 101, "follow"), (1, 112, "unfollow")]);
        let tallies = tally(&history, &grouping(), |key| key == 0);
        let first = Tally { followers: 1, began: 1, ceased: 0 };
        assert_eq!(tallies, HashMap::from([(vec![KeyValue::Bucket(0)], first)]));
    }
}
