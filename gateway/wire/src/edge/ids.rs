//! Ids of requests that bring none: a number drawn when the process began, and a
//! count. Random ones would cost a system call a request.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

/// Makes ids that no other process makes.
pub(crate) struct Ids {
    process: u64,
    next: AtomicU64,
}

// === impl Ids ===

impl Ids {
    pub(crate) fn new() -> Self {
        let drawn = uuid::Uuid::now_v7().as_u128();
        Self { process: (drawn >> 64) as u64 ^ drawn as u64, next: AtomicU64::new(1) }
    }

    /// 32 hex digits.
    pub(crate) fn next(&self) -> HeaderValue {
        let mut id = String::with_capacity(32);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        // Writing to a string does not fail.
        let _ = write!(id, "{:016x}{number:016x}", self.process);
        HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_comes_twice() {
        let (one, other) = (Ids::new(), Ids::new());
        let ids = [one.next(), one.next(), other.next(), other.next()];
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), 4);
        assert!(ids.iter().all(|id| id.len() == 32));
    }
}
