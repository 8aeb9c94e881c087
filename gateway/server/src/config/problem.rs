//! Turns a deserialiser's complaint into advice.

use super::layers::{Layers, Origin};

/// Words closer than this (Jaro-Winkler, 0..=1) are taken for a slip of the pen.
const NEAR: f64 = 0.75;

/// The complaint about merged settings, with the layer that brought the key.
pub fn explain(message: &str, layers: &Layers) -> String {
    let mut text = message.trim_end().to_owned();
    if let Some(key) = unknown_key(message) {
        let origin = find(layers.merged(), key, "").map(|path| (layers.origin(&path), path));
        if let Some((origin, path)) = origin.filter(|(origin, _)| *origin != Origin::Default) {
            text = format!("{path} (from {origin}): {text}");
        }
    }
    text + &nearest(message)
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

fn find(table: &toml::Table, key: &str, prefix: &str) -> Option<String> {
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
