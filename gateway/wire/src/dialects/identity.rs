//! Event ids for SDKs that send none: a hash of what a retry does not change.

use xxhash_rust::xxh3::xxh3_128;

/// The parts that make an event what it is, in order.
pub(crate) struct Identity(Vec<u8>);

// === impl Identity ===

impl Identity {
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(256))
    }

    /// Adds a part. With its length, so that no two lists of parts read alike.
    pub(crate) fn part(&mut self, part: &[u8]) {
        self.0.extend_from_slice(&(part.len() as u64).to_le_bytes());
        self.0.extend_from_slice(part);
    }

    /// 128 bits of the parts (XXH3).
    pub(crate) fn hash(&self) -> u128 {
        xxh3_128(&self.0)
    }

    /// The id: `PREFIX-` and the hash in hex.
    pub(crate) fn id(&self, prefix: &str) -> String {
        format!("{prefix}-{:032x}", self.hash())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_part_ends_matters() {
        let of = |parts: &[&str]| {
            let mut identity = Identity::new();
            parts.iter().for_each(|part| identity.part(part.as_bytes()));
            identity.id("x")
        };
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
        assert_ne!(of(&["ab", ""]), of(&["a", "b"]));
        assert_eq!(of(&[]).len(), 34);
    }

    /// Ids are kept in logs and stores: they must not change.
    #[test]
    fn is_pinned() {
        let mut identity = Identity::new();
        identity.part(b"/jd/app");
        identity.part(b"e-1");
        assert_eq!(identity.id("x"), "x-55d570bae9676e53f9abeea551a3eb41");
    }
}
