//! How a document is laid out: one keyword column per named field, and a fixed
//! number of columns ("slots") that all property paths share.
//!
//! A property `price: 7` is the term `price=7` in slot `p.<hash of the path>`;
//! whoever asks for a path reads its slot and passes over the terms of other
//! paths that fell into the same one. So the number of columns is bounded
//! whatever is sent, any path can be filtered and grouped by exactly, and the
//! layout is the same on Elasticsearch and OpenSearch (see README.md for what
//! `flattened` and `flat_object` cannot do). Slots are part of the stored
//! format: they must not change without a new layout version.

use serde_json::{Value, json};
use sluice_seams::{Field, NamedField};
use xxhash_rust::xxh3::xxh3_64;

/// Columns that property paths share.
pub const PATH_SLOTS: u64 = 128;
/// Columns that names of ids share.
pub const SLOTS_OF_IDS: u64 = 8;
/// Version of the layout: templates and indices carry it in `_meta.version`.
pub const LAYOUT_VERSION: u64 = 1;

/// Field of the app id.
pub const APP: &str = "app";
/// Field of the corrected time.
pub const TIME: &str = "time";
/// Field of the event's key: 32 hexadecimal digits.
pub const KEY: &str = "key";
/// Field of the paths that a document has values at.
pub const PATHS: &str = "paths";
/// Field of the names of ids that a document has.
pub const ID_NAMES: &str = "id_names";

/// Where the values of a field are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name of the engine's field.
    pub name: String,
    /// What its terms begin with; empty for named fields.
    pub prefix: String,
    /// The field that lists, and the name by which it lists, that a document
    /// has a value; `None` where the column itself tells.
    pub listed: Option<(&'static str, String)>,
}

// === impl Column ===

impl Column {
    /// The column of a field.
    pub fn of(field: &Field) -> Self {
        match field {
            Field::Named(named) => {
                Self { name: named.name().to_owned(), prefix: String::new(), listed: None }
            }
            Field::Property(path) => Self {
                name: format!("p.{}", path_slot(path)),
                prefix: term_prefix(path),
                listed: Some((PATHS, path.clone())),
            },
            Field::Id(name) => Self {
                name: format!("i.{}", id_slot(name)),
                prefix: term_prefix(name),
                listed: Some((ID_NAMES, name.clone())),
            },
        }
    }

    /// The value in a term; `None` where the term is of another path.
    pub fn value<'a>(&self, term: &'a str) -> Option<&'a str> {
        term.strip_prefix(self.prefix.as_str())
    }

    /// The term of a value.
    pub fn term(&self, value: &str) -> String {
        format!("{}{value}", self.prefix)
    }

    /// The query for documents that have any value.
    pub fn exists(&self) -> Value {
        match &self.listed {
            None => json!({"exists": {"field": self.name}}),
            Some((field, name)) => json!({"term": {*field: name}}),
        }
    }
}

/// The slot of a property path.
pub fn path_slot(path: &str) -> u64 {
    xxh3_64(path.as_bytes()) % PATH_SLOTS
}

/// The slot of a name of ids.
pub fn id_slot(name: &str) -> u64 {
    xxh3_64(name.as_bytes()) % SLOTS_OF_IDS
}

/// What the terms of a path begin with: the path with `%` and `=` escaped, so
/// that no path's prefix is that of another, and `=`.
pub fn term_prefix(path: &str) -> String {
    let mut prefix = String::with_capacity(path.len() + 1);
    for c in path.chars() {
        match c {
            '%' => prefix.push_str("%25"),
            '=' => prefix.push_str("%3D"),
            c => prefix.push(c),
        }
    }
    prefix.push('=');
    prefix
}

/// The mapping of events, first-seen and follow documents.
pub fn event_mapping() -> Value {
    let keyword = json!({"type": "keyword"});
    let listed = json!({"type": "keyword", "doc_values": false});
    let mut fields = serde_json::Map::new();
    fields.insert(APP.to_owned(), keyword.clone());
    // Sorts and reads documents; they are found by it through `_id`.
    fields.insert(KEY.to_owned(), json!({"type": "keyword", "index": false}));
    for name in [TIME, "received"] {
        fields.insert(name.to_owned(), json!({"type": "date", "format": "epoch_millis"}));
    }
    for name in [PATHS, ID_NAMES] {
        fields.insert(name.to_owned(), listed.clone());
    }
    for named in NamedField::ALL {
        nest(&mut fields, named.name(), &keyword);
    }
    let slots = |count| -> serde_json::Map<String, Value> {
        (0..count).map(|slot: u64| (slot.to_string(), keyword.clone())).collect()
    };
    fields.insert("p".to_owned(), json!({"properties": slots(PATH_SLOTS)}));
    fields.insert("i".to_owned(), json!({"properties": slots(SLOTS_OF_IDS)}));
    // For people and for exports: in the source only.
    for name in ["properties", "ids", "log"] {
        fields.insert(name.to_owned(), json!({"type": "object", "enabled": false}));
    }
    mapping(Value::Object(fields))
}

/// The mapping of visitors of a day.
pub fn visitor_mapping() -> Value {
    mapping(json!({"app": {"type": "keyword"}, "user": {"type": "keyword"}}))
}

/// The mapping of names that apps have sent.
pub fn name_mapping() -> Value {
    let keyword = json!({"type": "keyword"});
    mapping(json!({"app": keyword, "kind": keyword, "name": keyword}))
}

fn mapping(fields: Value) -> Value {
    json!({
        "_meta": {"managed_by": "sluice", "version": LAYOUT_VERSION},
        "dynamic": false,
        "properties": fields,
    })
}

/// Puts a field with dots in its name below the objects that they mean.
fn nest(fields: &mut serde_json::Map<String, Value>, name: &str, of: &Value) {
    match name.split_once('.') {
        None => {
            fields.insert(name.to_owned(), of.clone());
        }
        Some((head, rest)) => {
            let object = fields.entry(head).or_insert_with(|| json!({"properties": {}}));
            let inner = object["properties"].as_object_mut().expect("made just above");
            nest(inner, rest, of);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slots are in every index ever written.
    #[test]
    fn slots_are_pinned() {
        let slots = ["price", "tags", "deep.er", ""].map(path_slot);
        assert_eq!(slots, [112, 20, 117, 66]);
        assert_eq!(id_slot("openid"), 4);
    }

    #[test]
    fn terms_of_different_paths_and_values_differ() {
        let of = |path: &str, value: &str| Column::of(&Field::Property(path.into())).term(value);
        assert_eq!(of("price", "7"), "price=7");
        assert_ne!(of("a=b", "c"), of("a", "b=c"));
        assert_ne!(of("a%3Db", "c"), of("a=b", "c"));
        let column = Column::of(&Field::Property("a".into()));
        assert_eq!(column.value("a=b=c"), Some("b=c"));
        assert_eq!(column.value("ab=c"), None);
        assert_eq!(column.value(&of("a=", "c")), None);
    }

    #[test]
    fn the_number_of_fields_is_bounded_and_every_named_field_has_one() {
        let mapping = event_mapping();
        let path = |name: &str| format!("/properties/{}", name.replace('.', "/properties/"));
        for named in NamedField::ALL {
            let at = path(named.name());
            assert_eq!(mapping.pointer(&at).expect(&at)["type"], "keyword", "{at}");
        }
        let slots = mapping["properties"]["p"]["properties"].as_object().expect("slots");
        assert_eq!(slots.len() as u64, PATH_SLOTS);
    }
}
