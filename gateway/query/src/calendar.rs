//! Days, weeks, months and hours of a time zone, as plain milliseconds.
//!
//! Edges come from the tz database, so that every store counts into the same
//! buckets: a day has 23, 24 or 25 hours; hours are real hours, and their labels
//! carry the offset, so that the two 01:00 of an autumn night differ.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan};

use crate::config::BUCKETS_MAX;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// A unit of time to group by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// Real minutes.
    Minute,
    /// Real hours.
    Hour,
    /// Calendar days.
    Day,
    /// Calendar weeks, Monday to Sunday.
    Week,
    /// Calendar months.
    Month,
}

/// Buckets `[edges[i], edges[i + 1])` and a label for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    /// Ascending; one more than there are buckets.
    pub edges: Vec<i64>,
    /// `2026-11-01`, `2026-11-01T13:00+08:00`, a week by its Monday, `2026-11`.
    pub labels: Vec<String>,
}

/// Times beyond what the calendar holds, or more buckets than allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CalendarError {
    /// Not a time between the years 1 and 9999.
    OutOfRange,
    /// More than [`BUCKETS_MAX`] buckets.
    TooMany,
}

impl From<jiff::Error> for CalendarError {
    fn from(_: jiff::Error) -> Self {
        Self::OutOfRange
    }
}

// === impl TimeUnit ===

impl TimeUnit {
    /// Units, finest first.
    pub const ALL: &'static [Self] =
        &[Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month];

    /// The dimension's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "time:minute",
            Self::Hour => "time:hour",
            Self::Day => "time:day",
            Self::Week => "time:week",
            Self::Month => "time:month",
        }
    }

    /// Buckets over `[from_ms, to_ms)`; the first and the last are cut to it.
    pub fn buckets(
        self,
        from_ms: i64,
        to_ms: i64,
        tz: &TimeZone,
    ) -> Result<Buckets, CalendarError> {
        match self {
            Self::Minute => clock_buckets(MINUTE_MS, from_ms, to_ms, tz),
            Self::Hour => clock_buckets(HOUR_MS, from_ms, to_ms, tz),
            Self::Day => date_buckets(from_ms, to_ms, tz, |date| date, 1.day(), 10),
            Self::Week => date_buckets(from_ms, to_ms, tz, monday, 1.week(), 10),
            Self::Month => date_buckets(from_ms, to_ms, tz, Date::first_of_month, 1.month(), 7),
        }
    }
}

// === impl Buckets ===

impl Buckets {
    /// The bucket of a moment; `None` outside of all.
    pub fn index(&self, time_ms: i64) -> Option<usize> {
        let past = self.edges.partition_point(|&edge| edge <= time_ms);
        (past > 0 && past < self.edges.len()).then(|| past - 1)
    }

    /// Number of buckets.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// The first moment of a day: usually midnight, later where a time zone skips it.
pub fn day_start_ms(date: Date, tz: &TimeZone) -> Result<i64, CalendarError> {
    Ok(date.to_zoned(tz.clone())?.start_of_day()?.timestamp().as_millisecond())
}

/// The day that holds a moment.
pub fn date_of(time_ms: i64, tz: &TimeZone) -> Result<Date, CalendarError> {
    Ok(tz.to_datetime(Timestamp::from_millisecond(time_ms)?).date())
}

/// RFC 3339 in a time zone, to the second (to the millisecond where it has some).
pub fn rfc3339(time_ms: i64, tz: &TimeZone) -> String {
    match Timestamp::from_millisecond(time_ms) {
        Ok(at) => at.display_with_offset(tz.to_offset(at)).to_string(),
        Err(_) => time_ms.to_string(),
    }
}

fn monday(date: Date) -> Date {
    let back = i64::from(date.weekday().to_monday_zero_offset());
    date.checked_sub(back.days()).unwrap_or(date)
}

/// Buckets of whole dates; labels are the first `label_bytes` of the first date.
fn date_buckets(
    from_ms: i64,
    to_ms: i64,
    tz: &TimeZone,
    begin: fn(Date) -> Date,
    step: Span,
    label_bytes: usize,
) -> Result<Buckets, CalendarError> {
    let mut date = begin(date_of(from_ms, tz)?);
    let mut buckets = Buckets { edges: vec![from_ms], labels: Vec::new() };
    let mut at_ms = from_ms;
    while at_ms < to_ms {
        let next = date.checked_add(step)?;
        let next_ms = day_start_ms(next, tz)?.min(to_ms);
        // A date that a time zone leaves out has no bucket.
        if next_ms > at_ms {
            let mut label = date.to_string();
            label.truncate(label_bytes);
            buckets.push(next_ms, label)?;
            at_ms = next_ms;
        }
        date = next;
    }
    Ok(buckets)
}

/// Buckets of real hours or minutes, begun where the local clock shows a whole one.
fn clock_buckets(
    unit_ms: i64,
    from_ms: i64,
    to_ms: i64,
    tz: &TimeZone,
) -> Result<Buckets, CalendarError> {
    if (to_ms - from_ms) / unit_ms > BUCKETS_MAX as i64 {
        return Err(CalendarError::TooMany);
    }
    let mut buckets = Buckets { edges: vec![from_ms], labels: Vec::new() };
    let mut at_ms = from_ms;
    while at_ms < to_ms {
        let at = Timestamp::from_millisecond(at_ms)?;
        let offset = tz.to_offset(at);
        let local_ms = at_ms + i64::from(offset.seconds()) * 1_000;
        let into_ms = local_ms.rem_euclid(unit_ms);
        // Only the first edge is cut within an hour; a later one that does not
        // stand at a whole hour comes from an offset change of half an hour.
        let label_ms = if at_ms == from_ms { at_ms - into_ms } else { at_ms };
        let label = Timestamp::from_millisecond(label_ms)?.display_with_offset(offset).to_string();
        let next_ms = (at_ms + unit_ms - into_ms).min(to_ms);
        buckets.push(next_ms, without_seconds(&label))?;
        at_ms = next_ms;
    }
    Ok(buckets)
}

/// `2026-11-01T13:00:00+08:00` → `2026-11-01T13:00+08:00`.
fn without_seconds(text: &str) -> String {
    let offset = text.rfind(['+', '-']).unwrap_or(text.len());
    format!("{}{}", &text[..16.min(text.len())], &text[offset..])
}

impl Buckets {
    fn push(&mut self, end_ms: i64, label: String) -> Result<(), CalendarError> {
        if self.labels.len() == BUCKETS_MAX {
            return Err(CalendarError::TooMany);
        }
        self.edges.push(end_ms);
        self.labels.push(label);
        Ok(())
    }
}

#[cfg(test)]
#[path = "calendar_tests.rs"]
mod tests;
