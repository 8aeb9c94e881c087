//! Secrets of a config file: in place, from a file, or from the environment.
//!
//! Wherever a text is wanted, `{ file = "path" }` or `{ env = "NAME" }` may stand
//! in its place. They are resolved here, before the typed sections see them.

use std::path::Path;

use toml::{Table, Value};

/// Replaces every `{ file = … }` and `{ env = … }`. Paths are relative to `base`.
/// Every failure is reported, not only the first.
pub fn resolve(
    table: &mut Table,
    base: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(), Vec<String>> {
    let mut errors = Vec::new();
    for (key, value) in table.iter_mut() {
        walk(value, key, base, env, &mut errors);
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn walk(
    value: &mut Value,
    path: &str,
    base: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    errors: &mut Vec<String>,
) {
    if let Some(found) = reference(value, base, env) {
        match found {
            Ok(text) => *value = Value::String(text),
            Err(error) => errors.push(format!("{path}: {error}")),
        }
        return;
    }
    match value {
        Value::Table(table) => {
            for (key, inner) in table.iter_mut() {
                walk(inner, &format!("{path}.{key}"), base, env, errors);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                walk(item, &format!("{path}[{index}]"), base, env, errors);
            }
        }
        _ => {}
    }
}

fn reference(
    value: &Value,
    base: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Option<Result<String, String>> {
    let table = value.as_table().filter(|table| table.len() == 1)?;
    if let Some(name) = table.get("env").and_then(Value::as_str) {
        let missing = || format!("the environment variable {name} is not set");
        return Some(env(name).ok_or_else(missing));
    }
    let path = base.join(table.get("file").and_then(Value::as_str)?);
    let read = std::fs::read_to_string(&path);
    let text = read.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
    Some(text.map_err(|error| format!("cannot read {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_files_and_variables_and_reports_every_failure() {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::write(dir.path().join("key"), "s3cret\n").expect("write");
        let text = r#"
            [apps.a]
            write_keys = [{ file = "key" }, { env = "KEY" }, "plain"]
        "#;
        let env = |name: &str| (name == "KEY").then(|| "from-env".to_owned());
        let mut table: Table = text.parse().expect("toml");
        resolve(&mut table, dir.path(), &env).expect("resolved");
        let keys = table["apps"]["a"]["write_keys"].as_array().expect("array").clone();
        let keys: Vec<_> = keys.iter().map(|key| key.as_str().expect("text")).collect();
        assert_eq!(keys, ["s3cret", "from-env", "plain"]);

        let mut table: Table = "a = [{ file = 'none' }, { env = 'NONE' }]".parse().expect("toml");
        let errors = resolve(&mut table, dir.path(), &env).expect_err("both fail");
        assert_eq!(errors.len(), 2);
        assert!(errors[1].contains("a[1]") && errors[1].contains("NONE"), "{errors:?}");
    }
}
