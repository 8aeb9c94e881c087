//! What was measured along one axis: a row for each value of the axis and each
//! figure, held against the first value.

use serde::Serialize;

use crate::report::figure::{median, number};

/// One axis.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    /// Name of the axis, as `--only` takes it.
    pub axis: &'static str,
    /// What its values are.
    pub of: &'static str,
    /// How it was measured.
    pub note: String,
    /// How long that took, seconds.
    pub took_s: f64,
    /// Why there are no rows, or not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// What was measured.
    pub rows: Vec<Row>,
}

/// One figure at one value of the axis.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// On what: rows of one series are comparable.
    pub series: String,
    /// The value of the axis.
    pub value: String,
    /// What was measured, with its unit.
    pub figure: &'static str,
    /// Median of the rounds.
    pub median: f64,
    /// Least of the rounds.
    pub min: f64,
    /// Greatest of the rounds.
    pub max: f64,
    /// Median by that of the first value of the same series and figure; absent
    /// where that is 0.
    pub ratio: Option<f64>,
}

// === impl Table ===

impl Table {
    /// Without rows.
    pub fn new(axis: &'static str, of: &'static str, note: impl Into<String>) -> Self {
        let (rows, note) = (Vec::new(), note.into());
        Self { axis, of, note, took_s: 0.0, missing: None, rows }
    }

    /// An axis that could not be measured.
    pub fn not_run(axis: &'static str, why: &str) -> Self {
        Self { missing: Some(why.to_owned()), ..Self::new(axis, "", "") }
    }

    /// Adds a row, of at least one round.
    pub fn add(&mut self, series: &str, value: &str, figure: &'static str, rounds: &[f64]) {
        let held = |row: &&Row| row.series == series && row.figure == figure;
        let middle = median(rounds);
        let first = self.rows.iter().find(held).map_or(middle, |row| row.median);
        self.rows.push(Row {
            series: series.to_owned(),
            value: value.to_owned(),
            figure,
            median: middle,
            min: rounds.iter().copied().fold(f64::INFINITY, f64::min),
            max: rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            ratio: Some(middle / first).filter(|ratio| ratio.is_finite()),
        });
    }

    /// Whether it shows something, and nothing is missing.
    pub fn whole(&self) -> bool {
        !self.rows.is_empty() && self.missing.is_none()
    }

    /// For people: the rows of a series and figure together, in the order in
    /// which they were measured.
    pub fn text(&self) -> String {
        let mut text = format!("{}: {} ({:.0} s)\n", self.axis, self.of, self.took_s);
        if !self.note.is_empty() {
            text.push_str(&format!("    {}\n", self.note));
        }
        if let Some(why) = &self.missing {
            text.push_str(&format!("    not run: {why}\n"));
        }
        if self.rows.is_empty() {
            return text;
        }
        text.push_str(&line(["on", "value", "figure", "median", "min", "max", "ratio"]));
        let mut groups: Vec<(&str, &str)> = Vec::new();
        for row in &self.rows {
            if !groups.contains(&(&*row.series, row.figure)) {
                groups.push((&row.series, row.figure));
            }
        }
        for group in groups {
            let rows = self.rows.iter().filter(|row| (&*row.series, row.figure) == group);
            rows.for_each(|row| text.push_str(&row.line()));
        }
        text
    }
}

// === impl Row ===

impl Row {
    fn line(&self) -> String {
        let numbers = [self.median, self.min, self.max].map(number);
        let ratio = self.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"));
        let [median, min, max] = &numbers;
        line([&self.series, &self.value, self.figure, median, min, max, &ratio])
    }
}

fn line(cells: [&str; 7]) -> String {
    let [series, value, figure, median, min, max, ratio] = cells;
    format!(
        "  {series:<16} {value:>12}  {figure:<28} {median:>12} {min:>12} {max:>12} {ratio:>8}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("batch", "events of a batch", "as SDKs send them");
        table.add("null log", "1", "events/s", &[30.0, 10.0, 20.0]);
        table.add("embedded log", "1", "events/s", &[8.0, 8.0, 8.0]);
        table.add("null log", "1", "events/CPU-s", &[0.0, 0.0, 0.0]);
        table.add("null log", "50", "events/s", &[100.0, 200.0, 50.0]);
        table.add("embedded log", "50", "events/s", &[2.0, 2.0, 2.0]);
        table.add("null log", "50", "events/CPU-s", &[4.0, 4.0, 4.0]);
        table
    }

    #[test]
    fn a_row_is_held_against_the_first_of_its_own_series_and_figure() {
        let rows = table().rows;
        let ratios: Vec<Option<f64>> = rows.iter().map(|row| row.ratio).collect();
        assert_eq!(ratios, [Some(1.0), Some(1.0), None, Some(5.0), Some(0.25), None]);
        assert_eq!((rows[3].median, rows[3].min, rows[3].max), (100.0, 50.0, 200.0));
    }

    #[test]
    fn what_is_comparable_stands_together() {
        let text = table().text();
        let lines: Vec<Vec<&str>> =
            text.lines().skip(3).map(|line| line.split_whitespace().collect()).collect();
        let values: Vec<&str> = lines.iter().map(|words| words[2]).collect();
        assert_eq!(values, ["1", "50", "1", "50", "1", "50"], "{text}");
        assert_eq!(lines[0][..2], ["null", "log"]);
        assert_eq!(lines[1][3..], ["events/s", "100.0", "50.0", "200.0", "5.000"]);
        assert_eq!(lines[3].last(), Some(&"0.250"));
    }

    #[test]
    fn an_axis_without_rows_is_not_whole() {
        let table = Table::not_run("cores", "no core");
        assert!(!table.whole() && table.text().contains("not run: no core"));
        assert!(!Table::new("cores", "cores", "").whole());
        assert!(super::tests::table().whole());
    }

    #[test]
    fn json_says_what_the_table_says() {
        let value = serde_json::to_value(table()).expect("JSON");
        assert_eq!(value["axis"], "batch");
        assert_eq!(value["rows"][3]["ratio"], 5.0);
        assert_eq!(value["rows"].as_array().map(Vec::len), Some(6));
        assert!(value.get("missing").is_none());
    }
}
