//! Fail-stop: after an I/O error of the database nothing more is taken.
//!
//! An fsync that failed once may report success the next time though the data
//! is gone (Rebello et al., "Can applications recover from fsync failures?",
//! USENIX ATC 2020), so an error stays for as long as the process lives.

use std::sync::OnceLock;

use sluice_seams::StoreError;

/// Why a database must not be used any more, once there is a reason.
#[derive(Debug, Default)]
pub(crate) struct Poison(OnceLock<String>);

// === impl Poison ===

impl Poison {
    /// Fails where the database was poisoned before.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.0.get().map_or(Ok(()), |why| Err(StoreError::Poisoned(why.clone())))
    }

    /// Why it is poisoned; `None` where it is not.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// Poisons it; the first reason stays.
    pub(crate) fn mark(&self, doing: &str, error: &dyn std::fmt::Display) -> StoreError {
        let why = self.0.get_or_init(|| {
            tracing::error!(doing, %error, "store unusable until the process restarts");
            format!("{doing}: {error}; restart the process")
        });
        StoreError::Poisoned(why.clone())
    }
}

/// The error of a database that cannot be opened.
pub(crate) fn open_error(dir: &std::path::Path, error: fjall::Error) -> StoreError {
    let dir = dir.display();
    match error {
        fjall::Error::Locked => {
            StoreError::Refused(format!("{dir} is in use by another process: stop it first"))
        }
        error => StoreError::Poisoned(format!("cannot open {dir}: {error}")),
    }
}
