//! Identity and place: `K`, positions in the log, days.
//!
//! `K` is 128 bits: 32 bits of the app's hash, then 96 bits of a hash of the
//! event id seeded with the app's hash. Write keys are public, so whoever holds
//! one can choose ids freely; with the app's own bits in front, no choice of ids
//! in one app can name an event of another. (The config refuses two apps whose
//! 32 bits are equal.) Among 10^10 ids of one app the chance of any collision in
//! 96 bits is below 1e-9.

use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128_with_seed};

/// The identity of an event: `(app_id, event_id)` in 128 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u128);

/// The identity of a user within an app, laid out as [`Key`] is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserKey(pub u128);

/// Where an event stands in the log. Positions of one partition are ordered by
/// time of append; positions of different partitions have no order in time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Position {
    /// Partition of the log.
    pub partition: u32,
    /// Offset of the record within the partition.
    pub offset: u64,
    /// Index of the event within the record.
    pub index: u32,
}

/// A day of events: days since 1970-01-01, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Day(pub i32);

/// Milliseconds in a day.
pub const DAY_MS: i64 = 86_400_000;

/// The hash of an app's id: seeds every key of that app. Its upper 32 bits are
/// the app's part of a [`Key`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AppHash(pub u64);

// === impl AppHash ===

impl AppHash {
    /// Hashes an app id.
    pub fn of(app_id: &str) -> Self {
        Self(xxh3_64(app_id.as_bytes()))
    }

    /// The 32 bits that every key of the app begins with.
    pub fn tag(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn compose(self, id: &str) -> u128 {
        let low = xxh3_128_with_seed(id.as_bytes(), self.0) & ((1 << 96) - 1);
        (u128::from(self.tag()) << 96) | low
    }

    /// The key of an event of this app.
    pub fn key(self, event_id: &str) -> Key {
        Key(self.compose(event_id))
    }

    /// The key of a user of this app; `user` is the user id, else the device id.
    pub fn user(self, user: &str) -> UserKey {
        UserKey(self.compose(user))
    }

    /// The partition of a device's events: one device stays in order, and a
    /// retry finds the partition of its first copy whichever gateway takes it.
    pub fn partition(self, device_id: &str, partitions: u32) -> u32 {
        spread(xxh3_64_with_seed(device_id.as_bytes(), self.0), partitions)
    }
}

// === impl Key ===

impl Key {
    /// The key's bytes, big-endian, as they stand in a record.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Reads a key of exactly 16 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Some(Self(u128::from_be_bytes(bytes.try_into().ok()?)))
    }

    /// The partition of an event that has no device.
    pub fn partition(self, partitions: u32) -> u32 {
        spread(self.0 as u64, partitions)
    }
}

/// Maps a hash evenly onto `0..partitions` (Lemire's multiply-shift).
fn spread(hash: u64, partitions: u32) -> u32 {
    ((u128::from(hash) * u128::from(partitions)) >> 64) as u32
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "K({self})")
    }
}

impl fmt::Display for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "U({self})")
    }
}

// === impl Position ===

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.partition, self.offset, self.index)
    }
}

// === impl Day ===

impl Day {
    /// The day that holds a moment (milliseconds since the Unix epoch).
    pub fn of(time_ms: i64) -> Self {
        Self(time_ms.div_euclid(DAY_MS) as i32)
    }

    /// The first millisecond of the day.
    pub fn start_ms(self) -> i64 {
        i64::from(self.0) * DAY_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_two_apps_never_share_their_first_bits() {
        let (a, b) = (AppHash::of("a"), AppHash::of("b"));
        assert_ne!(a.tag(), b.tag());
        assert_eq!((a.key("x").0 >> 96) as u32, a.tag());
        assert_ne!(a.key("x"), a.key("y"));
        assert_ne!(a.key("x").0 & (u128::MAX >> 32), b.key("x").0 & (u128::MAX >> 32));
    }

    #[test]
    fn key_survives_its_bytes() {
        let key = AppHash::of("demo").key("e-1");
        assert_eq!(Key::from_slice(&key.to_bytes()), Some(key));
        assert_eq!(Key::from_slice(&key.to_bytes()[1..]), None);
    }

    /// These values are in every log and store ever written: they must not change.
    #[test]
    fn hashes_are_pinned() {
        let app = AppHash::of("demo");
        assert_eq!(app.key("e-1").to_string(), "07f72fb362871b7c82c67d9f82dfc378");
        assert_eq!(app.partition("d-1", 16), 8);
    }

    #[test]
    fn partitions_are_even() {
        let app = AppHash::of("demo");
        let mut counts = [0u32; 4];
        for n in 0..40_000 {
            counts[app.partition(&format!("device-{n}"), 4) as usize] += 1;
        }
        assert!(counts.iter().all(|&count| (9_500..10_500).contains(&count)), "{counts:?}");
    }

    #[test]
    fn days_before_the_epoch_round_down() {
        assert_eq!(Day::of(-1), Day(-1));
        assert_eq!(Day::of(DAY_MS), Day(1));
        assert_eq!(Day(1).start_ms(), DAY_MS);
    }
}
