//! Time correction and the day of an event.
//!
//! `skew = received − sent`. A small skew is network delay and ignored;
//! otherwise `corrected = time + skew` (GW-TIME-1). The corrected time decides whether the
//! event is plausible and what questions find it; the *day* it is filed under
//! comes from the raw time, which a retry does not change, or, where the raw
//! time is implausible (a clock of 1970), from the time of receipt (GW-TIME-2).

use sluice_seams::Day;

use crate::limits::{FUTURE_MAX_MS, PAST_MAX_MS, SKEW_IGNORED_MS};

/// The acceptance window around the time of receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// How far in the past, milliseconds.
    pub past_max_ms: i64,
    /// How far in the future, milliseconds.
    pub future_max_ms: i64,
}

/// What time correction made of an event's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Corrected time, milliseconds.
    pub corrected_ms: i64,
    /// The day it is filed under unless an earlier copy decides otherwise.
    pub day: Day,
    /// The time was corrected.
    pub corrected: bool,
    /// The day is that of receipt.
    pub day_of_receipt: bool,
}

// === impl Window ===

impl Default for Window {
    fn default() -> Self {
        Self { past_max_ms: PAST_MAX_MS, future_max_ms: FUTURE_MAX_MS }
    }
}

impl Window {
    /// Whether a moment is plausible for something received now.
    pub fn holds(self, time_ms: i64, received_ms: i64) -> bool {
        time_ms >= received_ms.saturating_sub(self.past_max_ms)
            && time_ms <= received_ms.saturating_add(self.future_max_ms)
    }

    /// Corrects an event's time; `None` where even the corrected time is
    /// implausible. `sent_ms` 0 means unknown: no correction.
    pub fn time(self, raw_ms: i64, sent_ms: i64, received_ms: i64) -> Option<Timing> {
        let skew_ms = if sent_ms == 0 { 0 } else { received_ms.saturating_sub(sent_ms) };
        let corrected = skew_ms.saturating_abs() > SKEW_IGNORED_MS;
        let corrected_ms = if corrected { raw_ms.saturating_add(skew_ms) } else { raw_ms };
        if !self.holds(corrected_ms, received_ms) {
            return None;
        }
        let day_of_receipt = !self.holds(raw_ms, received_ms);
        let day = Day::of(if day_of_receipt { received_ms } else { raw_ms });
        Some(Timing { corrected_ms, day, corrected, day_of_receipt })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_190_400_000;
    const DAY: i64 = 86_400_000;

    #[test]
    fn small_skew_is_network_delay() {
        let timing = Window::default().time(NOW - 100, NOW - 5_000, NOW).expect("plausible");
        assert_eq!(timing.corrected_ms, NOW - 100);
        assert!(!timing.corrected);
    }

    #[test]
    fn a_clock_of_1970_is_corrected_and_files_under_the_day_of_receipt() {
        let timing = Window::default().time(1_000, 2_000, NOW).expect("plausible");
        assert_eq!(timing.corrected_ms, NOW - 1_000);
        assert!(timing.corrected && timing.day_of_receipt);
        assert_eq!(timing.day, Day::of(NOW));
    }

    /// A retry is received later and so is corrected differently, but files
    /// under the same day.
    #[test]
    fn a_retry_keeps_the_day_of_its_raw_time() {
        let raw = NOW - NOW.rem_euclid(DAY) - 1;
        let first = Window::default().time(raw, raw, NOW).expect("plausible");
        let retry = Window::default().time(raw, raw, NOW + 60_000).expect("plausible");
        assert_ne!(first.corrected_ms, retry.corrected_ms);
        assert_eq!(first.day, retry.day);
    }

    #[test]
    fn implausible_even_when_corrected() {
        let window = Window::default();
        assert_eq!(window.time(NOW - 8 * DAY, NOW, NOW), None);
        assert_eq!(window.time(NOW + 2 * DAY, 0, NOW), None);
        assert_eq!(window.time(i64::MAX, 1, NOW), None);
        assert_eq!(window.time(i64::MIN, i64::MIN, NOW), None);
    }
}
