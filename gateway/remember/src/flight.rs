//! The keys that one request is appending, and those who wait for their fate.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

/// What became of a key that another request was appending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Durable: a second copy is a duplicate.
    Appended,
    /// Not known to be durable: whoever still wants it reserves it anew.
    Released,
}

const PENDING: u8 = 0;
const APPENDED: u8 = 1;
const RELEASED: u8 = 2;

/// The fates of the keys of one request.
pub(crate) struct Flight {
    fates: Box<[AtomicU8]>,
    told: Notify,
}

/// Waits for the fate of a key that another request is appending.
#[derive(Clone)]
pub struct Waiter {
    pub(crate) flight: Arc<Flight>,
    pub(crate) index: u32,
    pub(crate) same: bool,
}

// === impl Flight ===

impl Flight {
    pub(crate) fn new(keys: usize) -> Self {
        Self { fates: (0..keys).map(|_| AtomicU8::new(PENDING)).collect(), told: Notify::new() }
    }

    /// Settles a key; [`tell`](Self::tell) wakes those who wait.
    pub(crate) fn settle(&self, index: u32, fate: Fate) {
        let word = match fate {
            Fate::Appended => APPENDED,
            Fate::Released => RELEASED,
        };
        self.fates[index as usize].store(word, Ordering::Release);
    }

    /// Wakes everyone who waits for a key of this request.
    pub(crate) fn tell(&self) {
        self.told.notify_waiters();
    }

    fn fate(&self, index: u32) -> Option<Fate> {
        match self.fates[index as usize].load(Ordering::Acquire) {
            APPENDED => Some(Fate::Appended),
            RELEASED => Some(Fate::Released),
            _ => None,
        }
    }
}

// === impl Waiter ===

impl Waiter {
    /// Whether the other copy has the same fingerprint.
    pub fn same(&self) -> bool {
        self.same
    }

    /// Resolves once the other request has settled the key. Has no time-out of
    /// its own: the owner settles at the latest when it is dropped.
    pub async fn fate(&self) -> Fate {
        loop {
            // Taken before the look, so that a settlement in between wakes it.
            let told = self.flight.told.notified();
            if let Some(fate) = self.flight.fate(self.index) {
                return fate;
            }
            told.await;
        }
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, same, flight } = self;
        f.debug_struct("Waiter")
            .field("index", index)
            .field("same", same)
            .field("fate", &flight.fate(*index))
            .finish()
    }
}
