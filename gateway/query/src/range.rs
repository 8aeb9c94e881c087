//! The period asked for, and the one it is compared with.
//!
//! `["2026-11-01", "2026-11-20"]` are whole days, both included. A date-time
//! (`2026-11-01T10:00`, local, or RFC 3339 with its offset) is a moment; as an
//! end it is exclusive. `{"last": "7d"}` is today and the six days before it,
//! `{"last": "24h"}` the hours up to now.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use crate::calendar::{CalendarError, date_of, day_start_ms, rfc3339};
use crate::config::RANGE_DAYS_MAX;
use crate::problem::Problem;

const DAY_MS: i64 = 86_400_000;
const SHAPES: &[&str] = &[
    "[\"2026-11-01\", \"2026-11-20\"]",
    "[\"2026-11-01T10:00\", \"2026-11-01T12:00\"]",
    "[\"2026-11-01T10:00:00+08:00\", \"2026-11-01T12:00:00Z\"]",
    "{\"last\": \"7d\"}",
    "{\"last\": \"24h\"}",
];

/// Milliseconds `[from_ms, to_ms)`, never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// From, inclusive.
    pub from_ms: i64,
    /// To, exclusive.
    pub to_ms: i64,
}

/// What a period is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// The period of the same length that ends where this one begins.
    PreviousPeriod,
    /// The same dates of the year before.
    PreviousYear,
}

// === impl Range ===

impl Range {
    /// Reads a date range.
    pub fn parse(value: &Value, tz: &TimeZone, now_ms: i64) -> Result<Self, Problem> {
        let path = "date_range";
        let range = match value {
            Value::Array(ends) if ends.len() == 2 => Self {
                from_ms: moment(&ends[0], "date_range[0]", tz, false)?,
                to_ms: moment(&ends[1], "date_range[1]", tz, true)?,
            },
            Value::Object(map) if map.len() == 1 && map.contains_key("last") => {
                last(&map["last"], tz, now_ms)?
            }
            _ => {
                let detail = "must be two dates, two date-times or {\"last\": …}";
                return Err(Problem::invalid(path, detail).allowed(SHAPES.iter().copied()));
            }
        };
        if range.to_ms <= range.from_ms {
            return Err(Problem::invalid(path, "ends before it begins"));
        }
        if range.to_ms - range.from_ms > RANGE_DAYS_MAX * DAY_MS {
            let detail = format!("spans more than {RANGE_DAYS_MAX} days");
            return Err(Problem::invalid(path, detail));
        }
        Ok(range)
    }

    /// The period it is compared with. Whole days are compared with whole days,
    /// whatever daylight saving does to their hours.
    pub fn compared(self, with: Compare, tz: &TimeZone) -> Result<Self, CalendarError> {
        match (with, self.whole_days(tz)?) {
            (Compare::PreviousPeriod, Some((first, end))) => {
                let days = first.until(end)?.get_days();
                let before = first.checked_sub(i64::from(days).days())?;
                Ok(Self { from_ms: day_start_ms(before, tz)?, to_ms: self.from_ms })
            }
            (Compare::PreviousPeriod, None) => {
                Ok(Self { from_ms: 2 * self.from_ms - self.to_ms, to_ms: self.from_ms })
            }
            (Compare::PreviousYear, Some((first, end))) => {
                let last = end.yesterday()?;
                Ok(Self {
                    from_ms: day_start_ms(first.checked_sub(1.year())?, tz)?,
                    to_ms: day_start_ms(last.checked_sub(1.year())?.tomorrow()?, tz)?,
                })
            }
            (Compare::PreviousYear, None) => Ok(Self {
                from_ms: year_before(self.from_ms, tz)?,
                to_ms: year_before(self.to_ms, tz)?,
            }),
        }
    }

    /// As it is echoed: two moments, the second exclusive.
    pub fn normal(self, tz: &TimeZone) -> Value {
        json!([rfc3339(self.from_ms, tz), rfc3339(self.to_ms, tz)])
    }

    /// The first day and the day after the last, where the range is whole days.
    fn whole_days(self, tz: &TimeZone) -> Result<Option<(Date, Date)>, CalendarError> {
        let (first, end) = (date_of(self.from_ms, tz)?, date_of(self.to_ms, tz)?);
        let whole =
            day_start_ms(first, tz)? == self.from_ms && day_start_ms(end, tz)? == self.to_ms;
        Ok(whole.then_some((first, end)))
    }
}

// === impl Compare ===

impl Compare {
    /// The words that users write.
    pub const NAMES: &'static [&'static str] = &["previous_period", "previous_year"];

    /// The comparison of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "previous_period" => Some(Self::PreviousPeriod),
            "previous_year" => Some(Self::PreviousYear),
            _ => None,
        }
    }

    /// The name that users write.
    pub fn name(self) -> &'static str {
        match self {
            Self::PreviousPeriod => "previous_period",
            Self::PreviousYear => "previous_year",
        }
    }
}

fn year_before(at_ms: i64, tz: &TimeZone) -> Result<i64, CalendarError> {
    let local = tz.to_datetime(Timestamp::from_millisecond(at_ms)?);
    Ok(tz.to_timestamp(local.checked_sub(1.year())?)?.as_millisecond())
}

