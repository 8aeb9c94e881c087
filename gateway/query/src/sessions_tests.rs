//! Sessions as a table: events of one user in, sessions out.

use sluice_seams::question::Visit;

use super::{Session, cut};

/// `(second, name, path)`; a path only where there is one.
type Step = (i64, &'static str, &'static str);
/// `(start, foreground, page views, distinct pages)`, in seconds.
type Wanted = (i64, i64, u64, u64);

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;

fn visits(user: u128, steps: &[Step]) -> Vec<Visit> {
    steps
        .iter()
        .enumerate()
        .map(|(n, (second, name, path))| Visit {
            user,
            time_ms: second * 1_000,
            key: n as u128,
            name: (*name).into(),
            fields: vec![(!path.is_empty()).then(|| (*path).into())],
        })
        .collect()
}

fn short(session: &Session) -> Wanted {
    let Session { start_ms, foreground_ms, page_views, pages, .. } = session;
    (start_ms / 1_000, foreground_ms / 1_000, *page_views, *pages)
}

#[track_caller]
fn check(steps: &[Step], wanted: &[Wanted]) {
    let sessions = cut(&visits(1, steps), -HOUR * 1_000);
    assert_eq!(sessions.iter().map(short).collect::<Vec<_>>(), wanted, "{steps:?}");
}

#[test]
fn show_to_hide() {
    check(
        &[(0, "app_show", ""), (1, "page_view", "a"), (9, "page_view", "b"), (20, "app_hide", "")],
        &[(0, 20, 2, 2)],
    );
}

#[test]
fn hidden_for_30_seconds_begins_another() {
    check(
        &[(0, "app_show", ""), (10, "app_hide", ""), (39, "app_show", ""), (50, "app_hide", "")],
        &[(0, 21, 0, 0)],
    );
    check(
        &[(0, "app_show", ""), (10, "app_hide", ""), (40, "app_show", ""), (50, "app_hide", "")],
        &[(0, 10, 0, 0), (40, 10, 0, 0)],
    );
    // A show answers the hide: a second show is no return.
    check(
        &[(0, "app_show", ""), (10, "app_hide", ""), (20, "app_show", ""), (60, "app_show", "")],
        &[(0, 50, 0, 0)],
    );
    // Only a show brings the app back; what runs in the background does not.
    check(
        &[(0, "app_show", ""), (10, "app_hide", ""), (50, "request", ""), (70, "app_show", "")],
        &[(0, 10, 0, 0), (70, 0, 0, 0)],
    );
}

#[test]
fn idle_for_30_minutes_begins_another() {
    check(
        &[(0, "page_view", "a"), (30 * MINUTE - 1, "page_view", "a")],
        &[(0, 30 * MINUTE - 1, 2, 1)],
    );
    check(
        &[(0, "page_view", "a"), (30 * MINUTE, "page_view", "a")],
        &[(0, 0, 1, 1), (30 * MINUTE, 0, 1, 1)],
    );
}

#[test]
fn a_missing_hide_counts_to_the_last_event() {
    check(&[(0, "app_show", ""), (5, "page_view", "a"), (65, "click", "a")], &[(0, 65, 1, 1)]);
    check(&[(0, "app_hide", "")], &[(0, 0, 0, 0)]);
    check(&[(0, "page_view", "")], &[(0, 0, 1, 0)]);
}

#[test]
fn a_session_ends_after_a_day() {
    let steps: Vec<Step> = (0..=96).map(|n| (n * 20 * MINUTE, "click", "")).collect();
    let day = 24 * HOUR;
    check(&steps, &[(0, day - 20 * MINUTE, 0, 0), (day, 8 * HOUR, 0, 0)]);
}

#[test]
fn users_do_not_mix() {
    let mut both = visits(1, &[(0, "app_show", ""), (5, "app_hide", "")]);
    both.extend(visits(2, &[(6, "page_view", "a")]));
    let sessions = cut(&both, -HOUR * 1_000);
    assert_eq!(sessions.iter().map(|session| session.user).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_beginning_that_cannot_be_seen_is_uncertain() {
    let near_edge = [(10 * MINUTE, "click", ""), (20 * MINUTE, "click", ""), (HOUR, "click", "")];
    let sessions = cut(&visits(1, &near_edge), 0);
    assert_eq!(sessions.iter().map(|session| session.certain).collect::<Vec<_>>(), [false, true]);
    // Cut by length only, the next one begins where the first was cut.
    let steps: Vec<Step> = (0..=96).map(|n| (n * 20 * MINUTE, "click", "")).collect();
    let sessions = cut(&visits(1, &steps), 0);
    assert_eq!(sessions.iter().map(|session| session.certain).collect::<Vec<_>>(), [false, false]);
}
