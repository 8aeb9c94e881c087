//! `load-tests scale`, as it is run: every axis that is cheap shows rows.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const BIN: &str = env!("CARGO_BIN_EXE_load-tests");

fn scale(arguments: &[&str]) -> Output {
    let mut command = Command::new(BIN);
    command.arg("scale").args(arguments).stdin(Stdio::null());
    command.output().expect("runs")
}

/// The one table of a quick run along an axis, which must be whole.
#[track_caller]
fn table(axis: &str, dir: &Path) -> Value {
    let json = dir.join(format!("{axis}.json"));
    let path = json.to_str().expect("UTF-8");
    let output = scale(&["--quick", "--only", axis, "--json", path]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{axis}: {said}");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let written = std::fs::read(&json).expect("the tables are written");
    let mut written: Value = serde_json::from_slice(&written).expect("JSON");
    let axes = written["axes"].as_array_mut().expect("axes");
    assert_eq!(axes.len(), 1, "{axis}");
    let table = axes.remove(0);
    assert_eq!(table["axis"], axis);
    let rows = table["rows"].as_array().expect("rows");
    assert!(shown.starts_with(&format!("{axis}: ")), "{shown}");
    // Title, note and heads of columns stand above the rows.
    assert_eq!(shown.trim_end().lines().count(), rows.len() + 3, "{shown}");
    assert!(said.contains(&format!("{axis}: round 3 of 3")), "rounds are told: {said}");
    for row in rows {
        let [median, min, max] = ["median", "min", "max"].map(|name| row[name].as_f64());
        assert!(min > Some(0.0) && min <= median && median <= max, "{axis}: {row}");
    }
    table
}

fn values(table: &Value) -> BTreeSet<String> {
    let rows = table["rows"].as_array().into_iter().flatten();
    rows.map(|row| row["value"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_cheap_axis_shows_rows_of_two_values() {
    let dir = tempfile::tempdir().expect("temp dir");
    // At the same time: they wait for disks and clocks, and figures say little here.
    std::thread::scope(|scope| {
        for axis in ["cores", "partitions", "batch", "apps", "days"] {
            let dir = dir.path();
            scope.spawn(move || {
                let table = table(axis, dir);
                // On a single core there is one number of cores.
                let least = if axis == "cores" { 1 } else { 2 };
                assert!(values(&table).len() >= least, "{table}");
            });
        }
    });
}

#[test]
fn an_axis_that_is_none_is_refused_with_those_that_are() {
    let output = scale(&["--only", "weather"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("partitions, batch"), "{said}");
    let few = scale(&["--rounds", "2"]);
    assert!(!few.status.success(), "a median of two rounds is none");
}
