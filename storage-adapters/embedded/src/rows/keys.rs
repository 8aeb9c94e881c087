//! Keys and small values of the row store, big-endian, in order of bytes.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `timeline.<day>` | user 16 · time newest first 8 · `K` 16 | `EventDocument::encode` |
//! | `profile` | user 16 · kind 1 (0 set or unset, 1 set-once) · name | time 8 · `K` 16 · tag 1 (0 unset, 1 value) · JSON |
//! | `seen` | user 16 | first 8 · last 8 |
//! | `meta` | `format` | `[1]` |
//! | `meta` | `d` · day 4 | oldest 8 · newest 8 corrected time of the day's rows, or wider |
//!
//! Times are signed milliseconds with the sign bit turned, so that bytes order
//! as numbers do. User and `K` are hashes with the app's bits in front: one
//! app's users stand together, one user's rows are one scan.

use sluice_seams::row::TimelineCursor;
use sluice_seams::{Key, UserKey};

/// Bytes of a key in a day of the timeline.
pub(super) const TIMELINE_KEY_BYTES: usize = 40;

/// A time whose bytes order as it does.
pub(super) fn time(time_ms: i64) -> [u8; 8] {
    (time_ms as u64 ^ (1 << 63)).to_be_bytes()
}

/// Reads what [`time`] wrote.
pub(super) fn read_time(bytes: &[u8]) -> Option<i64> {
    Some((u64::from_be_bytes(bytes.try_into().ok()?) ^ (1 << 63)) as i64)
}

/// A place in a timeline; ascending bytes are newest first.
pub(super) fn timeline(user: UserKey, time_ms: i64, key: Key) -> [u8; TIMELINE_KEY_BYTES] {
    let mut bytes = [0; TIMELINE_KEY_BYTES];
    bytes[..16].copy_from_slice(&user.0.to_be_bytes());
    bytes[16..24].copy_from_slice(&time(!time_ms));
    bytes[24..].copy_from_slice(&key.to_bytes());
    bytes
}

/// Reads the place out of a timeline key.
pub(super) fn read_timeline(bytes: &[u8]) -> Option<TimelineCursor> {
    if bytes.len() != TIMELINE_KEY_BYTES {
        return None;
    }
    Some(TimelineCursor {
        time_ms: !read_time(&bytes[16..24])?,
        key: Key::from_slice(&bytes[24..])?.0,
    })
}

/// One cell of a profile, of one kind.
pub(super) fn profile(user: UserKey, once: bool, name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(17 + name.len());
    bytes.extend_from_slice(&user.0.to_be_bytes());
    bytes.push(u8::from(once));
    bytes.extend_from_slice(name.as_bytes());
    bytes
}

/// Two times, as in `seen` and in a day's bounds.
pub(super) fn span(first_ms: i64, last_ms: i64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&time(first_ms));
    bytes[8..].copy_from_slice(&time(last_ms));
    bytes
}

/// Reads what [`span`] wrote.
pub(super) fn read_span(bytes: &[u8]) -> Option<(i64, i64)> {
    let (first, last) = bytes.split_at_checked(8)?;
    Some((read_time(first)?, read_time(last)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn timeline_keys_order_newest_first(a: (u128, i64, u128), b: (u128, i64, u128)) {
            let bytes = |(user, time, key)| timeline(UserKey(user), time, Key(key));
            let order = |(user, time, key)| (user, std::cmp::Reverse(time), key);
            prop_assert_eq!(bytes(a).cmp(&bytes(b)), order(a).cmp(&order(b)));
            let cursor = TimelineCursor { time_ms: a.1, key: a.2 };
            prop_assert_eq!(read_timeline(&bytes(a)), Some(cursor));
        }

        #[test]
        fn spans_survive_their_bytes(first: i64, last: i64) {
            prop_assert_eq!(read_span(&span(first, last)), Some((first, last)));
        }
    }

    /// These bytes are in every store ever written.
    #[test]
    fn layout_is_pinned() {
        let bytes = timeline(UserKey(1), 2, Key(3));
        assert_eq!(bytes[15..25], [1, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfd, 0]);
        assert_eq!(profile(UserKey(7), true, "a")[15..], [7, 1, b'a']);
        assert_eq!(span(0, -1)[..9], [0x80, 0, 0, 0, 0, 0, 0, 0, 0x7f]);
        assert_eq!(read_span(&[0; 15]), None);
        assert_eq!(read_timeline(&[0; 39]), None);
    }
}
