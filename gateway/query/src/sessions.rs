//! Sessions, cut out of one app's events in `(user, time, key)` order.
//!
//! A session begins with the first event after 30 minutes without one, with an
//! `app_show` that follows an `app_hide` after 30 seconds or more, and 24 hours
//! after it began. The last rule bounds how far beyond a range one has to look.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sluice_seams::question::Visit;

use crate::rows::{Cell, Grouping, RowKey};

/// Without an event for this long a session is over, milliseconds.
pub const IDLE_MS: i64 = 30 * 60_000;
/// Hidden for this long a session is over, milliseconds.
pub const HIDDEN_MS: i64 = 30_000;
/// The longest a session lasts, milliseconds.
pub const SESSION_MS_MAX: i64 = 24 * 3_600_000;
/// How far before a range one has to look to know what session is in progress.
pub const MARGIN_MS: i64 = SESSION_MS_MAX + IDLE_MS;

/// What is measured over sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionMeasure {
    /// Number of sessions.
    Count,
    /// Foreground seconds over distinct users.
    StayPerUser,
    /// Foreground seconds over sessions.
    StayPerSession,
    /// Distinct page paths over sessions.
    Depth,
    /// Sessions with exactly one page view over sessions.
    BounceRate,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Whose it is.
    pub user: u128,
    /// Its first event's place in the visits.
    pub first: usize,
    /// Time of its first event, milliseconds.
    pub start_ms: i64,
    /// Time of its last event, milliseconds.
    pub last_ms: i64,
    /// Time in the foreground, milliseconds.
    pub foreground_ms: i64,
    /// Number of `page_view` events.
    pub page_views: u64,
    /// Number of distinct page paths among them.
    pub pages: u64,
    /// Whether it is known to begin here: false where its user was active without
    /// a pause since before the visits begin.
    pub certain: bool,
}

/// A session as it grows.
struct Open {
    session: Session,
    foreground_since_ms: Option<i64>,
    hidden_since_ms: Option<i64>,
    paths: HashSet<Arc<str>>,
}

/// Sums over sessions.
#[derive(Debug, Default)]
pub struct Tally {
    sessions: u64,
    users: HashSet<u128>,
    foreground_ms: i64,
    pages: u64,
    bounces: u64,
}

/// Cuts sessions. The first field of each visit is its page's path;
/// `view_from_ms` is where the visits begin.
pub fn cut(visits: &[Visit], view_from_ms: i64) -> Vec<Session> {
    let mut sessions = Vec::new();
    let mut open: Option<Open> = None;
    for (n, visit) in visits.iter().enumerate() {
        let certain = match &open {
            Some(current) if current.session.user == visit.user => current.ends_before(visit),
            _ => Some(visit.time_ms >= view_from_ms + IDLE_MS),
        };
        if let Some(certain) = certain {
            sessions.extend(open.take().map(Open::close));
            open = Some(Open::begin(n, visit, certain));
        }
        if let Some(current) = &mut open {
            current.take(visit);
        }
    }
    sessions.extend(open.map(Open::close));
    sessions
}

/// Sums the sessions that begin within the grouping's buckets and whose first
/// event `picked` lets through.
pub fn tally(
    visits: &[Visit],
    sessions: &[Session],
    grouping: &Grouping,
    picked: impl Fn(u128) -> bool,
) -> HashMap<RowKey, Tally> {
    let mut tallies: HashMap<RowKey, Tally> = HashMap::new();
    for session in sessions {
        let Some(bucket) = grouping.buckets.index(session.start_ms) else { continue };
        let first = &visits[session.first];
        if !picked(first.key) {
            continue;
        }
        let tally = tallies.entry(grouping.key(bucket, &first.fields[1..])).or_default();
        tally.sessions += 1;
        tally.users.insert(session.user);
        tally.foreground_ms += session.foreground_ms;
        tally.pages += session.pages;
        tally.bounces += u64::from(session.page_views == 1);
    }
    tallies
}

// === impl Open ===

impl Open {
    fn begin(first: usize, visit: &Visit, certain: bool) -> Self {
        let session = Session {
            user: visit.user,
            first,
            start_ms: visit.time_ms,
            last_ms: visit.time_ms,
            foreground_ms: 0,
            page_views: 0,
            pages: 0,
            certain,
        };
        // What a page reports it reports from the foreground.
        let foreground_since_ms = Some(visit.time_ms);
        Self { session, foreground_since_ms, hidden_since_ms: None, paths: HashSet::new() }
    }

    /// Whether the next event of the same user begins another session, and if so
    /// whether that is certain.
    fn ends_before(&self, next: &Visit) -> Option<bool> {
        let hidden = |since: i64| next.time_ms - since >= HIDDEN_MS;
        if next.time_ms - self.session.last_ms >= IDLE_MS
            || (&*next.name == "app_show" && self.hidden_since_ms.is_some_and(hidden))
        {
            return Some(true);
        }
        (next.time_ms - self.session.start_ms >= SESSION_MS_MAX).then_some(self.session.certain)
    }

    fn take(&mut self, visit: &Visit) {
        self.session.last_ms = visit.time_ms;
        match &*visit.name {
            "app_show" => {
                self.hidden_since_ms = None;
                self.foreground_since_ms.get_or_insert(visit.time_ms);
            }
            "app_hide" => {
                self.hidden_since_ms = Some(visit.time_ms);
                self.leave_foreground(visit.time_ms);
            }
            "page_view" => {
                self.session.page_views += 1;
                if let Some(Some(path)) = visit.fields.first() {
                    self.paths.insert(path.clone());
                }
            }
            _ => {}
        }
    }

    fn leave_foreground(&mut self, at_ms: i64) {
        if let Some(since_ms) = self.foreground_since_ms.take() {
            self.session.foreground_ms += at_ms - since_ms;
        }
    }

    fn close(mut self) -> Session {
        self.leave_foreground(self.session.last_ms);
        self.session.pages = self.paths.len() as u64;
        self.session
    }
}

// === impl Tally ===

impl Tally {
    /// The value of one measure.
    pub fn cell(&self, measure: SessionMeasure) -> Cell {
        let seconds = self.foreground_ms as f64 / 1_000.0;
        match measure {
            SessionMeasure::Count => Cell::Whole(self.sessions),
            SessionMeasure::StayPerUser => Cell::mean(seconds, self.users.len() as u64),
            SessionMeasure::StayPerSession => Cell::mean(seconds, self.sessions),
            SessionMeasure::Depth => Cell::mean(self.pages as f64, self.sessions),
            SessionMeasure::BounceRate => Cell::mean(self.bounces as f64, self.sessions),
        }
    }
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
