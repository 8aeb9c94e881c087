//! A table of recent keys, each with 32 bits of fingerprint, that forgets by itself.
//!
//! A key lives in one bucket, chosen by its hash, of [`WAYS`] slots that are filled and
//! overwritten in a ring: the newest key of a bucket pushes out the oldest. So nothing is
//! ever moved, grown or swept, and a key that is not there (the usual case) is told from
//! one cache line: the bucket's first, which holds 15 bits of each key's hash. All 128 bits
//! of a key are compared before it counts as found. A key takes 23.3 bytes, all included,
//! and touches two lines at most.
//!
//! How long a key stays is chance, as how many fall into its bucket is: by the time that as
//! many new keys came as the table has slots, half of the old ones are there; by 40 % of
//! that, all but one in 10,000 (a Poisson tail: P(X ≥ 22) with mean 22 × 0.4).
//!
//! Words are atomic so that a line can be asked for without the lock
//! ([`Table::approach`]): a batch then waits for memory once and not once a key. Whoever
//! reads or writes for good holds the lock of the key's part, which orders all of it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Keys of a bucket.
pub(crate) const WAYS: usize = 22;
/// Bytes of a bucket: eight cache lines.
pub(crate) const BUCKET_BYTES: usize = size_of::<Bucket>();

/// Words of tags, two lanes of 16 bits to a word; then comes the first slot.
const TAG_WORDS: usize = WAYS / 2;
/// Words of a slot: four of key, one of fingerprint.
const SLOT_WORDS: usize = 5;
/// Words of a cache line: three slots, where there are no tags.
const LINE_WORDS: usize = 16;
const BUCKET_WORDS: usize = 8 * LINE_WORDS;

/// The tag in a lane. The bits above the tags of the first five lanes are the number of the
/// slot which is overwritten next, lowest first.
const TAG: u16 = 0x7fff;
const NEXT: u32 = 0x8000_8000;
const NEXT_WORDS: usize = 3;

const _: () = assert!(TAG_WORDS + SLOT_WORDS == LINE_WORDS);
const _: () = assert!(1 + (BUCKET_WORDS / LINE_WORDS - 1) * 3 == WAYS);
const _: () = assert!(WAYS <= 1 << (NEXT_WORDS * 2 - 1));

/// Where each slot begins: the first one behind the tags, three to each line after that.
const SLOTS: [usize; WAYS] = {
    let mut slots = [TAG_WORDS; WAYS];
    let mut way = 1;
    while way < WAYS {
        slots[way] = way.div_ceil(3) * LINE_WORDS + (way - 1) % 3 * SLOT_WORDS;
        way += 1;
    }
    slots
};

/// Tags and slots. All zero: empty.
#[repr(align(64))]
struct Bucket([AtomicU32; BUCKET_WORDS]);

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
    pub(crate) fn approach(&self, hash: u64) -> u32 {
        self.bucket(hash).map_or(0, |bucket| bucket.word(0))
    }

    /// Asks memory for the slot that a key would take; after [`approach`](Self::approach).
    pub(crate) fn approach_slot(&self, hash: u64) -> u32 {
        self.bucket(hash).map_or(0, |bucket| bucket.word(SLOTS[bucket.next()]))
    }

    /// The fingerprint of a key.
    pub(crate) fn get(&self, key: u128, hash: u64) -> Option<u32> {
        self.bucket(hash)?.get(key, tag(hash))
    }

    /// Remembers a key that is not in the table, with a fingerprint that is not 0; whether
    /// another was forgotten for it. One that is there takes another slot.
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

/// 15 bits of the hash that neither the bucket nor the table depends on; never 0, which
/// marks an empty slot.
fn tag(hash: u64) -> u16 {
    ((hash >> 32) as u16 & TAG).max(1)
}

// === impl Bucket ===

impl Bucket {
    fn new() -> Self {
        Self([const { AtomicU32::new(0) }; BUCKET_WORDS])
    }

    fn word(&self, at: usize) -> u32 {
        self.0[at].load(Relaxed)
    }

    /// The slot that is overwritten next.
    fn next(&self) -> usize {
        (0..NEXT_WORDS).fold(0, |next, word| {
            let marked = self.word(word) & NEXT;
            next | ((marked >> 15 | marked >> 30) as usize & 3) << (word * 2)
        })
    }

    fn set_next(&self, next: usize) {
        for word in 0..NEXT_WORDS {
            let bits = (next >> (word * 2)) as u32;
            let marks = (bits & 1) << 15 | (bits >> 1 & 1) << 31;
            self.0[word].store(self.word(word) & !NEXT | marks, Relaxed);
        }
    }

    /// Lanes that hold a tag, as the upper bit of each.
    fn hits(&self, word: usize, wanted: u32) -> u32 {
        let differing = (self.word(word) & !NEXT) ^ wanted;
        // A sum of 15 bits does not carry into the next lane.
        !(differing + (NEXT - 0x0001_0001)) & NEXT
    }

    fn get(&self, key: u128, tag: u16) -> Option<u32> {
        let wanted = u32::from(tag) * 0x0001_0001;
        // Nearly always none: told without a branch for each.
        if (0..TAG_WORDS).fold(0, |hits, word| hits | self.hits(word, wanted)) == 0 {
            return None;
        }
        for (way, slot) in SLOTS.into_iter().enumerate() {
            let hit = self.hits(way / 2, wanted) >> (way % 2 * 16 + 15) & 1 == 1;
            if hit && self.key(way) == key {
                return Some(self.word(slot + 4));
            }
        }
        None
    }

    fn key(&self, way: usize) -> u128 {
        let at = SLOTS[way];
        (0..4).rev().fold(0, |key, word| (key << 32) | u128::from(self.word(at + word)))
    }

    fn insert(&self, key: u128, fingerprint: u32, tag: u16) -> bool {
        let way = self.next();
        let forgets = self.set_tag(way, tag) != 0;
        self.set_next(if way + 1 < WAYS { way + 1 } else { 0 });
        let slot = &self.0[SLOTS[way]..][..SLOT_WORDS];
        for (n, word) in slot[..4].iter().enumerate() {
            word.store((key >> (32 * n)) as u32, Relaxed);
        }
        slot[4].store(fingerprint, Relaxed);
        forgets
    }

    /// Returns the tag before.
    fn set_tag(&self, way: usize, tag: u16) -> u16 {
        let (word, shift) = (self.word(way / 2), way % 2 * 16);
        let others = word & !(u32::from(TAG) << shift);
        self.0[way / 2].store(others | u32::from(tag) << shift, Relaxed);
        (word >> shift) as u16 & TAG
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
    fn no_slot_lies_across_lines_or_over_another() {
        let mut taken = [false; BUCKET_WORDS];
        taken[..TAG_WORDS].fill(true);
        for (way, slot) in SLOTS.into_iter().enumerate() {
            let words = slot..slot + SLOT_WORDS;
            assert_eq!(words.start / LINE_WORDS, (words.end - 1) / LINE_WORDS, "{way}");
            words.for_each(|word| assert!(!std::mem::replace(&mut taken[word], true), "{way}"));
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
