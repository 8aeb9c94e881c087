//! Names of indices: daily ones end in `YYYY.MM.DD`.

use sluice_seams::Day;

/// The names of one store.
#[derive(Debug, Clone)]
pub struct Indices {
    prefix: String,
}

/// A kind of daily index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Daily {
    /// Event documents, by the day they are filed under.
    Events,
    /// Visitors, by the day of the corrected time.
    Visitors,
}

// === impl Indices ===

impl Indices {
    /// Names that begin with a prefix.
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The index of a day.
    pub fn daily(&self, kind: Daily, day: Day) -> String {
        format!("{}{}", self.stem(kind), date(day))
    }

    /// All indices of a kind, as a pattern.
    pub fn pattern(&self, kind: Daily) -> String {
        format!("{}*", self.stem(kind))
    }

    /// The day of an index; `None` where it is none of a kind.
    pub fn day(&self, kind: Daily, index: &str) -> Option<Day> {
        day_of(index.strip_prefix(self.stem(kind).as_str())?)
    }

    fn stem(&self, kind: Daily) -> String {
        let kind = match kind {
            Daily::Events => "events-",
            Daily::Visitors => "visitors-",
        };
        format!("{}{kind}", self.prefix)
    }

    /// First events of users.
    pub fn users(&self) -> String {
        format!("{}users", self.prefix)
    }

    /// Follows and unfollows.
    pub fn follows(&self) -> String {
        format!("{}follows", self.prefix)
    }

    /// Names that apps have sent.
    pub fn names(&self) -> String {
        format!("{}names", self.prefix)
    }

    /// The name of the template behind indices of a kind.
    pub fn template(&self, kind: &str) -> String {
        format!("{}{kind}", self.prefix)
    }
}

/// `YYYY.MM.DD` of a day of the proleptic Gregorian calendar. Algorithm:
/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// `civil_from_days`.
fn date(day: Day) -> String {
    let shifted = i64::from(day.0) + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}.{month:02}.{date:02}")
}

/// The day of a date as [`date`] writes it; the same source, `days_from_civil`.
fn day_of(text: &str) -> Option<Day> {
    let mut parts = text.split('.').map(|part| part.parse::<i64>().ok());
    let (year, month, of_month) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || !(1..=12).contains(&month) || year.abs() > 1_000_000 {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted_month + 2) / 5 + of_month - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    let day = Day(i32::try_from(era * 146_097 + of_era - 719_468).ok()?);
    // Only what is spelled as it would be written: there is one index a day.
    (date(day) == text).then_some(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_has_its_date() {
        for (day, text) in
            [(0, "1970.01.01"), (-1, "1969.12.31"), (20_758, "2026.11.01"), (19_782, "2024.02.29")]
        {
            assert_eq!(date(Day(day)), text);
        }
        for day in (-1_000_000..3_000_000).step_by(997) {
            assert_eq!(day_of(&date(Day(day))), Some(Day(day)));
        }
    }

    #[test]
    fn only_daily_indices_have_a_day() {
        let indices = Indices::new("a-");
        let name = indices.daily(Daily::Events, Day(20_758));
        assert_eq!(name, "a-events-2026.11.01");
        assert_eq!(indices.day(Daily::Events, &name), Some(Day(20_758)));
        assert_eq!(indices.day(Daily::Visitors, &name), None);
        for other in ["a-events-2026.02.30", "a-events-2026.1.1", "a-events-", "events-2026.11.01"]
        {
            assert_eq!(indices.day(Daily::Events, other), None, "{other}");
        }
    }
}
