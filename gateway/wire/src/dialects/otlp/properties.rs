//! Values → the JSON text of an event's properties.
//!
//! Integers stay integers, all 64 bits of them. What JSON cannot say becomes
//! text as protobuf's JSON mapping has it: doubles `NaN`, `Infinity` and
//! `-Infinity`; bytes in base64. An empty value is `null`.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sluice_event::Text;

use super::any::{Any, Pairs};

/// An object's text in the making, not closed yet.
#[derive(Debug, Clone)]
pub(super) struct Object {
    text: Vec<u8>,
    members: usize,
}

fn text(out: &mut Vec<u8>, text: &str) {
    // Neither a buffer that grows nor text in UTF-8 can fail.
    serde_json::to_writer(out, text).ok();
}

fn any(out: &mut Vec<u8>, value: &Any<'_>) {
    match value {
        Any::Empty => out.extend_from_slice(b"null"),
        Any::Text(found) => text(out, found),
        Any::Bool(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
        Any::Int(number) => write!(out, "{number}").unwrap_or_default(),
        Any::Double(number) if number.is_finite() => {
            serde_json::to_writer(out, number).unwrap_or_default();
        }
        Any::Double(number) if number.is_nan() => text(out, "NaN"),
        Any::Double(number) => text(out, if *number > 0.0 { "Infinity" } else { "-Infinity" }),
        Any::Bytes(bytes) => text(out, &STANDARD.encode(bytes)),
        Any::List(values) => {
            out.push(b'[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                any(out, value);
            }
            out.push(b']');
        }
        Any::Map(pairs) => {
            let mut object = Object::default();
            object.pairs("", pairs);
            out.extend_from_slice(&object.close());
        }
    }
}

// === impl Object ===

impl Default for Object {
    fn default() -> Self {
        Self { text: vec![b'{'], members: 0 }
    }
}

impl Object {
    /// Bytes so far.
    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }

    fn name(&mut self, prefix: &str, name: &str) {
        if self.members > 0 {
            self.text.push(b',');
        }
        self.members += 1;
        if prefix.is_empty() {
            text(&mut self.text, name);
        } else {
            text(&mut self.text, &format!("{prefix}{name}"));
        }
        self.text.push(b':');
    }

    /// A member; its name is `prefix` and `name`.
    pub(super) fn member(&mut self, prefix: &str, name: &str, value: &Any<'_>) {
        self.name(prefix, name);
        any(&mut self.text, value);
    }

    /// A text member, unless it is empty.
    pub(super) fn text(&mut self, prefix: &str, name: &str, value: &Text<'_>) {
        if !value.is_empty() {
            self.name(prefix, name);
            text(&mut self.text, value);
        }
    }

    /// All of them.
    pub(super) fn pairs(&mut self, prefix: &str, pairs: &Pairs<'_>) {
        for (name, value) in pairs {
            self.member(prefix, name, value);
        }
    }

    /// The members of another object.
    pub(super) fn extend(&mut self, other: &Self) {
        if other.members == 0 {
            return;
        }
        if self.members > 0 {
            self.text.push(b',');
        }
        self.members += other.members;
        self.text.extend_from_slice(&other.text[1..]);
    }

    /// The whole text; empty where there are no members.
    pub(super) fn finish(self) -> Vec<u8> {
        if self.members == 0 { Vec::new() } else { self.close() }
    }

    fn close(mut self) -> Vec<u8> {
        self.text.push(b'}');
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value() {
        let mut object = Object::default();
        let pairs = vec![
            ("empty".into(), Any::Empty),
            ("te\"xt".into(), Any::Text("a\n\u{1}é".into())),
            ("bool".into(), Any::Bool(false)),
            ("int".into(), Any::Int(i64::MIN)),
            ("double".into(), Any::Double(12.5)),
            ("whole".into(), Any::Double(1e300)),
            ("nan".into(), Any::Double(f64::NAN)),
            ("inf".into(), Any::Double(f64::NEG_INFINITY)),
            ("bytes".into(), Any::Bytes([0, 255][..].into())),
            ("list".into(), Any::List(vec![Any::Int(1), Any::List(vec![])])),
            ("map".into(), Any::Map(vec![("k".into(), Any::Map(vec![]))])),
        ];
        object.pairs("p.", &pairs);
        let mut more = Object::default();
        more.text("", "t", &"x".into());
        more.text("", "none", &"".into());
        object.extend(&more);
        object.extend(&Object::default());
        let text = String::from_utf8(object.finish()).expect("UTF-8");
        let expected = concat!(
            r#"{"p.empty":null,"p.te\"xt":"a\n\u0001é","p.bool":false,"#,
            r#""p.int":-9223372036854775808,"p.double":12.5,"p.whole":1e+300,"p.nan":"NaN","#,
            r#""p.inf":"-Infinity","p.bytes":"AP8=","p.list":[1,[]],"p.map":{"k":{}},"t":"x"}"#,
        );
        assert_eq!(text, expected);
        assert_eq!(Object::default().finish(), b"");
    }
}