/// A date or a date-time; a date as an end means the end of that day.
fn moment(value: &Value, path: &str, tz: &TimeZone, end: bool) -> Result<i64, Problem> {
    let wrong = || {
        let detail = "must be a date, a local date-time or an RFC 3339 time, years 1 to 9999";
        Problem::invalid(path, detail).allowed([
            "2026-11-01",
            "2026-11-01T10:00",
            "2026-11-01T10:00:00+08:00",
        ])
    };
    let text = value.as_str().filter(|text| text.len() <= 64).ok_or_else(wrong)?;
    if text.len() == 10 {
        let date: Date = text.parse().map_err(|_| wrong())?;
        let date = if end { date.tomorrow().map_err(|_| wrong())? } else { date };
        return day_start_ms(date, tz).map_err(|_| wrong());
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.as_millisecond());
    }
    let local: DateTime = text.parse().map_err(|_| wrong())?;
    Ok(tz.to_timestamp(local).map_err(|_| wrong())?.as_millisecond())
}

fn last(value: &Value, tz: &TimeZone, now_ms: i64) -> Result<Range, Problem> {
    let path = "date_range.last";
    let wrong = || {
        let detail = "must be a number of minutes, hours or days, at least 1";
        Problem::invalid(path, detail).allowed(["30m", "24h", "7d"])
    };
    let text =
        value.as_str().filter(|text| text.is_ascii() && text.len() <= 8).ok_or_else(wrong)?;
    let (count, unit) = text.split_at(text.len().saturating_sub(1));
    let count: i64 = count.parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
    match unit {
        "m" => Ok(Range { from_ms: now_ms - count * 60_000, to_ms: now_ms }),
        "h" => Ok(Range { from_ms: now_ms - count * 3_600_000, to_ms: now_ms }),
        "d" => {
            let days = || -> Result<Range, CalendarError> {
                let today = date_of(now_ms, tz)?;
                let first = today.checked_sub((count - 1).days())?;
                Ok(Range {
                    from_ms: day_start_ms(first, tz)?,
                    to_ms: day_start_ms(today.tomorrow()?, tz)?,
                })
            };
            if count > RANGE_DAYS_MAX {
                return Err(wrong());
            }
            days().map_err(|_| wrong())
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("a time").as_millisecond()
    }

    fn range(value: Value, tz: &str) -> Range {
        let tz = TimeZone::get(tz).expect("a time zone");
        Range::parse(&value, &tz, ms("2026-11-20T10:00Z")).expect("valid")
    }

    #[test]
    fn shapes() {
        let cases = [
            (json!(["2026-11-01", "2026-11-02"]), "2026-10-31T16:00Z", "2026-11-02T16:00Z"),
            (json!(["2026-11-01T10:00", "2026-11-02"]), "2026-11-01T02:00Z", "2026-11-02T16:00Z"),
            (
                json!(["2026-11-01T10:00:00Z", "2026-11-01T19:00:00+08:00"]),
                "2026-11-01T10:00Z",
                "2026-11-01T11:00Z",
            ),
            (json!({"last": "2d"}), "2026-11-18T16:00Z", "2026-11-20T16:00Z"),
            (json!({"last": "24h"}), "2026-11-19T10:00Z", "2026-11-20T10:00Z"),
        ];
        for (value, from, to) in cases {
            let wanted = Range { from_ms: ms(from), to_ms: ms(to) };
            assert_eq!(range(value.clone(), "Asia/Shanghai"), wanted, "{value}");
        }
    }

    #[test]
    fn wrong_ones_name_their_path() {
        let cases = [
            (json!("2026-11-01"), "date_range"),
            (json!(["2026-11-01"]), "date_range"),
            (json!(["2026-13-01", "2026-11-01"]), "date_range[0]"),
            (json!(["2026-11-01", 5]), "date_range[1]"),
            (json!(["2026-11-02", "2026-11-01"]), "date_range"),
            (json!(["0001-01-02", "2026-11-01"]), "date_range"),
            (json!(["2026-11-01", "9999-12-31"]), "date_range[1]"),
            (json!({"last": "0d"}), "date_range.last"),
            (json!({"last": "d"}), "date_range.last"),
            (json!({"last": ""}), "date_range.last"),
            (json!({"last": "7y"}), "date_range.last"),
            (json!({"last": "999999d"}), "date_range.last"),
        ];
        for (value, path) in cases {
            let problem = Range::parse(&value, &TimeZone::UTC, 0).expect_err(path);
            assert_eq!(problem.path.as_deref(), Some(path), "{value}");
        }
    }

    #[test]
    fn whole_days_are_compared_with_whole_days() {
        let tz = TimeZone::get("America/New_York").expect("a time zone");
        let autumn = range(json!(["2026-11-01", "2026-11-01"]), "America/New_York");
        let before = autumn.compared(Compare::PreviousPeriod, &tz).expect("in range");
        assert_eq!(before, range(json!(["2026-10-31", "2026-10-31"]), "America/New_York"));
        let year = autumn.compared(Compare::PreviousYear, &tz).expect("in range");
        assert_eq!(year, range(json!(["2025-11-01", "2025-11-01"]), "America/New_York"));
        let leap = range(json!(["2024-02-29", "2024-02-29"]), "UTC");
        let year = leap.compared(Compare::PreviousYear, &TimeZone::UTC).expect("in range");
        assert_eq!(year, range(json!(["2023-02-28", "2023-02-28"]), "UTC"));
        let hours = Range { from_ms: 3_600_000, to_ms: 7_200_000 };
        let before = hours.compared(Compare::PreviousPeriod, &tz).expect("in range");
        assert_eq!(before, Range { from_ms: 0, to_ms: 3_600_000 });
    }
}
