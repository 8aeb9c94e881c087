//! Time buckets: edges are arbitrary milliseconds, engines know even intervals
//! only. Stretches of even buckets become one date histogram each; a day of 23
//! or 25 hours is a stretch of its own.

use std::sync::Arc;

/// Buckets of all time keys of a question laid over each other: in each, every
/// time key has one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Atom {
    /// First millisecond.
    pub start: i64,
    /// First millisecond after it.
    pub end: i64,
    /// The bucket of each time key.
    pub buckets: Vec<u32>,
}

/// Neighbouring atoms of equal length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// First millisecond of the first atom.
    pub start: i64,
    /// Length of an atom, milliseconds.
    pub interval: i64,
    /// The atoms, by position.
    pub atoms: std::ops::Range<usize>,
    /// What is looked at of them: from, to (exclusive).
    pub within: (i64, i64),
}

/// Lays the edges of time keys over each other.
pub fn atoms(keys: &[Arc<[i64]>]) -> Vec<Atom> {
    let mut edges: Vec<i64> = keys.iter().flat_map(|key| key.iter().copied()).collect();
    edges.sort_unstable();
    edges.dedup();
    let pairs = edges.windows(2).map(|pair| (pair[0], pair[1]));
    pairs
        .filter_map(|(start, end)| {
            let buckets: Option<Vec<u32>> = keys.iter().map(|key| bucket(key, start)).collect();
            Some(Atom { start, end, buckets: buckets? })
        })
        .collect()
}

/// The first bucket that holds a moment.
fn bucket(edges: &[i64], time: i64) -> Option<u32> {
    let held = edges.windows(2).position(|edge| (edge[0]..edge[1]).contains(&time));
    held.map(|at| at as u32)
}

/// Stretches of even atoms within `[from, to)`.
pub fn runs(atoms: &[Atom], from: i64, to: i64) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (at, atom) in atoms.iter().enumerate() {
        let within = (atom.start.max(from), atom.end.min(to));
        if within.0 >= within.1 {
            continue;
        }
        let interval = atom.end.saturating_sub(atom.start);
        match runs.last_mut() {
            Some(run)
                if run.interval == interval
                    && run.atoms.end == at
                    && atoms[at - 1].end == atom.start =>
            {
                run.atoms.end = at + 1;
                run.within.1 = within.1;
            }
            _ => runs.push(Run { start: atom.start, interval, atoms: at..at + 1, within }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn a_short_day_is_a_run_of_its_own() {
        let mut edges = vec![5];
        for hours in [24, 24, 23, 24, 24, 24] {
            edges.push(edges.last().expect("an edge") + hours * HOUR);
        }
        let atoms = atoms(&[edges.clone().into()]);
        let runs = runs(&atoms, i64::MIN, i64::MAX);
        let shapes: Vec<_> =
            runs.iter().map(|run| (run.interval / HOUR, run.atoms.len())).collect();
        assert_eq!(shapes, [(24, 2), (23, 1), (24, 3)]);
        assert_eq!(runs[1].within, (edges[2], edges[3]));
    }

    #[test]
    fn what_is_not_looked_at_is_left_out() {
        let atoms = atoms(&[[0, 10, 20, 30, 40].into()]);
        let runs = runs(&atoms, 15, 25);
        assert_eq!(runs, [Run { start: 10, interval: 10, atoms: 1..3, within: (15, 25) }]);
    }

    #[test]
    fn two_time_keys_share_their_atoms() {
        let atoms = atoms(&[[0, 10, 20].into(), [5, 15].into()]);
        let of: Vec<_> = atoms.iter().map(|a| (a.start, a.end, a.buckets.clone())).collect();
        assert_eq!(of, [(5, 10, vec![0, 0]), (10, 15, vec![1, 0])]);
        assert_eq!(super::atoms(&[[0, 0, 10, 10].into()]).len(), 1, "empty buckets hold nothing");
    }
}
