//! The shape of the source is a failing test: file heads, lengths, leftovers,
//! the top level, and the arrows between crates.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use toml::Table;

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// Who may depend on whom, outside of tests. Arrows point one way:
/// proto ← seams ← adapters, and proto, seams ← gateway; only the server
/// (composition) and the load tests name an adapter.
const ARROWS: &[(&str, &[&str])] = &[
    ("sluice-proto", &[]),
    ("sluice-seams", &["sluice-proto"]),
    ("sluice-memory", &["sluice-proto", "sluice-seams"]),
    ("sluice-embedded", &["sluice-proto", "sluice-seams"]),
    ("sluice-kafka", &["sluice-seams"]),
    ("sluice-elasticsearch", &["sluice-proto", "sluice-seams"]),
    ("sluice-hbase", &["sluice-proto", "sluice-seams"]),
    ("sluice-event", &["sluice-proto", "sluice-seams"]),
    ("sluice-telemetry", &[]),
    ("sluice-wire", &["sluice-event", "sluice-proto", "sluice-telemetry"]),
    ("sluice-admit", &["sluice-event", "sluice-seams", "sluice-telemetry"]),
    ("sluice-remember", &["sluice-seams", "sluice-telemetry"]),
    (
        "sluice-append",
        &[
            "sluice-admit",
            "sluice-event",
            "sluice-proto",
            "sluice-remember",
            "sluice-seams",
            "sluice-telemetry",
        ],
    ),
    ("sluice-fanout", &["sluice-event", "sluice-proto", "sluice-seams", "sluice-telemetry"]),
    ("sluice-query", &["sluice-event", "sluice-proto", "sluice-seams", "sluice-telemetry"]),
    ("sluice-client", &["sluice-proto"]),
];

/// May name anything: they put the parts together.
const COMPOSERS: &[&str] = &["sluice-server", "load-tests"];

const TOP_LEVEL: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "gateway",
    "helm",
    "load-tests",
    "proto",
    "sdk-spec",
    "storage-adapters",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("workspace root")
}

fn files(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("readable folder") {
        let path = entry.expect("entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !matches!(name, "target" | "node_modules" | ".git" | "sluice-data") {
                files(&path, extension, found);
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    files(&root(), "rs", &mut found);
    assert!(found.len() > 50, "found only {} source files", found.len());
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).expect("text"))).collect()
}

#[test]
fn files_open_with_a_module_doc_and_stay_short() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{}: {lines} lines, at most {FILE_LINES_MAX}", path.display()));
        }
        let first = text.lines().next().unwrap_or_default();
        if !first.starts_with("//! ") || first.len() < 8 {
            wrong.push(format!("{}: does not open with a module doc", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// By rustfmt's own layout: a function ends at the closing brace of its indent.
#[test]
fn functions_stay_short() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let code = line.trim_start();
            let head = code.split('(').next().unwrap_or_default();
            let is_function = head.split_whitespace().any(|word| word == "fn")
                && !code.starts_with("//")
                && !code.ends_with(';');
            if !is_function {
                continue;
            }
            let indent = line.len() - code.len();
            let close = format!("{}}}", " ".repeat(indent));
            let length = lines[start..].iter().position(|line| *line == close).unwrap_or(0) + 1;
            if length > FUNCTION_LINES_MAX {
                let at = format!("{}:{}", path.display(), start + 1);
                wrong.push(format!("{at}: {length} lines, at most {FUNCTION_LINES_MAX}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_left_over() {
    let words = ["TODO", "FIXME", "todo!(", "unimplemented!(", "#[ignore", "dbg!("];
    // What needs a real engine is run by `-- --ignored`, and fails where there is none.
    let engines = "#[ignore = \"real engine: started by storage-adapters/services/services;";
    let mut wrong = Vec::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| !path.ends_with("tidy.rs")) {
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_start();
            let left = |word: &&&str| line.contains(**word) && !line.starts_with(engines);
            if let Some(word) = words.iter().find(left) {
                wrong.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn manifests() -> BTreeMap<String, Table> {
    let root: Table =
        fs::read_to_string(root().join("Cargo.toml")).expect("text").parse().expect("toml");
    let members = root["workspace"]["members"].as_array().expect("members");
    let manifest = |member: &toml::Value| {
        let path = self::root().join(member.as_str().expect("path")).join("Cargo.toml");
        let table: Table = fs::read_to_string(path).expect("text").parse().expect("toml");
        (table["package"]["name"].as_str().expect("name").to_owned(), table)
    };
    members.iter().map(manifest).collect()
}

#[test]
fn arrows_between_crates_point_one_way() {
    let manifests = manifests();
    let ours: BTreeSet<&str> = manifests.keys().map(String::as_str).collect();
    let mut wrong = Vec::new();
    for (name, manifest) in &manifests {
        if COMPOSERS.contains(&name.as_str()) {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(of, _)| of == name) else {
            wrong.push(format!("{name} is not in the table of arrows"));
            continue;
        };
        let none = Table::new();
        let table = manifest.get("dependencies").and_then(toml::Value::as_table).unwrap_or(&none);
        for dependency in table.keys().filter(|name| ours.contains(name.as_str())) {
            if !allowed.contains(&dependency.as_str()) {
                wrong.push(format!("{name} must not depend on {dependency}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    for (name, manifest) in manifests() {
        let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        assert_eq!(lints.and_then(toml::Value::as_bool), Some(true), "{name}: [lints] workspace");
    }
}

#[test]
fn the_top_level_is_fixed() {
    for entry in fs::read_dir(root()).expect("root") {
        let name = entry.expect("entry").file_name().into_string().expect("name");
        let ignored = name.starts_with('.') || matches!(&*name, "target" | "sluice-data");
        assert!(ignored || TOP_LEVEL.contains(&&*name), "`{name}` does not belong here");
    }
}
