//! Turns a deserialiser's complaint into advice.

use toml::{Table, Value};

use super::Config;
use super::layers::{Layers, Origin};

/// Words closer than this (Jaro-Winkler, 0..=1) are taken for a slip of the pen.
const NEAR: f64 = 0.75;

/// The complaint about merged settings (`resolved`: with their secrets), with
/// the key at fault and the layer that brought it.
pub fn explain(message: &str, resolved: &Table, layers: &Layers) -> String {
    let mut text = message.trim_end().to_owned();
    let path = match unknown_key(message) {
        Some(key) => find(layers.merged(), key, ""),
        None => culprit(resolved, message),
    };
    let origin = path.map(|path| (layers.origin(&path), path));
    if let Some((origin, path)) = origin.filter(|(origin, _)| *origin != Origin::Default) {
        text = format!("{path} (from {origin}): {text}");
    }
    text + &nearest(message)
}

/// The path of the value that alone brings the same complaint: a value has no
/// position once the layers are merged.
fn culprit(settings: &Table, message: &str) -> Option<String> {
    let mut open: Vec<(Vec<&str>, &Value)> =
        settings.iter().map(|(key, value)| (vec![key.as_str()], value)).collect();
    while let Some((path, value)) = open.pop() {
        if let Value::Table(table) = value {
            open.extend(table.iter().map(|(key, value)| {
                let mut path = path.clone();
                path.push(key);
                (path, value)
            }));
            continue;
        }
        let alone = path.iter().rev().fold(value.clone(), |inner, key| {
            Value::Table(Table::from_iter([((*key).to_owned(), inner)]))
        });
        if alone.try_into::<Config>().is_err_and(|error| error.message() == message) {
            return Some(path.join("."));
        }
    }
    None
}

/// ` — did you mean …?` where the complaint is about an unknown key with a
/// known one nearby, else nothing.
pub fn nearest(message: &str) -> String {
    let Some(key) = unknown_key(message) else { return String::new() };
    let known = message.split('`').skip(3).step_by(2);
    let near = known.map(|known| (strsim::jaro_winkler(key, known), known));
    let best = near.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > NEAR);
    best.map_or_else(String::new, |(_, known)| format!(" — did you mean `{known}`?"))
}

/// serde's words for an unknown key: ``unknown field `x`, expected …``.
fn unknown_key(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `")?.split('`').next()
}

fn find(table: &Table, key: &str, prefix: &str) -> Option<String> {
    for (name, value) in table {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        if name == key {
            return Some(path);
        }
        if let Some(path) = value.as_table().and_then(|inner| find(inner, key, &path)) {
            return Some(path);
        }
    }
    None
}
