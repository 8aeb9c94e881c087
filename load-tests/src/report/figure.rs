//! One figure of the report, beside its limit.

use serde::Serialize;

/// A figure. Where smaller is better, `ratio` is limit over value, so that a goal
/// is always a floor of the ratio.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// Median of the rounds; absent where it was not measured.
    pub value: Option<f64>,
    /// Of value, limit, min and max.
    pub unit: &'static str,
    /// What it is held against: measured in the same run, or a fixed bound.
    pub limit: Option<f64>,
    /// Value by limit, or limit by value.
    pub ratio: Option<f64>,
    /// Least ratio that is good enough.
    pub goal: Option<f64>,
    /// Least of the rounds.
    pub min: Option<f64>,
    /// Greatest of the rounds.
    pub max: Option<f64>,
    /// Why it was not measured, does not count, or what else was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// The value should be large.
    Larger,
    /// The value should be small.
    Smaller,
}

/// The middle one of some values; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

// === impl Figure ===

impl Figure {
    /// A figure of some rounds, held against a limit.
    pub fn new(
        name: &str,
        unit: &'static str,
        better: Better,
        rounds: &[f64],
        (limit, goal): (f64, f64),
    ) -> Self {
        let value = median(rounds);
        let ratio = match better {
            Better::Larger => value / limit,
            // None of what there should be little of.
            Better::Smaller if value == 0.0 => f64::MAX,
            Better::Smaller => limit / value,
        };
        Self {
            name: name.to_owned(),
            value: Some(value),
            unit,
            limit: Some(limit),
            ratio: ratio.is_finite().then_some(ratio),
            goal: Some(goal),
            min: rounds.iter().copied().reduce(f64::min),
            max: rounds.iter().copied().reduce(f64::max),
            note: None,
        }
    }

    /// A limit alone: what others are held against.
    pub fn plain(name: &str, unit: &'static str, rounds: &[f64]) -> Self {
        let bare = Self::new(name, unit, Better::Larger, rounds, (1.0, 0.0));
        Self { limit: None, ratio: None, goal: None, ..bare }
    }

    /// A figure that could not be measured.
    pub fn not_run(name: &str, why: &str) -> Self {
        let why = why.lines().next().unwrap_or_default();
        let bare = Self::plain(name, "", &[]);
        Self { value: None, note: Some(format!("not run: {why}")), ..bare }
    }

    /// Adds what else was seen.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// Takes the value away: it was measured and does not count.
    #[must_use]
    pub fn void(mut self, why: &str) -> Self {
        (self.value, self.ratio) = (None, None);
        self.note(format!("void: {why}"))
    }

    /// Whether it was measured and counts.
    pub fn counts(&self) -> bool {
        self.value.is_some()
    }

    /// Its row in the table.
    fn row(&self) -> String {
        let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
        let verdict = match (self.ratio, self.goal) {
            (Some(ratio), Some(goal)) if ratio >= goal => "yes",
            (Some(_), Some(_)) => "no",
            _ => "",
        };
        let mut row = format!(
            "{:<46} {:>12} {:<14} {:>12} {:>8} {:>6} {:>4}  {:>12} {:>12}",
            self.name,
            shown(self.value),
            self.unit,
            shown(self.limit),
            shown(self.ratio),
            shown(self.goal),
            verdict,
            shown(self.min),
            shown(self.max),
        );
        if let Some(note) = &self.note {
            row.push_str(&format!("\n    {note}"));
        }
        row
    }
}

/// The table for people.
pub fn table(figures: &[Figure]) -> String {
    let mut text = format!(
        "{:<46} {:>12} {:<14} {:>12} {:>8} {:>6} {:>4}  {:>12} {:>12}\n",
        "figure", "value", "unit", "limit", "ratio", "goal", "met", "min", "max"
    );
    for figure in figures {
        text.push_str(&figure.row());
        text.push('\n');
    }
    text
}

/// Four digits or all before the point.
pub fn number(value: f64) -> String {
    match value.abs() {
        f64::MAX => "∞".to_owned(),
        size if size >= 1_000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_a_floor_whichever_way_is_better() {
        let rounds = [5.0, 1.0, 3.0];
        let larger = Figure::new("l", "x", Better::Larger, &rounds, (6.0, 0.5));
        assert_eq!((larger.value, larger.ratio), (Some(3.0), Some(0.5)));
        assert_eq!((larger.min, larger.max), (Some(1.0), Some(5.0)));
        let smaller = Figure::new("s", "x", Better::Smaller, &rounds, (6.0, 2.5));
        assert_eq!(smaller.ratio, Some(2.0));
        let text = table(&[larger, smaller]);
        let met: Vec<bool> = text.lines().skip(1).map(|line| line.contains(" yes ")).collect();
        assert_eq!(met, [true, false]);
    }

    #[test]
    fn what_does_not_count_has_no_value() {
        let figure = Figure::new("l", "x", Better::Larger, &[1.0], (1.0, 1.0)).void("one lost");
        assert!(!figure.counts() && figure.ratio.is_none());
        assert!(table(&[figure]).contains("void: one lost"));
        assert!(!Figure::not_run("l", "no broker\nreally").counts());
    }
}
