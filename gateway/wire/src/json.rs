//! A cursor over JSON text: walks it once, copies nothing it need not, and
//! checks the grammar of all it walks over.
//!
//! The text is already known to be UTF-8. Two kinds of trouble are kept apart:
//! broken JSON ends the walk ([`Broken`]), a value of an unwanted type is
//! returned as what it is ([`Value`]), so that the caller can refuse one event
//! and go on. `raw_object` alone does not look inside: it finds the end by
//! brackets and strings, for text that is checked later.

mod text;

use std::borrow::Cow;

use sluice_event::json::plain_end;
use sluice_event::limits::JSON_DEPTH_MAX;
use sluice_event::{Reason, Refusal, Text};

use text::unescape;

/// The text is no JSON from here on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    pub at: usize,
    pub what: &'static str,
    pub too_deep: bool,
    /// The depth that is allowed here.
    pub depth_max: usize,
    /// The text ends here: it was cut off, or never began.
    pub at_end: bool,
}

/// A value as found. Containers are passed over and given as raw text.
#[derive(Debug, PartialEq)]
pub(crate) enum Value<'b> {
    Null,
    Bool(bool),
    /// As written.
    Number(&'b str),
    Text(Text<'b>),
    /// As written, grammar checked.
    Array(&'b str),
    /// As written, grammar checked.
    Object(&'b str),
}

/// Where the walk is. A copy looks ahead, or comes back.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'b> {
    text: &'b str,
    at: usize,
    depth: usize,
    depth_max: usize,
}

/// Nesting of JSON that any cursor can be given: [`Cursor::raw_object`] keeps a bit per level.
pub(crate) const DEPTH_MAX: usize = u32::BITS as usize;

const _: () = assert!(JSON_DEPTH_MAX <= DEPTH_MAX);

type Walk<T> = Result<T, Broken>;

// === impl Broken ===

impl Broken {
    /// The refusal of the whole body.
    pub(crate) fn refuse(&self) -> Refusal {
        let Self { at, what, too_deep, depth_max, at_end } = self;
        if *too_deep {
            let detail = format!("JSON nested deeper than {depth_max} at byte {at}; flatten it");
            return Refusal::new(Reason::BodyTooDeep, detail).limit(*depth_max as u64);
        }
        let detail = match (at, at_end) {
            (0, true) => "the body is empty; expected a batch".to_owned(),
            (_, true) => format!("cut off at byte {at}, the body's end: expected {what} there"),
            (_, false) => format!("not JSON at byte {at}: expected {what}"),
        };
        Refusal::new(Reason::BodyInvalid, detail)
    }
}

impl From<Broken> for Refusal {
    fn from(broken: Broken) -> Self {
        broken.refuse()
    }
}

// === impl Value ===

impl Value<'_> {
    /// What it is, for details.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

// === impl Cursor ===

impl<'b> Cursor<'b> {
    pub(crate) fn new(text: &'b str) -> Self {
        Self::with_depth(text, JSON_DEPTH_MAX)
    }

    /// For formats that nest more; at most [`DEPTH_MAX`] levels.
    pub(crate) fn with_depth(text: &'b str, depth_max: usize) -> Self {
        Self { text, at: 0, depth: 0, depth_max: depth_max.min(DEPTH_MAX) }
    }

    /// Byte position, for slices of the text.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The text from `start` to here.
    pub(crate) fn since(&self, start: usize) -> &'b str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// The text from here on.
    pub(crate) fn rest(&self) -> &'b str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Takes one value that is known to be `bytes` long.
    pub(crate) fn pass(&mut self, bytes: usize) {
        self.at = self.text.len().min(self.at + bytes);
    }

    /// The next byte that is not white space, not yet taken.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    #[cold]
    fn broken_here(&self, what: &'static str) -> Broken {
        let (at, depth_max) = (self.at, self.depth_max);
        Broken { at, what, too_deep: false, depth_max, at_end: at >= self.text.len() }
    }

    fn broken<T>(&self, what: &'static str) -> Walk<T> {
        Err(self.broken_here(what))
    }

    #[inline]
    fn take(&mut self, byte: u8, what: &'static str) -> Walk<()> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        self.broken(what)
    }

    fn deeper(&mut self) -> Walk<()> {
        self.depth += 1;
        if self.depth > self.depth_max { Err(self.too_deep()) } else { Ok(()) }
    }

    #[cold]
    fn too_deep(&self) -> Broken {
        let (at, depth_max) = (self.at, self.depth_max);
        Broken { at, what: "less depth", too_deep: true, depth_max, at_end: false }
    }

    /// Nothing but white space may follow.
    pub(crate) fn end(&mut self) -> Walk<()> {
        if self.peek().is_some() { self.broken("the end of the body") } else { Ok(()) }
    }

    /// Walks an object: `each` is called with every key and must take its value.
    pub(crate) fn object<F, E>(&mut self, mut each: F) -> Result<(), E>
    where
        F: FnMut(&mut Self, &str) -> Result<(), E>,
        E: From<Broken>,
    {
        self.take(b'{', "an object")?;
        self.deeper()?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            self.depth -= 1;
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.broken_here("a key in quotes").into());
            }
            let key = self.text()?;
            self.take(b':', "':'")?;
            each(self, &key)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.broken_here("',' or '}'").into()),
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// Walks an array: `each` must take every element. `false` ends the walk
    /// early, with nothing said about the rest.
    pub(crate) fn array<F, E>(&mut self, mut each: F) -> Result<bool, E>
    where
        F: FnMut(&mut Self) -> Result<bool, E>,
        E: From<Broken>,
    {
        self.take(b'[', "an array")?;
        self.deeper()?;
        if self.peek() == Some(b']') {
            self.at += 1;
            self.depth -= 1;
            return Ok(true);
        }
        loop {
            if !each(self)? {
                return Ok(false);
            }
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.broken_here("',' or ']'").into()),
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(true)
    }

    /// Takes any value.
    pub(crate) fn value(&mut self) -> Walk<Value<'b>> {
        match self.peek() {
            Some(b'"') => Ok(Value::Text(self.text()?)),
            Some(b'{') => {
                let start = self.at;
                self.object::<_, Broken>(|cursor, _| cursor.skip())?;
                Ok(Value::Object(self.since(start)))
            }
            Some(b'[') => {
                let start = self.at;
                self.array::<_, Broken>(|cursor| cursor.skip().map(|()| true))?;
                Ok(Value::Array(self.since(start)))
            }
            Some(b'-' | b'0'..=b'9') => Ok(Value::Number(self.number()?)),
            Some(b't') => self.word("true").map(|()| Value::Bool(true)),
            Some(b'f') => self.word("false").map(|()| Value::Bool(false)),
            Some(b'n') => self.word("null").map(|()| Value::Null),
            _ => self.broken("a value"),
        }
    }

    /// Takes any value and forgets it.
    pub(crate) fn skip(&mut self) -> Walk<()> {
        self.value().map(|_| ())
    }

    /// Takes an object as raw text, looking only for its end.
    pub(crate) fn raw_object(&mut self) -> Walk<&'b str> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        // One bit per open bracket: 1 for '{'. The depth limit keeps it in 32 bits.
        let mut open: u32 = 0;
        let mut depth = self.depth;
        while let Some(&byte) = bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.quoted()?;
                    continue;
                }
                b'{' | b'[' => {
                    depth += 1;
                    if depth > self.depth_max {
                        return Err(self.too_deep());
                    }
                    open = open << 1 | u32::from(byte == b'{');
                }
                b'}' | b']' => {
                    if (open & 1 == 1) != (byte == b'}') {
                        return self.broken("the bracket that was opened");
                    }
                    open >>= 1;
                    depth -= 1;
                    if depth == self.depth {
                        self.at += 1;
                        return Ok(self.since(start));
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
        self.broken("'}'")
    }

    fn word(&mut self, word: &'static str) -> Walk<()> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        self.broken("true, false or null")
    }

    fn digits(&mut self) -> Walk<()> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        while bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == start { self.broken("a digit") } else { Ok(()) }
    }

    fn number(&mut self) -> Walk<&'b str> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        if bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        if bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
            if bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
                return self.broken("no digit after a leading 0");
            }
        } else {
            self.digits()?;
        }
        if bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(self.since(start))
    }

    /// Takes a string without its quotes, escapes as written.
    #[inline]
    fn quoted(&mut self) -> Walk<&'b str> {
        let bytes = self.text.as_bytes();
        self.at += 1;
        let start = self.at;
        loop {
            self.at = plain_end(bytes, self.at);
            match bytes.get(self.at) {
                Some(b'"') => {
                    let inside = self.since(start);
                    self.at += 1;
                    return Ok(inside);
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return self.broken("no bare control character in a string"),
                None => return self.broken("'\"'"),
            }
        }
    }

    /// Passes over one escape sequence.
    fn escape(&mut self) -> Walk<()> {
        let bytes = self.text.as_bytes();
        match bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match bytes.get(self.at + 2..self.at + 6) {
                Some(hex) if hex.iter().all(u8::is_ascii_hexdigit) => self.at += 6,
                _ => return self.broken("four hex digits after \\u"),
            },
            _ => return self.broken("a known escape"),
        }
        Ok(())
    }

    /// Takes a string; borrowed unless it has escapes.
    #[inline]
    pub(crate) fn text(&mut self) -> Walk<Text<'b>> {
        let start = self.at + 1;
        let end = plain_end(self.text.as_bytes(), start);
        match self.text.as_bytes().get(end) {
            Some(b'"') => {
                self.at = end + 1;
                Ok(Cow::Borrowed(self.text.get(start..end).unwrap_or_default()))
            }
            _ => self.special_text(),
        }
    }

    /// A string that has escapes, or is none.
    #[cold]
    fn special_text(&mut self) -> Walk<Text<'b>> {
        self.quoted().map(|inside| Cow::Owned(unescape(inside)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accepts(text: &str) -> bool {
        let mut cursor = Cursor::new(text);
        cursor.skip().and_then(|()| cursor.end()).is_ok()
    }

    #[test]
    fn grammar() {
        for good in ["{}", " [1, -0.5e+3 ,\"a\\u00e9\"] ", "{\"a\":{\"b\":[null,true,false]}}", "0"]
        {
            assert!(accepts(good), "{good}");
        }
        for bad in [
            "",
            "{",
            "[1,]",
            "{\"a\"}",
            "{a:1}",
            "01",
            "1.",
            "-",
            "\"\\x\"",
            "\"a",
            "tru",
            "[1]x",
            "{\"a\":1,}",
            "\"\\u12\"",
            "\"\n\"",
            "[}",
            "nul",
        ] {
            assert!(!accepts(bad), "{bad}");
        }
    }

    #[test]
    fn depth_is_bounded_and_named() {
        let fits = format!("{}{}", "[".repeat(JSON_DEPTH_MAX), "]".repeat(JSON_DEPTH_MAX));
        assert!(accepts(&fits));
        let deep = "[".repeat(1_000_000);
        let broken = Cursor::new(&deep).skip().expect_err("too deep");
        assert_eq!(broken.refuse().reason, Reason::BodyTooDeep);
        let mut deeper = Cursor::with_depth(&deep, 20);
        assert_eq!(deeper.skip().expect_err("too deep").depth_max, 20);
        let deep = "{\"a\":".repeat(1_000);
        assert!(Cursor::new(&deep).raw_object().expect_err("too deep").too_deep);
    }

    #[test]
    fn escapes() {
        let mut cursor = Cursor::new(r#""a\"\\\/\b\f\n\r\té\ud83d\ude00\ud800x""#);
        let expected = "a\"\\/\u{8}\u{c}\n\r\té😀\u{FFFD}x";
        assert_eq!(cursor.text().expect("valid"), expected);
    }

    #[test]
    fn raw_objects_end_at_their_bracket() {
        let mut cursor = Cursor::new(r#"{"a":"}\"","b":[{}]},1"#);
        assert_eq!(cursor.raw_object().expect("valid"), r#"{"a":"}\"","b":[{}]}"#);
        assert!(Cursor::new("{]").raw_object().is_err());
    }

    proptest! {
        /// serde_json agrees on what is JSON (numbers beyond f64 aside).
        #[test]
        fn agrees_with_serde_json(text in r#"[\[\]{}:,"\\ a0-9eE.truefalsn-]{0,24}"#) {
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(accepts(&text), theirs, "{}", text);
        }

        #[test]
        fn strings_survive(text in any::<String>()) {
            let encoded = serde_json::to_string(&text).expect("a string");
            let mut cursor = Cursor::new(&encoded);
            prop_assert_eq!(cursor.text().expect("valid"), text);
        }
    }
}
