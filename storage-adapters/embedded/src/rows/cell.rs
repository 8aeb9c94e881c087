//! Cells of a profile: which write wins, and which of the winners is shown.

use std::cmp::Ordering;

use sluice_seams::Key;

use super::keys;

/// Bytes before the JSON.
const HEAD_BYTES: usize = 25;

/// A winning write as it stands on disk: time 8, `K` 16, tag 1, JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written(Vec<u8>);

// === impl Written ===

impl Written {
    /// A write at `(time, key)`; no value unsets.
    pub(super) fn new(time_ms: i64, key: Key, value: Option<&[u8]>) -> Self {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + value.map_or(0, <[u8]>::len));
        bytes.extend_from_slice(&keys::time(time_ms));
        bytes.extend_from_slice(&key.to_bytes());
        bytes.push(u8::from(value.is_some()));
        bytes.extend_from_slice(value.unwrap_or_default());
        Self(bytes)
    }

    /// Reads what stands on disk; `None` where it is not that.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= HEAD_BYTES && bytes[HEAD_BYTES - 1] <= 1).then(|| Self(bytes.to_vec()))
    }

    /// What goes to disk.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The value's JSON; `None` for an unset.
    pub(super) fn value(&self) -> Option<&[u8]> {
        (self.0[HEAD_BYTES - 1] == 1).then(|| &self.0[HEAD_BYTES..])
    }

    /// Whether this write replaces `held`. The bytes order by time, then key,
    /// then content, so that even two writes under one key have one winner.
    pub(super) fn beats(&self, held: &Self, once: bool) -> bool {
        self.0.cmp(&held.0) == if once { Ordering::Less } else { Ordering::Greater }
    }

    fn place(&self) -> &[u8] {
        &self.0[..HEAD_BYTES - 1]
    }
}

/// The value to show: the latest set; after an unset, or without either, the
/// earliest set-once, unless it stands before the unset.
pub(super) fn shown<'a>(
    latest: Option<&'a Written>,
    once: Option<&'a Written>,
) -> Option<&'a [u8]> {
    match latest {
        None => once?.value(),
        Some(latest) => {
            latest.value().or_else(|| once.filter(|once| once.place() > latest.place())?.value())
        }
    }
}
