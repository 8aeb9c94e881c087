//! Looks through `properties` once: one valid JSON object, within the limits.
//!
//! Accepts what `serde_json` reads into a map, no more and no less, so that
//! whoever reads the record later can. Duplicate keys are let through; readers
//! take the last one. A string that is too long is truncated at a character's
//! boundary (GW-EVENT-2); only then are the bytes written anew.

mod scan;
mod string;

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use scan::Scanner;

/// Properties as an event carries them: the text of an object, or empty.
///
/// Derefs to the text. Two are equal where their texts are.
#[derive(Clone, Default)]
pub struct Properties<'b> {
    text: Cow<'b, [u8]>,
    /// Known to pass as they are.
    valid: bool,
}

/// What is left out of the bytes: from `start` up to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    start: usize,
    end: usize,
}

/// Why properties are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Not JSON, or not an object: what is wrong, at which byte.
    Malformed(&'static str, usize),
    /// JSON, but beyond a limit.
    Limit(&'static str, usize),
}

// === impl Properties ===

impl<'b> Properties<'b> {
    /// Those that `text` begins with, which goes on behind them; `None` where they do not
    /// pass as they are, or do not end.
    #[must_use]
    pub fn leading(text: &'b str) -> Option<Self> {
        let text = text.as_bytes();
        let bytes = Scanner::new(text).leading()?;
        Some(Self { text: Cow::Borrowed(text.get(..bytes)?), valid: true })
    }

    /// Judges them, unless that is done. `Some`: the text with its long strings truncated.
    ///
    /// # Errors
    /// What is wrong, where, and what is allowed.
    pub fn check(&self) -> Result<Option<Vec<u8>>, String> {
        if self.valid { Ok(None) } else { check(&self.text) }
    }
}

impl Deref for Properties<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.text
    }
}

impl<'b> From<Cow<'b, [u8]>> for Properties<'b> {
    /// Not judged yet.
    fn from(text: Cow<'b, [u8]>) -> Self {
        Self { text, valid: false }
    }
}

impl<'b> From<&'b [u8]> for Properties<'b> {
    /// Not judged yet.
    fn from(text: &'b [u8]) -> Self {
        Cow::Borrowed(text).into()
    }
}

impl From<Vec<u8>> for Properties<'_> {
    /// Not judged yet.
    fn from(text: Vec<u8>) -> Self {
        Self::from(Cow::Owned(text))
    }
}

impl PartialEq for Properties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Properties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Properties({})", self.text.escape_ascii())
    }
}

/// Checks the text of an object. Empty text is no properties.
///
/// `Ok(None)`: fine as it is. `Ok(Some(_))`: the text with its long strings
/// truncated.
///
/// # Errors
/// What is wrong, where, and what is allowed.
fn check(text: &[u8]) -> Result<Option<Vec<u8>>, String> {
    match scan(text) {
        Ok(cuts) if cuts.is_empty() => Ok(None),
        Ok(cuts) => Ok(Some(without(text, &cuts))),
        Err(Fault::Malformed(what, at)) => {
            Err(format!("properties: is not a JSON object: {what} at byte {at}"))
        }
        Err(Fault::Limit(what, limit)) => {
            Err(format!("properties: {what}, at most {limit} are taken"))
        }
    }
}

fn scan(text: &[u8]) -> Result<Vec<Cut>, Fault> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    if let Err(error) = simdutf8::compat::from_utf8(text) {
        return Err(Fault::Malformed("invalid UTF-8", error.valid_up_to()));
    }
    Scanner::new(text).document()
}

fn without(text: &[u8], cuts: &[Cut]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(text.len());
    let mut at = 0;
    for cut in cuts {
        kept.extend_from_slice(&text[at..cut.start]);
        at = cut.end;
    }
    kept.extend_from_slice(&text[at..]);
    kept
}

#[cfg(test)]
mod tests;
