//! How much may be remembered.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::table::{BUCKET_BYTES, WAYS};

/// Least `bytes_max`.
pub const BYTES_MIN: usize = 1024 * 1024;
/// A table is about this large: a huge page, and allocated so fast that nobody notices.
const TABLE_BYTES_TARGET: usize = 2 * 1024 * 1024;
const TABLES_MIN: usize = 16;
const TABLES_MAX: usize = 4096;

/// Bounds of what is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RememberConfig {
    /// Bytes of all tables of confirmed keys, at least [`BYTES_MIN`]. A key
    /// takes 23.3 bytes.
    pub bytes_max: usize,
    /// Keys in flight at once, at least 1; about 100 bytes each, beside
    /// `bytes_max`.
    pub in_flight_max: usize,
}

/// A bound that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RememberConfigError {
    /// `bytes_max` is too small.
    #[error("bytes_max is {0}; at least {BYTES_MIN} bytes are needed")]
    BytesMax(usize),
    /// `in_flight_max` is 0.
    #[error("in_flight_max is 0; at least 1 key must be allowed in flight")]
    InFlightMax,
}

/// How the bytes are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// A power of two.
    pub(crate) tables: usize,
    /// Buckets of each table.
    pub(crate) buckets: usize,
}

// === impl RememberConfig ===

impl Default for RememberConfig {
    fn default() -> Self {
        Self { bytes_max: 256 * 1024 * 1024, in_flight_max: 256 * 1024 }
    }
}

impl RememberConfig {
    /// Checks the bounds.
    pub fn check(&self) -> Result<(), RememberConfigError> {
        if self.bytes_max < BYTES_MIN {
            return Err(RememberConfigError::BytesMax(self.bytes_max));
        }
        if self.in_flight_max == 0 {
            return Err(RememberConfigError::InFlightMax);
        }
        Ok(())
    }

    pub(crate) fn layout(&self) -> Layout {
        let tables =
            (self.bytes_max / TABLE_BYTES_TARGET).clamp(TABLES_MIN, TABLES_MAX).next_power_of_two();
        Layout { tables, buckets: self.bytes_max / tables / BUCKET_BYTES }
    }
}

// === impl Layout ===

impl Layout {
    /// Keys remembered when every table is full.
    pub(crate) fn capacity(self) -> usize {
        self.tables * self.buckets * WAYS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_stays_within_its_bytes() {
        for bytes_max in [BYTES_MIN, 10_000_000, 256 << 20, 3 << 30, 100 << 30] {
            let layout = RememberConfig { bytes_max, ..Default::default() }.layout();
            let bytes = layout.tables * layout.buckets * BUCKET_BYTES;
            assert!(bytes <= bytes_max && bytes > bytes_max * 9 / 10, "{layout:?}");
            assert!(layout.tables.is_power_of_two());
        }
    }

    #[test]
    fn bounds_too_small_are_refused() {
        let small = RememberConfig { bytes_max: 5, ..Default::default() };
        assert_eq!(small.check(), Err(RememberConfigError::BytesMax(5)));
        let none = RememberConfig { in_flight_max: 0, ..Default::default() };
        assert_eq!(none.check(), Err(RememberConfigError::InFlightMax));
        assert_eq!(RememberConfig::default().check(), Ok(()));
    }
}
