//! A civil calendar counted out, and four time zones by hand.

pub const DAY_MS: i64 = 86_400_000;
pub const MINUTE_MS: i64 = 60_000;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Zone {
    Utc,
    Shanghai,
    Kathmandu,
    NewYork,
}

impl Zone {
    pub fn name(self) -> &'static str {
        match self {
            Zone::Utc => "UTC",
            Zone::Shanghai => "Asia/Shanghai",
            Zone::Kathmandu => "Asia/Kathmandu",
            Zone::NewYork => "America/New_York",
        }
    }

    /// Minutes ahead of UTC. New York in 2026: daylight time from March 8,
    /// 07:00 UTC, to November 1, 06:00 UTC.
    pub fn offset_min(self, time: i64) -> i64 {
        let from = days_to(2026, 3, 8) * DAY_MS + 7 * 60 * MINUTE_MS;
        let to = days_to(2026, 11, 1) * DAY_MS + 6 * 60 * MINUTE_MS;
        match self {
            Zone::Utc => 0,
            Zone::Shanghai => 480,
            Zone::Kathmandu => 345,
            Zone::NewYork if time >= from && time < to => -240,
            Zone::NewYork => -300,
        }
    }

    pub fn local_min(self, time: i64) -> i64 {
        time.div_euclid(MINUTE_MS) + self.offset_min(time)
    }

    pub fn day(self, time: i64) -> i64 {
        self.local_min(time).div_euclid(1_440)
    }

    /// The first millisecond of a local day.
    pub fn day_start(self, day: i64) -> i64 {
        let mut time = day * DAY_MS - 840 * MINUTE_MS;
        while self.day(time) < day {
            time += 15 * MINUTE_MS;
        }
        time
    }
}

/// Days from 1970-01-01, counted year by year and month by month.
pub const fn days_to(year: i64, month: i64, date: i64) -> i64 {
    let (mut days, mut y, mut m) = (0, 1970, 1);
    while y < year {
        days += if leap(y) { 366 } else { 365 };
        y += 1;
    }
    while m < month {
        days += month_days(year, m);
        m += 1;
    }
    days + date - 1
}

const fn leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + leap(year) as i64,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Year, month and date of a day.
pub fn civil(day: i64) -> (i64, i64, i64) {
    let (mut year, mut month, mut left) = (1970, 1, day);
    while left >= if leap(year) { 366 } else { 365 } {
        left -= if leap(year) { 366 } else { 365 };
        year += 1;
    }
    while left >= month_days(year, month) {
        left -= month_days(year, month);
        month += 1;
    }
    (year, month, left + 1)
}
