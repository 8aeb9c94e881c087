//! `sluice config`: the effective config, and where each value came from.

use toml::{Table, Value};

use super::{Failure, RoleArgs};
use crate::config::{Config, Layers, SECRETS};

/// Prints the effective config as TOML, each value followed by its origin.
pub fn run(args: &RoleArgs) -> Result<(), Failure> {
    let loaded = Config::load(args).map_err(Failure::Usage)?;
    let mut table = Table::try_from(&loaded.config)
        .map_err(|error| Failure::Failed(format!("config cannot be shown: {error}")))?;
    redact(&mut table);
    print!("{}", render(&table, &loaded.layers));
    Ok(())
}

/// What the sections of the engines hold in plain text.
fn redact(table: &mut Table) {
    for (section, key) in SECRETS {
        let value = table.get_mut(section).and_then(|section| section.get_mut(key));
        if let Some(value) = value.filter(|value| value.as_str() != Some("")) {
            *value = Value::String("***".to_owned());
        }
    }
    let extra = table.get_mut("kafka").and_then(|kafka| kafka.get_mut("extra"));
    for (key, value) in extra.and_then(Value::as_table_mut).into_iter().flatten() {
        if key.contains("password") || key.contains("secret") {
            *value = Value::String("***".to_owned());
        }
    }
}

/// Scalars before sections, so that the output is itself a valid config file.
fn render(table: &Table, layers: &Layers) -> String {
    let mut out = String::new();
    section(&mut out, table, "", layers);
    out
}

fn section(out: &mut String, table: &Table, prefix: &str, layers: &Layers) {
    let path = |key: &str| {
        if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
    };
    for (key, value) in table.iter().filter(|(_, value)| !value.is_table()) {
        let line = format!("{} = {}", quoted(key), inline(value));
        let origin = layers.origin(&path(key));
        out.push_str(&format!("{line:<48} # {origin}\n"));
    }
    for (key, value) in table {
        if let Value::Table(inner) = value {
            let path = path(&quoted(key));
            if inner.values().any(|value| !value.is_table()) || inner.is_empty() {
                out.push_str(&format!("\n[{path}]\n"));
            }
            section(out, inner, &path, layers);
        }
    }
}

fn quoted(key: &str) -> String {
    let bare = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare && !key.is_empty() { key.to_owned() } else { format!("{key:?}") }
}

fn inline(value: &Value) -> String {
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    #[test]
    fn output_reads_back_as_the_same_config() {
        let text = "a = 1\n[b]\nc = \"x\"\n[b.d]\ne = [1, 2]\n[apps.\"my.app\"]\nf = true\n";
        let table: Table = text.parse().expect("toml");
        let mut layers = Layers::default();
        layers.set("b.c", Value::String("x".into()), Origin::Flag("--c".into()));
        let shown = render(&table, &layers);
        assert_eq!(shown.parse::<Table>().expect("toml"), table, "{shown}");
        assert!(
            shown.lines().any(|line| line.starts_with("c = \"x\"") && line.ends_with("# flag --c"))
        );
        assert!(shown.lines().any(|line| line.starts_with("a = 1") && line.ends_with("# default")));
    }
}
