//! A table of recent keys, each with 32 bits of fingerprint, that forgets by itself.
//!
//! A key lives in one bucket, chosen by its hash, of [`WAYS`] slots that are filled and
//! overwritten in a ring: the newest key of a bucket pushes out the oldest. So nothing is
//! ever moved, grown or swept, and a key that is not there (the usual case) is told from
//! one cache line: the bucket's first, which holds 16 bits of each key's hash. All 128 bits
//! of a key are compared before it counts as found. A key takes 23.3 bytes, all included,
//! and touches two lines (one key of a bucket three).
//!
//! How long a key stays is chance, as how many fall into its bucket is: by the time that as
//! many new keys came as the table has slots, half of the old ones are there; by 40 % of
//! that, all but one in 10,000 (a Poisson tail: P(X ≥ 22) with mean 22 × 0.4).
//!
//! Words are atomic so that a line can be asked for without the lock
//! ([`Table::approach`]): a batch then waits for memory once and not once a key. Whoever
//! reads or writes for good holds the lock of the key's part, which orders all of it.
//!
//! ```text
//! line 0     tags of slots 0–3 | 4–7 | 8–11 | 12–15 | 16–19 | 20, 21, next | key of slot 0
//! line 1–7   key | key | key | two fingerprints | two fingerprints
//! ```
//!
//! The fourth fingerprint of line 1 is that of slot 0; those of lines 2 to 7 are unused.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Keys of a bucket.
pub(crate) const WAYS: usize = 22;
/// Bytes of a bucket: eight cache lines.
pub(crate) const BUCKET_BYTES: usize = size_of::<Bucket>();

/// Words of a cache line.
const LINE_WORDS: usize = 8;
const BUCKET_WORDS: usize = 8 * LINE_WORDS;
/// Tags of a word.
const LANES: usize = 4;
const LANE_BITS: usize = 16;
/// Words of tags; after the last tag comes the number of the slot that is overwritten next.
const TAG_WORDS: usize = 6;
/// One in each lane.
const ONES: u64 = 0x0001_0001_0001_0001;
/// The least tag: no number of a slot, and no empty lane, is taken for one.
const TAG_MIN: u16 = 32;
/// Slots of a line, but for the first.
const LINE_SLOTS: usize = 3;

const _: () = assert!(TAG_WORDS * LANES > WAYS && WAYS < TAG_MIN as usize);
const _: () = assert!(1 + (BUCKET_WORDS / LINE_WORDS - 1) * LINE_SLOTS == WAYS);

/// Where the key of each slot begins: two words.
const KEYS: [usize; WAYS] = {
    let mut keys = [TAG_WORDS; WAYS];
    let mut way = 1;
    while way < WAYS {
        keys[way] = way.div_ceil(LINE_SLOTS) * LINE_WORDS + (way - 1) % LINE_SLOTS * 2;
        way += 1;
    }
    keys
};

/// Where the fingerprint of each slot is: a word, and the bits below it there.
const FINGERPRINTS: [(usize, usize); WAYS] = {
    let mut places = [(2 * LINE_WORDS - 1, 32); WAYS];
    let mut way = 1;
    while way < WAYS {
        let (line, at) = (way.div_ceil(LINE_SLOTS), (way - 1) % LINE_SLOTS);
        places[way] = (line * LINE_WORDS + LINE_SLOTS * 2 + at / 2, at % 2 * 32);
        way += 1;
    }
    places
};

/// Tags and slots. All zero: empty.
#[repr(align(64))]
struct Bucket([AtomicU64; BUCKET_WORDS]);

/// A table that is allocated with its first key.
pub(crate) struct Table {
    count: usize,
    buckets: OnceLock<Box<[Bucket]>>,
}

// === impl Table ===

impl Table {
    /// A table of `buckets` buckets, at least one.
    pub(crate) fn new(buckets: usize) -> Self {
        Self { count: buckets.max(1), buckets: OnceLock::new() }
    }

    /// Whether its first key has come.
    pub(crate) fn is_allocated(&self) -> bool {
        self.buckets.get().is_some()
    }

    /// Bytes once it is allocated.
    pub(crate) fn bytes(&self) -> usize {
        self.count * BUCKET_BYTES
    }

    /// Asks memory for the first line of a key's bucket. What it returns means nothing.
    pub(crate) fn approach(&self, hash: u64) -> u64 {
        self.bucket(hash).map_or(0, |bucket| bucket.word(0))
    }

    /// Asks memory for the slot that a key would take; after [`approach`](Self::approach).
    pub(crate) fn approach_slot(&self, hash: u64) -> u64 {
        self.bucket(hash).map_or(0, |bucket| bucket.word(KEYS[bucket.next()]))
    }

    /// The fingerprint of a key.
    pub(crate) fn get(&self, key: u128, hash: u64) -> Option<u32> {
        self.bucket(hash)?.get(key, tag(hash))
    }

    /// Remembers a key that is not in the table, with a fingerprint; whether another was
    /// forgotten for it. One that is there takes another slot.
    pub(crate) fn insert(&self, key: u128, fingerprint: u32, hash: u64) -> bool {
        let count = self.count;
        let buckets = self.buckets.get_or_init(|| (0..count).map(|_| Bucket::new()).collect());
        buckets[home(hash, count)].insert(key, fingerprint, tag(hash))
    }

    fn bucket(&self, hash: u64) -> Option<&Bucket> {
        self.buckets.get().map(|buckets| &buckets[home(hash, self.count)])
    }
}

/// The lower 32 bits choose the bucket.
fn home(hash: u64, count: usize) -> usize {
    ((u64::from(hash as u32) * count as u64) >> 32) as usize
}

