//! How an event document is laid out in a day's index.
//!
//! Every field is one dictionary-encoded column of text; filters and groups read
//! columns only. The one indexed term is the key, for `create` and `contains`.
//! Text of `ids` and `properties` stands in a JSON column per path: paths are
//! escaped, so that whatever a sender names a property is one plain column name.

use std::collections::BTreeMap;

use sluice_seams::{EventDocument, Field, Key, NamedField};
use tantivy::schema::{
    BytesOptions, Field as Column, JsonObjectOptions, NumericOptions, OwnedValue, Schema,
    TextOptions,
};
use tantivy::{TantivyDocument, Term};
use xxhash_rust::xxh3::xxh3_128;

/// The longest value a column takes, bytes: tantivy cuts dictionary entries here.
pub const VALUE_BYTES_MAX: usize = u16::MAX as usize;
/// Paths whose escaped form is longer are named by their hash.
const PATH_BYTES_MAX: usize = 200;

/// Column of the app id.
pub const APP: &str = "app";
/// Column of the corrected time, milliseconds.
pub const TIME_MS: &str = "time_ms";
/// Column of the upper half of the key.
pub const KEY_HIGH: &str = "key_high";
/// Column of the lower half of the key.
pub const KEY_LOW: &str = "key_low";

/// The schema and the handles of its fields.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The schema of every day's index.
    pub schema: Schema,
    key: Column,
    key_high: Column,
    key_low: Column,
    app: Column,
    time_ms: Column,
    named: Vec<Column>,
    ids: Column,
    properties: Column,
}

/// What a document adds to an app's catalogue.
#[derive(Debug, Default)]
pub struct Names {
    /// Paths below `properties`.
    pub properties: Vec<String>,
}

// === impl Layout ===

impl Layout {
    /// The layout that this version writes.
    pub fn new() -> Self {
        let mut builder = Schema::builder();
        let text = || TextOptions::default().set_fast("raw");
        let number = || NumericOptions::default().set_fast();
        let json = || JsonObjectOptions::default().set_fast("raw");
        Self {
            key: builder.add_bytes_field("key", BytesOptions::default().set_indexed()),
            key_high: builder.add_u64_field(KEY_HIGH, number()),
            key_low: builder.add_u64_field(KEY_LOW, number()),
            app: builder.add_text_field(APP, text()),
            time_ms: builder.add_i64_field(TIME_MS, number()),
            named: NamedField::ALL
                .iter()
                .map(|&field| builder.add_text_field(&named_column(field), text()))
                .collect(),
            ids: builder.add_json_field("ids", json()),
            properties: builder.add_json_field("properties", json()),
            schema: builder.build(),
        }
    }

    /// The field under which keys are indexed.
    pub fn key(&self) -> Column {
        self.key
    }

    /// The term of a key.
    pub fn key_term(&self, key: Key) -> Term {
        Term::from_field_bytes(self.key, &key.to_bytes())
    }

    /// Lays a document out. An error is a sentence on why it can never be filed.
    pub fn document(&self, event: &EventDocument) -> Result<(TantivyDocument, Names), String> {
        let mut document = TantivyDocument::new();
        document.add_bytes(self.key, &event.key.to_bytes());
        document.add_u64(self.key_high, (event.key.0 >> 64) as u64);
        document.add_u64(self.key_low, event.key.0 as u64);
        document.add_text(self.app, fits(APP, event.app_id())?);
        document.add_i64(self.time_ms, event.time_ms());
        for (&field, &column) in NamedField::ALL.iter().zip(&self.named) {
            if let Some(text) = event.named(field) {
                document.add_text(column, fits(field.name(), &text)?);
            }
        }
        let ids = &event.inner().ids;
        if !ids.is_empty() {
            let mut object = BTreeMap::new();
            for (name, value) in ids {
                fits(name, value)?;
                object.insert(escape(name), OwnedValue::Str(value.clone()));
            }
            document.add_object(self.ids, object);
        }
        let names = self.properties(event, &mut document)?;
        Ok((document, names))
    }

    fn properties(
        &self,
        event: &EventDocument,
        document: &mut TantivyDocument,
    ) -> Result<Names, String> {
        let mut names = Names::default();
        let mut object: BTreeMap<String, Vec<OwnedValue>> = BTreeMap::new();
        let mut outcome = Ok(());
        event.each_property(|path, value| match fits(path, value) {
            Ok(_) => {
                let values = object.entry(escape(path)).or_default();
                if values.is_empty() {
                    names.properties.push(path.to_owned());
                }
                values.push(OwnedValue::Str(value.to_owned()));
            }
            Err(why) => outcome = Err(why),
        });
        outcome?;
        if !object.is_empty() {
            let arrays = object.into_iter().map(|(path, values)| (path, OwnedValue::Array(values)));
            document.add_object(self.properties, arrays.collect());
        }
        Ok(names)
    }
}

/// The column that holds a field.
pub fn column_of(field: &Field) -> String {
    match field {
        Field::Named(named) => named_column(*named),
        Field::Id(name) => format!("ids.{}", escape(name)),
        Field::Property(path) => format!("properties.{}", escape(path)),
    }
}

fn named_column(field: NamedField) -> String {
    format!("f_{}", field.name().replace('.', "_"))
}

fn fits<'a>(name: &str, value: &'a str) -> Result<&'a str, String> {
    if value.len() <= VALUE_BYTES_MAX {
        return Ok(value);
    }
    let length = value.len();
    Err(format!("value of `{name:.100}` has {length} bytes: at most {VALUE_BYTES_MAX} are allowed"))
}

/// Spells any text with `[A-Za-z0-9_%-]`, one to one (but for hashes of 128 bits).
fn escape(path: &str) -> String {
    use std::fmt::Write;
    let mut name = String::with_capacity(path.len() + 8);
    for &byte in path.as_bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            name.push(char::from(byte));
        } else {
            write!(name, "%{byte:02x}").expect("a String grows");
        }
    }
    match name.len() {
        0 => "%".to_owned(),
        1..=PATH_BYTES_MAX => name,
        _ => format!("%h{:032x}", xxh3_128(path.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_paths_are_plain_and_differ() {
        let long = "x".repeat(1_000);
        let paths = ["", "a.b", "a_b", "a%2eb", "%", "红", "\u{1}\0", &long, &long[1..]];
        let mut names: Vec<String> = paths.iter().map(|path| escape(path)).collect();
        assert!(names.iter().all(|name| !name.is_empty() && !name.contains(['.', '\\', '\0'])));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), paths.len());
    }

    #[test]
    fn columns_of_named_fields_differ() {
        let mut names: Vec<String> = NamedField::ALL.iter().map(|&f| named_column(f)).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), NamedField::ALL.len());
    }
}
