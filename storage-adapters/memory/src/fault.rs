//! Scripted faults: what the next calls of an adapter do instead of succeeding.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

/// What one call does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Succeeds.
    None,
    /// Fails before anything is applied; passing.
    RetryBefore,
    /// Is applied, then fails as if it had not been; passing.
    RetryAfter,
    /// Applies only the first `n` writes, then fails; passing.
    RetryAfterSome(usize),
    /// Fails for good; so do all later calls.
    Poison,
    /// Succeeds, but only after this long.
    Slow(Duration),
}

/// A script of faults, shared by an adapter and its test. Empty: no faults.
#[derive(Debug, Clone, Default)]
pub struct Script(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    next: VecDeque<Fault>,
    always: Option<Fault>,
}

// === impl Script ===

impl Script {
    /// Appends faults for the next calls.
    pub fn then(&self, faults: impl IntoIterator<Item = Fault>) {
        self.0.lock().next.extend(faults);
    }

    /// What every call does once the list is used up; `None`: succeed.
    pub fn always(&self, fault: Option<Fault>) {
        self.0.lock().always = fault;
    }

    /// What this call does.
    pub fn take(&self) -> Fault {
        let mut state = self.0.lock();
        state.next.pop_front().or_else(|| state.always.clone()).unwrap_or(Fault::None)
    }
}
