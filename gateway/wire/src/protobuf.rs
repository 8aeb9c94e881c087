//! Protobuf's wire format, walked field by field and borrowed from the bytes.
//!
//! For messages that are read here and not by generated types: those would make
//! a struct of every element before anyone could count them.
//! Source: <https://protobuf.dev/programming-guides/encoding/>. Groups, which
//! proto3 does not have, are damage.

use std::borrow::Cow;

use sluice_event::{Reason, Refusal, Text};

/// A field's value by its wire type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Field<'b> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'b [u8]),
}

/// Walks the fields of one message.
pub(crate) struct Fields<'b> {
    rest: &'b [u8],
}

/// The bytes are not the message that they should be; the field's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damaged(pub(crate) u32);

pub(crate) type Read<T> = Result<T, Damaged>;

// === impl Fields ===

impl<'b> Fields<'b> {
    pub(crate) fn new(message: &'b [u8]) -> Self {
        Self { rest: message }
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                // The tenth byte has room for one bit.
                return (shift < 63 || *byte <= 1).then_some(value);
            }
        }
        None
    }

    fn take(&mut self, bytes: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }

    fn fixed<const BYTES: usize>(&mut self) -> Option<[u8; BYTES]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    /// The next field and its number; `None` at the end.
    pub(crate) fn next(&mut self) -> Read<Option<(u32, Field<'b>)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint().and_then(|tag| u32::try_from(tag).ok()).ok_or(Damaged(0))?;
        let number = tag >> 3;
        let field = match tag & 7 {
            0 => self.varint().map(Field::Varint),
            1 => self.fixed().map(u64::from_le_bytes).map(Field::Fixed64),
            2 => {
                let length = self.varint().and_then(|length| usize::try_from(length).ok());
                length.and_then(|length| self.take(length)).map(Field::Bytes)
            }
            5 => self.fixed().map(u32::from_le_bytes).map(Field::Fixed32),
            _ => None,
        };
        match field {
            Some(field) if number != 0 => Ok(Some((number, field))),
            _ => Err(Damaged(number)),
        }
    }
}

// === impl Field ===

impl<'b> Field<'b> {
    pub(crate) fn varint(self, number: u32) -> Read<u64> {
        if let Self::Varint(value) = self { Ok(value) } else { Err(Damaged(number)) }
    }

    pub(crate) fn fixed64(self, number: u32) -> Read<u64> {
        if let Self::Fixed64(value) = self { Ok(value) } else { Err(Damaged(number)) }
    }

    pub(crate) fn fixed32(self, number: u32) -> Read<u32> {
        if let Self::Fixed32(value) = self { Ok(value) } else { Err(Damaged(number)) }
    }

    pub(crate) fn bytes(self, number: u32) -> Read<&'b [u8]> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(Damaged(number)) }
    }

    pub(crate) fn text(self, number: u32) -> Read<Text<'b>> {
        let text = std::str::from_utf8(self.bytes(number)?);
        text.map(Cow::Borrowed).map_err(|_| Damaged(number))
    }
}

// === impl Damaged ===

impl Damaged {
    /// The refusal of a whole body that should be `message`, article and all.
    pub(crate) fn refuse(self, message: &str) -> Refusal {
        let detail = format!("damaged at field {}; expected {message}", self.0);
        Refusal::new(Reason::BodyInvalid, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(message: &[u8]) -> Read<Vec<(u32, Field<'_>)>> {
        let mut fields = Fields::new(message);
        let mut found = Vec::new();
        while let Some(field) = fields.next()? {
            found.push(field);
        }
        Ok(found)
    }

    #[test]
    fn every_wire_type() {
        let message = b"\x08\x96\x01\x11\x01\0\0\0\0\0\0\x80\x1a\x02hi\x25\x02\0\0\0";
        let expected = [
            (1, Field::Varint(150)),
            (2, Field::Fixed64(1 << 63 | 1)),
            (3, Field::Bytes(b"hi")),
            (4, Field::Fixed32(2)),
        ];
        assert_eq!(all(message).expect("sound"), expected);
    }

    #[test]
    fn damage_is_named_by_its_field() {
        assert_eq!(all(b"\x1a\x05hi"), Err(Damaged(3)), "cut off");
        assert_eq!(all(b"\x25\x02"), Err(Damaged(4)), "half a fixed32");
        assert_eq!(all(b"\x0b"), Err(Damaged(1)), "a group");
        assert_eq!(all(b"\x02\x00"), Err(Damaged(0)), "no number 0");
        assert_eq!(all(&[0xff; 11]), Err(Damaged(0)), "no varint");
    }
}
