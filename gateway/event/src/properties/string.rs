//! Strings of JSON, without decoding them.

use super::Fault;
use crate::json::plain_end;

/// A string without its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// First byte after the opening quote.
    pub(super) start: usize,
    /// The closing quote.
    pub(super) end: usize,
}

/// Finds the closing quote of the string that begins at `start`, after its quote,
/// from `at` on, and checks the escapes from there. The text as a whole is known to
/// be UTF-8.
pub(super) fn end(text: &[u8], start: usize, mut at: usize) -> Result<usize, Fault> {
    loop {
        at = plain_end(text, at);
        match text.get(at) {
            Some(b'"') => return Ok(at),
            Some(b'\\') => at = escape(text, at)?.0,
            Some(_) => return Err(Fault::Malformed("a control character in a string", at)),
            None => return Err(Fault::Malformed("a string without end", start)),
        }
    }
}

/// Reads the escape at the backslash `at`: where it ends and the bytes of UTF-8
/// that it stands for.
fn escape(text: &[u8], at: usize) -> Result<(usize, usize), Fault> {
    match text.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok((at + 2, 1)),
        Some(b'u') => match unit(text, at)? {
            0x0000..=0x007f => Ok((at + 6, 1)),
            0x0080..=0x07ff => Ok((at + 6, 2)),
            0xd800..=0xdbff => match unit(text, at + 6) {
                Ok(0xdc00..=0xdfff) => Ok((at + 12, 4)),
                _ => Err(Fault::Malformed("half of a surrogate pair", at)),
            },
            0xdc00..=0xdfff => Err(Fault::Malformed("half of a surrogate pair", at)),
            _ => Ok((at + 6, 3)),
        },
        _ => Err(Fault::Malformed("an unknown escape", at)),
    }
}

/// The code unit of `\uXXXX` at `at`.
fn unit(text: &[u8], at: usize) -> Result<u16, Fault> {
    let fault = Fault::Malformed("an unfinished escape", at);
    let Some([b'\\', b'u', digits @ ..]) = text.get(at..).and_then(<[u8]>::first_chunk::<6>) else {
        return Err(fault);
    };
    let mut unit = 0;
    for &digit in digits {
        let value = char::from(digit).to_digit(16).ok_or(fault)?;
        unit = unit << 4 | value as u16;
    }
    Ok(unit)
}

/// Where a checked string has to be cut so that at most `bytes_max` bytes are
/// left once decoded; `None`: it is short enough.
#[inline]
pub(super) fn cut_at(text: &[u8], span: Span, bytes_max: usize) -> Option<usize> {
    // Decoding never makes a string longer.
    if span.end - span.start <= bytes_max { None } else { decoded_at(text, span, bytes_max) }
}

fn decoded_at(text: &[u8], span: Span, bytes_max: usize) -> Option<usize> {
    let (mut at, mut decoded) = (span.start, 0);
    while at < span.end {
        let (next, bytes) = match text[at] {
            // The escape was checked when its string was spanned.
            b'\\' => escape(text, at).ok()?,
            0x00..0x80 => (at + 1, 1),
            0x80..0xe0 => (at + 2, 2),
            0xe0..0xf0 => (at + 3, 3),
            0xf0.. => (at + 4, 4),
        };
        decoded += bytes;
        if decoded > bytes_max {
            return Some(at);
        }
        at = next;
    }
    None
}
