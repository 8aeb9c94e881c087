//! Row keys and times, big-endian, in order of bytes.
//!
//! | row | key |
//! |---|---|
//! | `timeline` | salt 1 · app · `00` · user · `00` · time newest first 8 · `K` 16 |
//! | `users` | salt 1 · app · `00` · user · `00` |
//! | `users`, layout | `ff` · `layout` |
//!
//! Names are written as they are, but for the bytes 0 and 1, which become `01 01`
//! and `01 02`: so `00` ends a name and no name's key begins another's. The salt
//! spreads users over regions; a user's rows share it, so that they stay one scan.

use sluice_seams::Key;
use sluice_seams::key::DAY_MS;
use sluice_seams::row::TimelineCursor;
use xxhash_rust::xxh3::xxh3_64;

/// Longest row key that HBase takes, bytes (`HConstants.MAX_ROW_LENGTH`).
pub(crate) const ROW_BYTES_MAX: usize = i16::MAX as usize;

/// The one row of `users` that is not a user's: no salt is that large.
pub(crate) const LAYOUT_ROW: &[u8] = b"\xfflayout";

/// Bytes after the user in a timeline's key.
const PLACE_BYTES: usize = 24;

/// A time whose bytes order as it does.
pub(crate) fn time(time_ms: i64) -> [u8; 8] {
    (time_ms as u64 ^ (1 << 63)).to_be_bytes()
}

/// Reads what [`time`] wrote.
pub(crate) fn read_time(bytes: &[u8]) -> Option<i64> {
    Some((u64::from_be_bytes(bytes.try_into().ok()?) ^ (1 << 63)) as i64)
}

/// A user's row, which is also what the user's timeline begins with.
pub(crate) fn user(salt_buckets: u8, app_id: &str, user: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(app_id.len() + user.len() + 3 + PLACE_BYTES);
    key.push(0);
    push_name(&mut key, app_id);
    push_name(&mut key, user);
    let spread = u128::from(xxh3_64(&key[1..])) * u128::from(salt_buckets);
    key[0] = (spread >> 64) as u8;
    key
}

fn push_name(key: &mut Vec<u8>, name: &str) {
    for &byte in name.as_bytes() {
        match byte {
            0 | 1 => key.extend_from_slice(&[1, byte + 1]),
            _ => key.push(byte),
        }
    }
    key.push(0);
}

/// A row of the timeline that begins with `user`.
pub(crate) fn timeline(mut user: Vec<u8>, time_ms: i64, key: Key) -> Vec<u8> {
    user.extend_from_slice(&time(!time_ms));
    user.extend_from_slice(&key.to_bytes());
    user
}

/// First and last-but-one row of a user's scan, strictly after a cursor.
pub(crate) fn scan(user: Vec<u8>, after: Option<TimelineCursor>) -> (Vec<u8>, Vec<u8>) {
    let mut stop = user.clone();
    // The name ends in 00: the next prefix of that length ends in 01.
    *stop.last_mut().expect("a key is never empty") = 1;
    let start = match after {
        None => user,
        Some(at) => {
            let mut start = timeline(user, at.time_ms, Key(at.key));
            start.push(0);
            start
        }
    };
    (start, stop)
}

/// Where in its timeline a row stands.
pub(crate) fn read_place(row: &[u8]) -> Option<TimelineCursor> {
    let place = &row[row.len().checked_sub(PLACE_BYTES)?..];
    let (time, key) = place.split_at(8);
    Some(TimelineCursor { time_ms: !read_time(time)?, key: Key::from_slice(key)?.0 })
}

/// The timestamp of a day's cells: its first millisecond. HBase knows no
/// timestamps before 1970; those days count as 1970-01-01.
pub(crate) fn day_timestamp(day: sluice_seams::Day) -> i64 {
    i64::from(day.0.max(0)) * DAY_MS
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn times_order_newest_first_then_by_key() {
        let places = [(i64::MAX, 0), (5, 1), (5, 9), (0, 7), (-1, 0), (i64::MIN, u128::MAX)];
        let keys: Vec<_> =
            places.iter().map(|&(at, key)| timeline(user(1, "a", "u"), at, Key(key))).collect();
        assert!(keys.is_sorted(), "{keys:02x?}");
        for (row, (time_ms, key)) in keys.iter().zip(places) {
            assert_eq!(read_place(row), Some(TimelineCursor { time_ms, key }));
        }
        assert_eq!(read_place(&[0; 23]), None);
    }

    #[test]
    fn no_user_begins_another() {
        let names = ["", "a", "a\0", "a\0b", "a\x01", "\0", "\x01", "\x01\x01", "ab", "用户"];
        let mut prefixes = HashSet::new();
        for app in names {
            for name in names {
                assert!(prefixes.insert(user(1, app, name)), "{app:?} {name:?}");
            }
        }
        for one in &prefixes {
            let others = prefixes.iter().filter(|other| *other != one);
            assert!(others.into_iter().all(|other| !other.starts_with(one)), "{one:?}");
        }
    }

    #[test]
    fn a_scan_holds_the_user_and_nobody_else() {
        let (start, stop) = scan(user(1, "a", "u"), None);
        let inside = |row: &Vec<u8>| *row >= start && *row < stop;
        assert!(inside(&timeline(user(1, "a", "u"), i64::MAX, Key(0))));
        assert!(inside(&timeline(user(1, "a", "u"), i64::MIN, Key(u128::MAX))));
        for other in ["", "t", "u2", "u\0", "u\x01", "v"] {
            assert!(!inside(&timeline(user(1, "a", other), 0, Key(0))), "{other:?}");
        }
        let at = TimelineCursor { time_ms: 7, key: 3 };
        let (start, _) = scan(user(1, "a", "u"), Some(at));
        assert!(start > timeline(user(1, "a", "u"), 7, Key(3)));
        assert!(start < timeline(user(1, "a", "u"), 7, Key(4)));
    }

    #[test]
    fn salts_are_even_and_within() {
        let mut counts = [0u32; 16];
        for n in 0..16_000 {
            counts[usize::from(user(16, "demo", &format!("u-{n}"))[0])] += 1;
        }
        assert!(counts.iter().all(|&count| (850..1_150).contains(&count)), "{counts:?}");
        assert!((0..1_000).all(|n| user(128, "demo", &n.to_string())[0] < 128));
    }

    /// These bytes are in every table ever written.
    #[test]
    fn layout_is_pinned() {
        let row = timeline(user(16, "demo", "u"), 2, Key(3));
        assert_eq!(row[..8], [13, b'd', b'e', b'm', b'o', 0, b'u', 0]);
        assert_eq!(row[8..17], [0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfd, 0]);
        assert_eq!(row.len(), 32);
    }
}
