//! Environment variables that look like settings and are none.
//!
//! Not every `SLUICE_…` is ours (orchestrators set `SLUICE_SERVICE_HOST` and the
//! like for a service named so), so only what is near a known name is refused:
//! there, somebody meant something that would silently not happen.

use toml::{Table, Value};

use super::Config;
use super::layers::ENV_PREFIX;

/// Variables that stand for flags.
const FLAGS: [&str; 4] =
    ["SLUICE_LISTEN", "SLUICE_ADMIN_LISTEN", "SLUICE_DATA_DIR", "SLUICE_CONFIG"];
/// Edits that a slip of the pen may make.
const SLIPS_MAX: usize = 2;

/// What is wrong with the name of a variable that is no setting; `None`: nothing.
pub fn complaint(name: &str) -> Option<String> {
    let rest = name.strip_prefix(ENV_PREFIX)?;
    if rest.contains("__") || FLAGS.contains(&name) {
        return None;
    }
    let meant = section_key(rest).or_else(|| {
        let near = FLAGS.iter().map(|flag| (strsim::osa_distance(name, flag), *flag));
        let (slips, flag) = near.min()?;
        (slips <= SLIPS_MAX).then(|| flag.to_owned())
    })?;
    Some(format!("the environment variable {name} is no setting — did you mean `{meant}`?"))
}

/// `WIRE_HEADER_TIMEOUT_MS`: a section and a key of it with one underscore
/// between them where two belong.
fn section_key(rest: &str) -> Option<String> {
    let known = Table::try_from(Config::default()).ok()?;
    let lower = rest.to_ascii_lowercase();
    known.iter().find_map(|(section, keys)| {
        let key = lower.strip_prefix(section.as_str())?.strip_prefix('_')?;
        let known = matches!(keys, Value::Table(keys) if keys.contains_key(key));
        known.then(|| format!("{ENV_PREFIX}{}__{}", section.to_uppercase(), key.to_uppercase()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_told_from_what_is_not_ours() {
        for (name, meant) in [
            ("SLUICE_LISTN", "`SLUICE_LISTEN`"),
            ("SLUICE_DATADIR", "`SLUICE_DATA_DIR`"),
            ("SLUICE_WIRE_HEADER_TIMEOUT_MS", "`SLUICE_WIRE__HEADER_TIMEOUT_MS`"),
            ("SLUICE_LOG_PARTITIONS", "`SLUICE_LOG__PARTITIONS`"),
        ] {
            let found = complaint(name).unwrap_or_default();
            assert!(found.contains(meant), "{name}: {found}");
            assert_eq!(found.is_empty(), meant.is_empty(), "{name}: {found}");
        }
        for name in [
            "SLUICE_LISTEN",
            "SLUICE_CONFIG",
            "SLUICE_WIRE__NOTHING",
            "SLUICE_SERVICE_HOST",
            "SLUICE_PORT",
            "SLUICE_QUERY_PORT",
            "SLUICE_BIN",
            "SLUICE_FAULT",
            "PATH",
        ] {
            assert_eq!(complaint(name), None, "{name}");
        }
    }
}
