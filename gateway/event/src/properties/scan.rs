//! One pass over the bytes of an object.

use crate::limits::{
    PROPERTIES_DEPTH_MAX, PROPERTIES_MAX, PROPERTY_KEY_BYTES_MAX, PROPERTY_TEXT_BYTES_MAX,
};

use super::string::{self, Span};
use super::{Cut, Fault};

/// Longest number that is certainly finite without an exponent, bytes: the
/// largest double has 309 digits.
const NUMBER_BYTES_PLAIN: usize = 300;

/// Stands at a byte of the text and knows what it saw before.
pub(super) struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
    keys: usize,
    cuts: Vec<Cut>,
}

// === impl Scanner ===

impl<'t> Scanner<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0, keys: 0, cuts: Vec::new() }
    }

    pub(super) fn into_cuts(self) -> Vec<Cut> {
        self.cuts
    }

    /// The whole text: one object, white space around it.
    pub(super) fn document(&mut self) -> Result<(), Fault> {
        self.space();
        if self.peek() != Some(b'{') {
            return Err(self.malformed("expected `{`"));
        }
        self.object(1)?;
        self.space();
        if self.at < self.text.len() {
            return Err(self.malformed("something follows the object"));
        }
        Ok(())
    }

    /// An object from its brace on. Calls nest as deep as the limit, no deeper.
    fn object(&mut self, depth: usize) -> Result<(), Fault> {
        self.enter(depth)?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.malformed("expected a key in quotes"));
            }
            self.key()?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.malformed("expected `:` after a key"));
            }
            self.at += 1;
            self.space();
            self.value(depth)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.malformed("expected `,` or `}`")),
            }
            self.space();
        }
        self.at += 1;
        Ok(())
    }

    /// An array from its bracket on.
    fn array(&mut self, depth: usize) -> Result<(), Fault> {
        self.enter(depth)?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.malformed("expected `,` or `]`")),
            }
            self.space();
        }
        self.at += 1;
        Ok(())
    }

    /// Past an opening brace or bracket.
    fn enter(&mut self, depth: usize) -> Result<(), Fault> {
        if depth > PROPERTIES_DEPTH_MAX {
            return Err(Fault::Limit("nested too deeply: levels", PROPERTIES_DEPTH_MAX));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => self.text_value(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            _ => Err(self.malformed("expected a value")),
        }
    }

    fn key(&mut self) -> Result<(), Fault> {
        self.keys += 1;
        if self.keys > PROPERTIES_MAX {
            return Err(Fault::Limit("too many keys over all levels", PROPERTIES_MAX));
        }
        let span = self.string()?;
        if string::cut_at(self.text, span, PROPERTY_KEY_BYTES_MAX).is_some() {
            return Err(Fault::Limit("a key is too long: bytes", PROPERTY_KEY_BYTES_MAX));
        }
        Ok(())
    }

    fn text_value(&mut self) -> Result<(), Fault> {
        let span = self.string()?;
        if let Some(start) = string::cut_at(self.text, span, PROPERTY_TEXT_BYTES_MAX) {
            self.cuts.push(Cut { start, end: span.end });
        }
        Ok(())
    }

    /// A string from its quote on.
    fn string(&mut self) -> Result<Span, Fault> {
        let span = string::span(self.text, self.at + 1)?;
        self.at = span.end + 1;
        Ok(span)
    }

    fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        let exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if exponent {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        if exponent || self.at - start > NUMBER_BYTES_PLAIN {
            self.finite(start)?;
        }
        Ok(())
    }

    /// Where the edge of the range of doubles lies is left to the reader that
    /// will have to read the number.
    fn finite(&self, start: usize) -> Result<(), Fault> {
        let number = &self.text[start..self.at];
        match serde_json::from_slice::<f64>(number) {
            Ok(_) => Ok(()),
            Err(_) => Err(Fault::Malformed("a number out of range", start)),
        }
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.malformed("expected a digit")) } else { Ok(()) }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Fault> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.malformed("expected a value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn malformed(&self, what: &'static str) -> Fault {
        Fault::Malformed(what, self.at)
    }
}
