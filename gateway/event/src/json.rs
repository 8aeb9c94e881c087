//! Where the plain part of a JSON string ends.
//!
//! Strings are most of a batch, and short: eight bytes are looked at together, as
//! one word. (Sixteen with SSE2 were two percent faster, for another dependency.)

/// Bytes that are looked at together.
const LANES: usize = 8;
/// A one, and the uppermost bit, in each of them.
const ONES: u64 = u64::from_le_bytes([0x01; LANES]);
const TOPS: u64 = u64::from_le_bytes([0x80; LANES]);

/// The first byte from `at` on that is a quote, a backslash or a control
/// character; the end where there is none.
#[inline]
pub fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<LANES>) {
        let plain = plain(chunk);
        at += plain;
        if plain < LANES {
            return at;
        }
    }
    while bytes.get(at).is_some_and(|&byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        at += 1;
    }
    at
}

/// Plain bytes before the first that is not.
#[inline]
fn plain(chunk: &[u8; LANES]) -> usize {
    let word = u64::from_le_bytes(*chunk);
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
    let control = word.wrapping_sub(ONES * 0x20) & !word & TOPS;
    let special =
        control | zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\')));
    // The lowest flag is exact; borrows only disturb those above it.
    special.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_the_first_special_byte(
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
            plain in 0..64usize,
        ) {
            // Few bytes are special: without a plain beginning nearly all tests end at once.
            let bytes: Vec<u8> = [vec![0xe9; plain], bytes].concat();
            let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
            let expected = bytes.iter().position(special).unwrap_or(bytes.len());
            prop_assert_eq!(plain_end(&bytes, 0), expected);
        }
    }

    #[test]
    fn every_byte_is_told_in_every_lane() {
        for byte in 0..=u8::MAX {
            let special = byte < 0x20 || byte == b'"' || byte == b'\\';
            for lane in 0..LANES {
                let mut chunk = [b'a'; LANES];
                chunk[lane] = byte;
                assert_eq!(plain(&chunk), if special { lane } else { LANES }, "{byte} {lane}");
            }
        }
    }
}
