//! Layers of settings: defaults, file, environment, flags, each later one over
//! the earlier. Which layer a value came from is kept, so that `sluice config`
//! can say it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use toml::{Table, Value};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// This config file.
    File(PathBuf),
    /// This environment variable.
    Env(String),
    /// This command line flag.
    Flag(String),
}

/// Settings merged so far, without the defaults.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    merged: Table,
    origins: BTreeMap<String, Origin>,
}

/// The prefix of environment variables; `__` separates a section from a key.
pub const ENV_PREFIX: &str = "SLUICE_";

// === impl Origin ===

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "env {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

// === impl Layers ===

impl Layers {
    /// Puts a whole table over what is there.
    pub fn table(&mut self, table: Table, origin: &Origin) {
        merge(&mut self.merged, table, "", origin, &mut self.origins);
    }

    /// Puts one value at a dotted path.
    pub fn set(&mut self, path: &str, value: Value, origin: Origin) {
        let mut table = Table::new();
        let (sections, key) = path.rsplit_once('.').map_or(("", path), |(head, key)| (head, key));
        table.insert(key.to_owned(), value);
        for section in sections.split('.').rev().filter(|section| !section.is_empty()) {
            table = Table::from_iter([(section.to_owned(), Value::Table(table))]);
        }
        self.table(table, &origin);
    }

    /// Takes every `SLUICE_SECTION__KEY` of the environment. Variables without
    /// `__` belong to flags and are left to the command line.
    pub fn environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
        for (name, text) in variables {
            let Some(rest) = name.strip_prefix(ENV_PREFIX) else { continue };
            if !rest.contains("__") {
                continue;
            }
            let path = rest.to_ascii_lowercase().replace("__", ".");
            self.set(&path, guess(&text), Origin::Env(name));
        }
    }

    /// The merged settings.
    pub fn merged(&self) -> &Table {
        &self.merged
    }

    /// Where the value at a dotted path came from.
    pub fn origin(&self, path: &str) -> Origin {
        let mut at = path;
        loop {
            if let Some(origin) = self.origins.get(at) {
                return origin.clone();
            }
            match at.rsplit_once('.') {
                Some((head, _)) => at = head,
                None => return Origin::Default,
            }
        }
    }
}

fn merge(
    into: &mut Table,
    from: Table,
    prefix: &str,
    origin: &Origin,
    origins: &mut BTreeMap<String, Origin>,
) {
    for (key, value) in from {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match (into.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(table)) => {
                merge(inner, table, &path, origin, origins);
            }
            (_, Value::Table(table)) => {
                let mut inner = Table::new();
                merge(&mut inner, table, &path, origin, origins);
                into.insert(key, Value::Table(inner));
            }
            (_, value) => {
                origins.insert(path, origin.clone());
                into.insert(key, value);
            }
        }
    }
}

/// A number, a boolean or an array where the text reads as one, else the text.
fn guess(text: &str) -> Value {
    let Ok(table) = format!("v = {text}").parse::<Table>() else {
        return Value::String(text.to_owned());
    };
    match table.get("v") {
        Some(
            value @ (Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Array(_)),
        ) => value.clone(),
        _ => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_layers_win_key_by_key_and_are_named() {
        let mut layers = Layers::default();
        let file = Origin::File("sluice.toml".into());
        layers.table("[log]\npartitions = 4\nretention_ms = 5".parse().expect("toml"), &file);
        let variables = [("SLUICE_LOG__PARTITIONS", "8"), ("SLUICE_LISTEN", "x"), ("HOME", "/")];
        layers.environment(variables.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())));
        layers.set("listen", Value::String("a:1".into()), Origin::Flag("--listen".into()));
        let merged = layers.merged();
        assert_eq!(merged["log"]["partitions"].as_integer(), Some(8));
        assert_eq!(merged["log"]["retention_ms"].as_integer(), Some(5));
        assert_eq!(merged["listen"].as_str(), Some("a:1"));
        assert_eq!(layers.origin("log.partitions"), Origin::Env("SLUICE_LOG__PARTITIONS".into()));
        assert_eq!(layers.origin("log.retention_ms"), file);
        assert_eq!(layers.origin("listen"), Origin::Flag("--listen".into()));
        assert_eq!(layers.origin("drain.deadline_ms"), Origin::Default);
    }

    #[test]
    fn text_that_looks_like_nothing_else_stays_text() {
        assert_eq!(guess("12"), Value::Integer(12));
        assert_eq!(guess("true"), Value::Boolean(true));
        assert_eq!(guess("127.0.0.1:0"), Value::String("127.0.0.1:0".into()));
        assert_eq!(guess("2026-11-21"), Value::String("2026-11-21".into()));
    }
}
