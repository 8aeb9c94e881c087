//! One pass over the bytes of an object.

use crate::limits::{
    PROPERTIES_DEPTH_MAX, PROPERTIES_MAX, PROPERTY_KEY_BYTES_MAX, PROPERTY_TEXT_BYTES_MAX,
};

use super::string::{self, Span};
use super::{Cut, Fault};
use crate::json::plain_end;

/// Longest number that is certainly finite without an exponent, bytes: the
/// largest double has 309 digits.
const NUMBER_BYTES_PLAIN: usize = 300;

/// Stands at a byte of the text and knows what it saw before.
pub(super) struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
    keys: usize,
    cuts: Vec<Cut>,
    /// Why it stopped.
    fault: Option<Fault>,
}

/// The scanner stopped. Why is not carried through each of its returns, all of which fit a
/// register so.
pub(super) struct Stop;

type Walk<T = ()> = Result<T, Stop>;

// === impl Scanner ===

impl<'t> Scanner<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0, keys: 0, cuts: Vec::new(), fault: None }
    }

    /// The whole text: one object, white space around it. What has to be cut out of it.
    pub(super) fn document(mut self) -> Result<Vec<Cut>, Fault> {
        match (self.whole(), self.fault) {
            (Ok(()), _) => Ok(self.cuts),
            (Err(Stop), Some(fault)) => Err(fault),
            // Whoever stops says why.
            (Err(Stop), None) => Err(Fault::Malformed("something unknown", self.at)),
        }
    }

    /// The bytes of the object that the text begins with and goes on behind; `None` where
    /// it is not one that passes as it is.
    pub(super) fn leading(mut self) -> Option<usize> {
        if self.peek() != Some(b'{') {
            return None;
        }
        self.object(1).ok()?;
        self.cuts.is_empty().then_some(self.at)
    }

    fn whole(&mut self) -> Walk {
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
    fn object(&mut self, depth: usize) -> Walk {
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
    fn array(&mut self, depth: usize) -> Walk {
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
    fn enter(&mut self, depth: usize) -> Walk {
        if depth > PROPERTIES_DEPTH_MAX {
            return Err(self.limit("nested too deeply: levels", PROPERTIES_DEPTH_MAX));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Walk {
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

    fn key(&mut self) -> Walk {
        self.keys += 1;
        if self.keys > PROPERTIES_MAX {
            return Err(self.limit("too many keys over all levels", PROPERTIES_MAX));
        }
        let span = self.string()?;
        if string::cut_at(self.text, span, PROPERTY_KEY_BYTES_MAX).is_some() {
            return Err(self.limit("a key is too long: bytes", PROPERTY_KEY_BYTES_MAX));
        }
        Ok(())
    }

    fn text_value(&mut self) -> Walk {
        let span = self.string()?;
        if let Some(start) = string::cut_at(self.text, span, PROPERTY_TEXT_BYTES_MAX) {
            self.cuts.push(Cut { start, end: span.end });
        }
        Ok(())
    }

    /// A string from its quote on.
    #[inline]
    fn string(&mut self) -> Walk<Span> {
        let start = self.at + 1;
        let end = plain_end(self.text, start);
        if self.text.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(Span { start, end });
        }
        self.special_string(end)
    }

    /// A string that has escapes from `at` on, or is none.
    #[cold]
    fn special_string(&mut self, at: usize) -> Walk<Span> {
        let start = self.at + 1;
        let end = string::end(self.text, start, at).map_err(|fault| self.stop(fault))?;
        self.at = end + 1;
        Ok(Span { start, end })
    }

    fn number(&mut self) -> Walk {
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
    fn finite(&mut self, start: usize) -> Walk {
        let number = &self.text[start..self.at];
        match serde_json::from_slice::<f64>(number) {
            Ok(_) => Ok(()),
            Err(_) => Err(self.stop(Fault::Malformed("a number out of range", start))),
        }
    }

    /// At least one digit.
    fn digits(&mut self) -> Walk {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.malformed("expected a digit")) } else { Ok(()) }
    }

    fn word(&mut self, word: &[u8]) -> Walk {
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

    #[cold]
    fn malformed(&mut self, what: &'static str) -> Stop {
        self.stop(Fault::Malformed(what, self.at))
    }

    #[cold]
    fn limit(&mut self, what: &'static str, limit: usize) -> Stop {
        self.stop(Fault::Limit(what, limit))
    }

    fn stop(&mut self, fault: Fault) -> Stop {
        self.fault = Some(fault);
        Stop
    }
}
