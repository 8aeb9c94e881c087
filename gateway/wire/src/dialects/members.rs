//! A JSON object put together from values as they were sent.

use std::borrow::Cow;

/// The text of an object in the making.
#[derive(Debug, Default)]
pub(crate) struct Members(Vec<u8>);

/// A string as JSON text, in quotes.
pub(crate) fn quoted(text: &str) -> String {
    // A string can always be written.
    serde_json::to_string(text).unwrap_or_default()
}

// === impl Members ===

impl Members {
    /// Whether there is no member yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn next(&mut self) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
    }

    /// Adds a member; `value` is valid JSON text.
    pub(crate) fn value(&mut self, key: &str, value: &str) {
        self.next();
        self.0.extend_from_slice(quoted(key).as_bytes());
        self.0.push(b':');
        self.0.extend_from_slice(value.as_bytes());
    }

    /// Adds a member that is a string, unless it is empty.
    pub(crate) fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.value(key, &quoted(text));
        }
    }

    /// Adds all members of an object, given as its valid JSON text. Where a key
    /// stands already, readers take the later one.
    pub(crate) fn object(&mut self, object: &str) {
        let inside = object.trim_ascii().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let inside = inside.unwrap_or_default().trim_ascii();
        if !inside.is_empty() {
            self.next();
            self.0.extend_from_slice(inside.as_bytes());
        }
    }

    /// The object's text; empty where it has no member.
    pub(crate) fn finish<'b>(mut self) -> Cow<'b, [u8]> {
        if !self.0.is_empty() {
            self.0.push(b'}');
        }
        Cow::Owned(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_members_together() {
        let mut members = Members::default();
        members.text("none", "");
        members.object(" {} ");
        members.text("a\"b", "c\n");
        members.object("{ \"n\": [1, {\"x\":2}] }");
        members.value("last", "null");
        let text = members.finish();
        let found: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        assert_eq!(found, serde_json::json!({"a\"b": "c\n", "n": [1, {"x": 2}], "last": null}));
        assert!(Members::default().finish().is_empty());
    }
}
