//! A segment: one file of frames, named after its first offset.
//!
//! ```text
//! 0   8  "sluiceLG"
//! 8   4  format version
//! 12  4  partition
//! 16  8  base offset
//! 24  4  zero
//! 28  4  CRC-32 of bytes 0..28
//! 32  …  frames
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::frame::{HEAD_BYTES, Head, resync, u32_at, u64_at};

/// Bytes before the first frame.
pub(super) const SEGMENT_HEAD_BYTES: u64 = 32;
/// Version of the layout of segments and frames.
pub(super) const FORMAT: u32 = 1;

const MAGIC: &[u8; 8] = b"sluiceLG";

/// Which segment: its partition and its first offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentId {
    pub(super) partition: u32,
    pub(super) base: u64,
}

/// A known place in a segment: a frame with this offset begins at this byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) offset: u64,
    pub(super) byte: u64,
    /// No record before this place is younger.
    pub(super) at_ms: i64,
}

/// One stretch of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// A sound frame.
    Frame { at: u64, head: Head },
    /// No sound frame begins here; the next one, where there is one, begins at
    /// `to`. Empty where whole frames are missing between two sound ones.
    Bad { at: u64, to: u64, followed: bool },
}

/// Damage: which file, where, and what is wrong.
#[derive(Debug, Clone)]
pub(super) struct Damage {
    pub(super) path: PathBuf,
    pub(super) at: u64,
    pub(super) what: String,
}

// === impl SegmentId ===

impl SegmentId {
    pub(super) fn file_name(&self) -> String {
        format!("{:020}.seg", self.base)
    }

    /// Seeds the checksums of the heads of its frames.
    pub(super) fn seed(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.partition.to_le_bytes());
        hasher.update(&self.base.to_le_bytes());
        hasher.finalize()
    }

    pub(super) fn encode(&self) -> [u8; SEGMENT_HEAD_BYTES as usize] {
        let mut head = [0; SEGMENT_HEAD_BYTES as usize];
        head[0..8].copy_from_slice(MAGIC);
        head[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        head[12..16].copy_from_slice(&self.partition.to_le_bytes());
        head[16..24].copy_from_slice(&self.base.to_le_bytes());
        let crc = crc32fast::hash(&head[..28]);
        head[28..32].copy_from_slice(&crc.to_le_bytes());
        head
    }

    /// Checks the head of a segment file against its name.
    pub(super) fn check(&self, head: &[u8]) -> Result<(), String> {
        if head.len() < SEGMENT_HEAD_BYTES as usize || &head[..8] != MAGIC {
            return Err("it does not begin as a segment of an event log".into());
        }
        if u32_at(head, 28) != crc32fast::hash(&head[..28]) {
            return Err("the checksum of the segment's head is wrong".into());
        }
        let version = u32_at(head, 8);
        if version != FORMAT {
            return Err(format!(
                "it has format {version}; this program reads format {FORMAT} only"
            ));
        }
        if u32_at(head, 12) != self.partition || u64_at(head, 16) != self.base {
            return Err("it belongs to another partition or another name".into());
        }
        Ok(())
    }
}

/// The base offset in a segment's file name.
pub(super) fn base_of(file_name: &str) -> Option<u64> {
    let digits = file_name.strip_suffix(".seg")?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}

/// Cuts a segment's bytes into sound frames and bad stretches. `expected` is the
/// offset that the first frame must have.
pub(super) fn pieces(bytes: &[u8], id: SegmentId) -> impl Iterator<Item = Piece> + '_ {
    let seed = id.seed();
    let mut at = SEGMENT_HEAD_BYTES as usize;
    let mut expected = id.base;
    let mut missing_told = false;
    std::iter::from_fn(move || {
        if at >= bytes.len() {
            return None;
        }
        match Head::decode_whole(&bytes[at..], seed) {
            Some(head) if head.offset == expected || missing_told => {
                missing_told = false;
                let piece = Piece::Frame { at: at as u64, head };
                at += HEAD_BYTES + head.len as usize;
                expected = head.next();
                Some(piece)
            }
            Some(head) if head.offset > expected => {
                missing_told = true;
                Some(Piece::Bad { at: at as u64, to: at as u64, followed: true })
            }
            _ => {
                let next = resync(bytes, at + 1, seed, expected);
                let piece = Piece::Bad {
                    at: at as u64,
                    to: next.unwrap_or(bytes.len()) as u64,
                    followed: next.is_some(),
                };
                at = next.unwrap_or(bytes.len());
                missing_told = true;
                Some(piece)
            }
        }
    })
}

/// Reads the head of the frame at `at`; its offset must be `expected`.
pub(super) fn head_at(
    file: &File,
    path: &Path,
    seed: u32,
    at: u64,
    expected: u64,
) -> io::Result<Result<Head, Damage>> {
    let mut buffer = [0; HEAD_BYTES];
    if let Err(error) = file.read_exact_at(&mut buffer, at) {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Ok(Err(damage(path, at, "it ends inside a frame")));
        }
        return Err(error);
    }
    Ok(match Head::decode(&buffer, seed) {
        None => Err(damage(path, at, "no sound frame begins here")),
        Some(head) if head.offset != expected => Err(missing(path, at, expected, head.offset)),
        Some(head) => Ok(head),
    })
}

pub(super) fn damage(path: &Path, at: u64, what: impl Into<String>) -> Damage {
    Damage { path: path.to_owned(), at, what: what.into() }
}

pub(super) fn missing(path: &Path, at: u64, expected: u64, found: u64) -> Damage {
    damage(path, at, format!("offset {expected} should stand here, but {found} does"))
}
