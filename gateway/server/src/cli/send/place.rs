//! How far a file has been sent.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file beside the data that holds the place reached.
#[derive(Debug)]
pub struct Place(PathBuf);

// === impl Place ===

impl Place {
    /// The place file of a data file.
    pub fn of(file: &Path) -> Self {
        let mut name = file.as_os_str().to_owned();
        name.push(".sluice-sent");
        Self(name.into())
    }

    /// The byte to go on from; 0 where there is no place file or it is not one.
    pub fn read(&self) -> u64 {
        fs::read_to_string(&self.0).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    /// Notes that everything before `byte` has its fate.
    pub fn write(&self, byte: u64) -> io::Result<()> {
        let temporary = self.0.with_extension("sluice-sent.tmp");
        fs::write(&temporary, format!("{byte}\n"))?;
        fs::rename(temporary, &self.0)
    }

    /// The whole file is sent: nothing to go on from.
    pub fn remove(&self) {
        // Left behind, it would only make the next run say that nothing is left.
        let _ = fs::remove_file(&self.0);
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}
