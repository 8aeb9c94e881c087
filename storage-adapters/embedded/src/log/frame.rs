//! A frame: one record, or one gap, as it stands in a segment.
//!
//! ```text
//! 0   4  kind: "SLUr" a record, "SLUg" a gap
//! 4   4  CRC-32 of bytes 8..32, seeded with the segment's identity
//! 8   4  length of the payload (0 for a gap)
//! 12  4  CRC-32 of the payload
//! 16  8  offset
//! 24  8  a record: appended_at_ms; a gap: the offset that comes after it
//! 32  …  payload
//! ```
//! All little endian. The head has its own checksum, so that a walk along the
//! heads alone can trust lengths. It is seeded with the partition and base offset
//! of its segment: bytes of another segment (a reused disk block, a frame quoted
//! inside a payload) are no frames here. A gap stands where repair had to take
//! damaged records away; without one, offsets are contiguous, and a reader
//! therefore notices when a frame is missing.

/// Bytes before the payload.
pub(super) const HEAD_BYTES: usize = 32;

const RECORD: [u8; 4] = *b"SLUr";
const GAP: [u8; 4] = *b"SLUg";

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A record, with the time it was appended.
    Record { at_ms: i64 },
    /// The offsets from the frame's own up to `next` are gone.
    Gap { next: u64 },
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) offset: u64,
    pub(super) len: u32,
    pub(super) payload_crc: u32,
}

// === impl Head ===

impl Head {
    pub(super) fn record(offset: u64, at_ms: i64, len: u32, payload_crc: u32) -> Self {
        Self { kind: Kind::Record { at_ms }, offset, len, payload_crc }
    }

    pub(super) fn gap(from: u64, next: u64) -> Self {
        Self { kind: Kind::Gap { next }, offset: from, len: 0, payload_crc: crc32fast::hash(&[]) }
    }

    /// The offset that comes after this frame.
    pub(super) fn next(&self) -> u64 {
        match self.kind {
            Kind::Record { .. } => self.offset + 1,
            Kind::Gap { next } => next,
        }
    }

    pub(super) fn at_ms(&self) -> Option<i64> {
        match self.kind {
            Kind::Record { at_ms } => Some(at_ms),
            Kind::Gap { .. } => None,
        }
    }

    /// Bytes of the whole frame.
    pub(super) fn frame_bytes(&self) -> u64 {
        (HEAD_BYTES as u64) + u64::from(self.len)
    }

    pub(super) fn encode(&self, seed: u32) -> [u8; HEAD_BYTES] {
        let (magic, last) = match self.kind {
            Kind::Record { at_ms } => (RECORD, at_ms.to_le_bytes()),
            Kind::Gap { next } => (GAP, next.to_le_bytes()),
        };
        let mut head = [0; HEAD_BYTES];
        head[0..4].copy_from_slice(&magic);
        head[8..12].copy_from_slice(&self.len.to_le_bytes());
        head[12..16].copy_from_slice(&self.payload_crc.to_le_bytes());
        head[16..24].copy_from_slice(&self.offset.to_le_bytes());
        head[24..32].copy_from_slice(&last);
        let crc = head_crc(&head, seed);
        head[4..8].copy_from_slice(&crc.to_le_bytes());
        head
    }

    /// The head at the start of `bytes`, where there is a whole and sound one.
    pub(super) fn decode(bytes: &[u8], seed: u32) -> Option<Self> {
        let head: &[u8; HEAD_BYTES] = bytes.get(..HEAD_BYTES)?.try_into().ok()?;
        let magic = [head[0], head[1], head[2], head[3]];
        if (magic != RECORD && magic != GAP) || u32_at(head, 4) != head_crc(head, seed) {
            return None;
        }
        let offset = u64_at(head, 16);
        let last = u64_at(head, 24);
        let kind = if magic == RECORD {
            Kind::Record { at_ms: last.cast_signed() }
        } else {
            Kind::Gap { next: last }
        };
        if offset == u64::MAX || matches!(kind, Kind::Gap { next } if next <= offset) {
            return None;
        }
        Some(Self { kind, offset, len: u32_at(head, 8), payload_crc: u32_at(head, 12) })
    }

    /// The frame at the start of `bytes`, where head and payload are whole and
    /// sound.
    pub(super) fn decode_whole(bytes: &[u8], seed: u32) -> Option<Self> {
        let head = Self::decode(bytes, seed)?;
        let payload = bytes.get(HEAD_BYTES..HEAD_BYTES.checked_add(head.len as usize)?)?;
        (crc32fast::hash(payload) == head.payload_crc).then_some(head)
    }
}

/// Where the first frame begins at or after `from` in `bytes`, not counting those
/// whose offset lies below `offset_min`.
pub(super) fn resync(bytes: &[u8], from: usize, seed: u32, offset_min: u64) -> Option<usize> {
    let mut at = from;
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == RECORD[0])?;
        if bytes[at..].starts_with(&RECORD[..3])
            && Head::decode_whole(&bytes[at..], seed).is_some_and(|head| head.offset >= offset_min)
        {
            return Some(at);
        }
        at += 1;
    }
}

fn head_crc(head: &[u8; HEAD_BYTES], seed: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(&head[0..4]);
    hasher.update(&head[8..]);
    hasher.finalize()
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(seed: u32) -> Vec<u8> {
        let payload = b"payload";
        let head = Head::record(7, -5, 7, crc32fast::hash(payload));
        [&head.encode(seed)[..], payload].concat()
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let sound = frame(3);
        assert_eq!(Head::decode_whole(&sound, 3).and_then(|head| head.at_ms()), Some(-5));
        for bit in 0..sound.len() * 8 {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::decode_whole(&bytes, 3), None, "bit {bit}");
        }
    }

    #[test]
    fn a_frame_of_another_segment_is_none() {
        assert_eq!(Head::decode(&frame(3), 4), None);
    }

    #[test]
    fn resync_finds_the_next_sound_frame() {
        let bytes = [b"SLUrubbish SLUr".to_vec(), frame(3)].concat();
        assert_eq!(resync(&bytes, 0, 3, 0), Some(15));
        assert_eq!(resync(&bytes, 0, 3, 8), None, "an offset already passed");
        assert_eq!(resync(&bytes, 16, 3, 0), None);
    }
}
