//! Calendars of real time zones, both ways through daylight saving.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Buckets, CalendarError, HOUR_MS, TimeUnit};

fn ms(text: &str) -> i64 {
    text.parse::<Timestamp>().expect("a time").as_millisecond()
}

fn buckets(unit: TimeUnit, from: &str, to: &str, tz: &str) -> Buckets {
    let tz = TimeZone::get(tz).expect("a time zone");
    unit.buckets(ms(from), ms(to), &tz).expect("in range")
}

fn hours(buckets: &Buckets) -> Vec<i64> {
    buckets.edges.windows(2).map(|edge| (edge[1] - edge[0]) / HOUR_MS).collect()
}

#[test]
fn shanghai_days_begin_at_sixteen_hours_utc() {
    let days = buckets(TimeUnit::Day, "2026-10-31T16:00Z", "2026-11-02T16:00Z", "Asia/Shanghai");
    assert_eq!(days.labels, ["2026-11-01", "2026-11-02"]);
    assert_eq!(hours(&days), [24, 24]);
    assert_eq!(days.index(ms("2026-11-01T15:59:59.999Z")), Some(0));
    assert_eq!(days.index(ms("2026-11-01T16:00Z")), Some(1));
    assert_eq!(days.index(ms("2026-11-02T16:00Z")), None);
    assert_eq!(days.index(ms("2026-10-31T15:59Z")), None);
}

#[test]
fn days_have_23_and_25_hours() {
    let spring =
        buckets(TimeUnit::Day, "2026-03-07T05:00Z", "2026-03-10T04:00Z", "America/New_York");
    assert_eq!(spring.labels, ["2026-03-07", "2026-03-08", "2026-03-09"]);
    assert_eq!(hours(&spring), [24, 23, 24]);
    let autumn =
        buckets(TimeUnit::Day, "2026-10-31T04:00Z", "2026-11-03T05:00Z", "America/New_York");
    assert_eq!(hours(&autumn), [24, 25, 24]);
    let berlin = buckets(TimeUnit::Day, "2026-03-28T23:00Z", "2026-03-29T22:00Z", "Europe/Berlin");
    assert_eq!(hours(&berlin), [23]);
    let berlin = buckets(TimeUnit::Day, "2026-10-24T22:00Z", "2026-10-25T23:00Z", "Europe/Berlin");
    assert_eq!(hours(&berlin), [25]);
}

#[test]
fn the_hour_that_comes_twice_has_two_labels() {
    let night =
        buckets(TimeUnit::Hour, "2026-11-01T04:00Z", "2026-11-01T08:00Z", "America/New_York");
    assert_eq!(
        night.labels,
        [
            "2026-11-01T00:00-04:00",
            "2026-11-01T01:00-04:00",
            "2026-11-01T01:00-05:00",
            "2026-11-01T02:00-05:00"
        ]
    );
    let spring = buckets(TimeUnit::Hour, "2026-03-29T00:00Z", "2026-03-29T02:00Z", "Europe/Berlin");
    assert_eq!(spring.labels, ["2026-03-29T01:00+01:00", "2026-03-29T03:00+02:00"]);
}

#[test]
fn hours_follow_the_local_clock_where_offsets_are_not_whole() {
    let kathmandu =
        buckets(TimeUnit::Hour, "2026-01-01T00:00Z", "2026-01-01T01:30Z", "Asia/Kathmandu");
    assert_eq!(
        kathmandu.labels,
        ["2026-01-01T05:00+05:45", "2026-01-01T06:00+05:45", "2026-01-01T07:00+05:45"]
    );
    assert_eq!(kathmandu.edges[1], ms("2026-01-01T00:15Z"));
    // Lord Howe moves by half an hour: one bucket of 30 minutes re-aligns.
    let lord_howe =
        buckets(TimeUnit::Hour, "2026-10-03T14:30Z", "2026-10-03T17:00Z", "Australia/Lord_Howe");
    assert_eq!(
        lord_howe.labels,
        ["2026-10-04T01:00+10:30", "2026-10-04T02:30+11:00", "2026-10-04T03:00+11:00"]
    );
}

#[test]
fn weeks_begin_on_monday_and_are_cut_to_the_range() {
    let weeks = buckets(TimeUnit::Week, "2026-11-03T16:00Z", "2026-11-20T16:00Z", "Asia/Shanghai");
    assert_eq!(weeks.labels, ["2026-11-02", "2026-11-09", "2026-11-16"]);
    assert_eq!(weeks.edges[0], ms("2026-11-03T16:00Z"));
    assert_eq!(weeks.edges[1], ms("2026-11-08T16:00Z"));
    assert_eq!(weeks.edges[3], ms("2026-11-20T16:00Z"));
}

#[test]
fn months_have_their_own_lengths() {
    let months = buckets(TimeUnit::Month, "2026-01-15T00:00Z", "2026-04-01T00:00Z", "UTC");
    assert_eq!(months.labels, ["2026-01", "2026-02", "2026-03"]);
    assert_eq!(months.edges[1], ms("2026-02-01T00:00Z"));
    assert_eq!(months.edges[2], ms("2026-03-01T00:00Z"));
}

#[test]
fn a_midnight_or_a_day_that_does_not_exist() {
    // Cairo skips 00:00 on 2026-04-24: the day begins at 01:00.
    let cairo = buckets(TimeUnit::Day, "2026-04-22T22:00Z", "2026-04-24T21:00Z", "Africa/Cairo");
    assert_eq!(cairo.labels, ["2026-04-23", "2026-04-24"]);
    assert_eq!(hours(&cairo), [24, 23]);
    // Apia left out 2011-12-30.
    let apia = buckets(TimeUnit::Day, "2011-12-29T10:00Z", "2011-12-31T10:00Z", "Pacific/Apia");
    assert_eq!(apia.labels, ["2011-12-29", "2011-12-31"]);
}

#[test]
fn buckets_are_bounded() {
    let minutes = TimeUnit::Minute.buckets(0, 365 * 24 * HOUR_MS, &TimeZone::UTC);
    assert_eq!(minutes, Err(CalendarError::TooMany));
    assert_eq!(
        TimeUnit::Day.buckets(i64::MAX - 1, i64::MAX, &TimeZone::UTC),
        Err(CalendarError::OutOfRange)
    );
}
