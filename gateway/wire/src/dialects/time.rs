//! Moments written as text: RFC 3339, as CloudEvents and Segment send them.
//!
//! An offset from UTC is demanded: without one a text names no moment. Time zones
//! by name are those that the binary carries.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Longest text that is looked at, bytes; nanoseconds and an offset take 35.
const TEXT_BYTES_MAX: usize = 64;

/// Milliseconds since the Unix epoch, finer parts cut off towards the past.
///
/// Takes RFC 3339 and what is usual around it: `T` or a space between date and
/// time, up to nine digits of a second, a leap second (read as the one before).
/// `None` for all else, also for moments without an offset from UTC.
pub(crate) fn rfc3339_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    // Annotations in brackets are RFC 9557, not RFC 3339.
    if text.len() > TEXT_BYTES_MAX || text.ends_with(']') {
        return None;
    }
    let moment: Timestamp = text.parse().ok()?;
    Some(moment.as_nanosecond().div_euclid(1_000_000) as i64)
}

/// A time zone's offset from UTC at a moment, minutes, cut off towards zero;
/// `None` for a zone that is not known and a moment out of range. East is positive.
pub(crate) fn offset_min(zone: &str, at_ms: i64) -> Option<i32> {
    if zone.len() > TEXT_BYTES_MAX {
        return None;
    }
    let at = Timestamp::from_millisecond(at_ms).ok()?;
    Some(TimeZone::get(zone).ok()?.to_offset(at).seconds() / 60)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moments() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-20T18:48:43.217Z", 1_795_200_523_217),
            ("2026-11-20T18:48:33.068+00:00", 1_795_200_513_068),
            ("2026-11-21T02:48:43.217999999+08:00", 1_795_200_523_217),
            ("2026-11-20t18:48:43z", 1_795_200_523_000),
            (" 2026-11-20 18:48:43-00:00 ", 1_795_200_523_000),
            ("2016-12-31T23:59:60Z", 1_483_228_799_000),
            ("1969-12-31T23:59:59.9995Z", -1),
        ] {
            assert_eq!(rfc3339_ms(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn not_moments() {
        for text in [
            "",
            "2026-11-20",
            "2026-11-20T18:48:43",
            "18:48:43Z",
            "2026-13-20T18:48:43Z",
            "2026-11-20T25:48:43Z",
            "2026-11-20T18:48:43.Z",
            "1795200523217",
            "yesterday",
            "2026-11-20T18:48:43+08:00[Asia/Shanghai]",
        ] {
            assert_eq!(rfc3339_ms(text), None, "{text}");
        }
    }

    #[test]
    fn offsets() {
        assert_eq!(offset_min("Asia/Shanghai", 1_795_200_523_217), Some(480));
        assert_eq!(offset_min("America/St_Johns", 1_795_200_523_217), Some(-210));
        assert_eq!(offset_min("America/St_Johns", 1_780_000_000_000), Some(-150), "in summer");
        assert_eq!(offset_min("UTC", 0), Some(0));
        assert_eq!(offset_min("Nowhere/At_All", 0), None);
        assert_eq!(offset_min("../../etc/passwd", 0), None);
        assert_eq!(offset_min("Asia/Shanghai", i64::MAX), None);
    }

    proptest! {
        #[test]
        fn reads_back_what_was_written(ms in -62_000_000_000_000..253_000_000_000_000_i64) {
            let written = Timestamp::from_millisecond(ms).expect("in range").to_string();
            prop_assert_eq!(rfc3339_ms(&written), Some(ms));
        }

        #[test]
        fn never_panics(text in any::<String>(), tail in "[-0-9TtZz:.+ ]{0,40}") {
            rfc3339_ms(&text);
            rfc3339_ms(&tail);
        }
    }
}
