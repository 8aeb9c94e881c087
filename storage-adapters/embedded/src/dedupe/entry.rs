//! How an entry of `D` stands on disk.
//!
//! Key: the 16 bytes of `K`. Value, big-endian:
//!
//! | form | bytes | layout |
//! |---|---|---|
//! | short | 20 | offset 6 · index 3 · day 3 (biased by 2^23) · fingerprint 8 |
//! | long | 24 | offset 8 · index 4 · day 4 (two's complement) · fingerprint 8 |
//!
//! The short form takes every value that occurs in practice, and fjall keeps
//! values of up to 20 bytes without an allocation. The length tells them apart.

use sluice_seams::{Day, First, Position};

const SHORT_BYTES: usize = 20;
const LONG_BYTES: usize = 24;
const DAY_BIAS: i64 = 1 << 23;

/// Encodes what `D` holds; the partition stands in the keyspace's name.
pub(super) fn encode(first: &First) -> fjall::Slice {
    let Position { offset, index, .. } = first.position;
    let day = i64::from(first.day.0) + DAY_BIAS;
    let short = offset < 1 << 48 && index < 1 << 24 && (0..1 << 24).contains(&day);
    let mut bytes = [0; LONG_BYTES];
    if short {
        bytes[..6].copy_from_slice(&offset.to_be_bytes()[2..]);
        bytes[6..9].copy_from_slice(&index.to_be_bytes()[1..]);
        bytes[9..12].copy_from_slice(&day.to_be_bytes()[5..]);
        bytes[12..SHORT_BYTES].copy_from_slice(&first.fingerprint.to_be_bytes());
        return fjall::Slice::from(&bytes[..SHORT_BYTES]);
    }
    bytes[..8].copy_from_slice(&offset.to_be_bytes());
    bytes[8..12].copy_from_slice(&index.to_be_bytes());
    bytes[12..16].copy_from_slice(&first.day.0.to_be_bytes());
    bytes[16..].copy_from_slice(&first.fingerprint.to_be_bytes());
    fjall::Slice::from(&bytes[..])
}

/// Reads what [`encode`] wrote; `None` where it is not that.
pub(super) fn decode(partition: u32, bytes: &[u8]) -> Option<First> {
    let (offset, index, day, fingerprint) = match bytes.len() {
        SHORT_BYTES => (
            number(&bytes[..6]),
            number(&bytes[6..9]),
            number(&bytes[9..12]) as i64 - DAY_BIAS,
            number(&bytes[12..]),
        ),
        LONG_BYTES => (
            number(&bytes[..8]),
            number(&bytes[8..12]),
            i64::from(number(&bytes[12..16]) as u32 as i32),
            number(&bytes[16..]),
        ),
        _ => return None,
    };
    let position = Position { partition, offset, index: index as u32 };
    Some(First { position, day: Day(day as i32), fingerprint })
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn first(offset: u64, index: u32, day: i32, fingerprint: u64) -> First {
        First { position: Position { partition: 3, offset, index }, day: Day(day), fingerprint }
    }

    #[test]
    fn usual_entries_are_short() {
        assert_eq!(encode(&first(1 << 40, 10_000, 20_777, u64::MAX)).len(), SHORT_BYTES);
        assert_eq!(encode(&first(1 << 48, 0, 0, 0)).len(), LONG_BYTES);
        assert_eq!(encode(&first(0, 1 << 24, 0, 0)).len(), LONG_BYTES);
        assert_eq!(encode(&first(0, 0, i32::MIN, 0)).len(), LONG_BYTES);
    }

    /// These bytes are in every index ever written.
    #[test]
    fn layout_is_pinned() {
        let bytes = encode(&first(0x0102_0304_0506, 0x070809, 1, 0x1122_3344_5566_7788));
        let expected =
            [1, 2, 3, 4, 5, 6, 7, 8, 9, 0x80, 0, 1, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88];
        assert_eq!(&*bytes, &expected);
        assert_eq!(decode(3, &bytes[1..]), None);
    }

    proptest! {
        #[test]
        fn survives_its_bytes(offset: u64, index: u32, day: i32, fingerprint: u64, shift in 0u32..64) {
            let first = first(offset >> shift, index >> (shift / 2), day, fingerprint);
            prop_assert_eq!(decode(3, &encode(&first)), Some(first));
        }
    }
}