/// 16 bits of the hash that neither the bucket nor the table depends on.
fn tag(hash: u64) -> u16 {
    ((hash >> 32) as u16).max(TAG_MIN)
}

// === impl Bucket ===

impl Bucket {
    fn new() -> Self {
        Self([const { AtomicU64::new(0) }; BUCKET_WORDS])
    }

    fn word(&self, at: usize) -> u64 {
        self.0[at].load(Relaxed)
    }

    /// A lane of the words of tags.
    fn lane(&self, at: usize) -> u16 {
        (self.word(at / LANES) >> (at % LANES * LANE_BITS)) as u16
    }

    fn set_lane(&self, at: usize, value: u16) {
        let shift = at % LANES * LANE_BITS;
        let others = self.word(at / LANES) & !(u64::from(u16::MAX) << shift);
        self.0[at / LANES].store(others | u64::from(value) << shift, Relaxed);
    }

    /// The slot that is overwritten next.
    fn next(&self) -> usize {
        // Never beyond, which the compiler does not know.
        usize::from(self.lane(WAYS)).min(WAYS - 1)
    }

    /// Whether some lane is a tag: not zero where it is. `wanted` is that tag in each lane.
    fn hits(&self, wanted: u64) -> u64 {
        // A lane that is zero borrows from its upper bit (Warren, Hacker's Delight, 6-1).
        let zero = |lanes: u64| lanes.wrapping_sub(ONES) & !lanes & (ONES << (LANE_BITS - 1));
        (0..TAG_WORDS).fold(0, |hits, at| hits | zero(self.word(at) ^ wanted))
    }

    fn get(&self, key: u128, tag: u16) -> Option<u32> {
        // Nearly always none: told without a branch for each.
        if self.hits(u64::from(tag) * ONES) == 0 {
            return None;
        }
        let held = |&way: &usize| self.lane(way) == tag && self.key(way) == key;
        let (at, shift) = FINGERPRINTS[(0..WAYS).find(held)?];
        Some((self.word(at) >> shift) as u32)
    }

    fn key(&self, way: usize) -> u128 {
        let at = KEYS[way];
        u128::from(self.word(at + 1)) << 64 | u128::from(self.word(at))
    }

    fn insert(&self, key: u128, fingerprint: u32, tag: u16) -> bool {
        let way = self.next();
        let forgets = self.lane(way) != 0;
        self.set_lane(way, tag);
        self.set_lane(WAYS, if way + 1 < WAYS { way as u16 + 1 } else { 0 });
        let at = KEYS[way];
        self.0[at].store(key as u64, Relaxed);
        self.0[at + 1].store((key >> 64) as u64, Relaxed);
        let (at, shift) = FINGERPRINTS[way];
        let other = self.word(at) & !(u64::from(u32::MAX) << shift);
        self.0[at].store(other | u64::from(fingerprint) << shift, Relaxed);
        forgets
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_takes_at_most_24_bytes() {
        assert_eq!(BUCKET_BYTES, 512);
        assert!(BUCKET_BYTES as f64 / WAYS as f64 <= 24.0);
    }

    #[test]
    fn no_slot_lies_over_another_and_all_but_one_in_one_line() {
        // Halves of words.
        let mut taken = [false; 2 * BUCKET_WORDS];
        taken[..2 * TAG_WORDS].fill(true);
        for way in 0..WAYS {
            let (at, shift) = FINGERPRINTS[way];
            assert_eq!(KEYS[way] / LINE_WORDS == at / LINE_WORDS, way != 0, "{way}");
            assert_eq!(KEYS[way] / LINE_WORDS, (KEYS[way] + 1) / LINE_WORDS, "{way}");
            let halves = (2 * KEYS[way]..2 * KEYS[way] + 4).chain([2 * at + shift / 32]);
            for half in halves {
                assert!(!std::mem::replace(&mut taken[half], true), "{way}");
            }
        }
    }

    #[test]
    fn nothing_is_allocated_before_the_first_key() {
        let table = Table::new(4);
        assert_eq!((table.get(1, 1), table.approach(1), table.approach_slot(1)), (None, 0, 0));
        assert!(!table.is_allocated());
        table.insert(1, 7, 1);
        assert_eq!((table.get(1, 1), table.is_allocated(), table.bytes()), (Some(7), true, 2048));
    }

    proptest! {
        /// Each bucket answers as a queue of its newest keys does, also where tags collide.
        #[test]
        fn answers_as_queues_do(
            keys in prop::collection::vec((0u128..400, 1u32..), 0..300),
            tags in 1u64..64,
        ) {
            const BUCKETS: usize = 3;
            let hash = |key: u128| (key as u64 % tags) << 32 | (key as u64 * 0x9e37_79b9) & 0xffff_ffff;
            let table = Table::new(BUCKETS);
            let mut model = vec![VecDeque::new(); BUCKETS];
            for (key, fingerprint) in keys {
                let queue = &mut model[home(hash(key), BUCKETS)];
                if queue.iter().any(|(held, _)| *held == key) {
                    continue;
                }
                queue.push_back((key, fingerprint));
                let full = queue.len() > WAYS;
                if full {
                    queue.pop_front();
                }
                prop_assert_eq!(table.insert(key, fingerprint, hash(key)), full);
            }
            for key in 0..400 {
                let queue = &model[home(hash(key), BUCKETS)];
                let held = queue.iter().find(|(held, _)| *held == key);
                prop_assert_eq!(table.get(key, hash(key)), held.map(|(_, held)| *held));
            }
        }
    }
}
