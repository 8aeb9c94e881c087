//! The metrics once more, written from their definitions alone.

use std::collections::{HashMap, HashSet};

use crate::common::NOW_MS;
use crate::days::{DAY_MS, MINUTE_MS, Zone, civil, days_to};

/// Metrics that are 0, not null, where there is nothing.
pub const COUNTS: &[&str] = &[
    "visit_pv",
    "visit_uv",
    "event_count",
    "event_users",
    "share_pv",
    "share_uv",
    "session_cnt",
    "visit_uv_new",
    "visit_total",
    "followers",
    "follow_new",
    "follow_lost",
];

/// One event.
pub struct Ev {
    pub id: String,
    pub user: String,
    pub device: String,
    pub time: i64,
    pub name: &'static str,
    pub kind: &'static str,
    pub env: &'static str,
    pub platform: Option<&'static str>,
    pub path: Option<&'static str>,
    pub plans: &'static [&'static str],
    pub status: Option<i64>,
}

pub type Key = Vec<Option<String>>;

/// Days, both included, as `(year, month, day)`.
#[derive(Clone, Copy)]
pub struct Span {
    pub from: (i64, i64, i64),
    pub to: (i64, i64, i64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pick {
    Release,
    ReleaseJd,
    Trial,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Dim {
    Hour,
    Day,
    Week,
    Month,
    Platform,
    Path,
    Plan,
}

impl Dim {
    pub fn name(self) -> &'static str {
        match self {
            Dim::Hour => "time:hour",
            Dim::Day => "time:day",
            Dim::Week => "time:week",
            Dim::Month => "time:month",
            Dim::Platform => "platform",
            Dim::Path => "page.path",
            Dim::Plan => "properties.plan",
        }
    }

    fn is_time(self) -> bool {
        matches!(self, Dim::Hour | Dim::Day | Dim::Week | Dim::Month)
    }

    /// The label of a local day.
    fn day_label(self, day: i64) -> String {
        let (year, month, date) = civil(match self {
            // Day 0 was a Thursday.
            Dim::Week => day - (day + 3).rem_euclid(7),
            _ => day,
        });
        match self {
            Dim::Month => format!("{year:04}-{month:02}"),
            _ => format!("{year:04}-{month:02}-{date:02}"),
        }
    }

    fn label(self, zone: Zone, time: i64) -> String {
        if self != Dim::Hour {
            return self.day_label(zone.day(time));
        }
        let (offset, hour) =
            (zone.offset_min(time), zone.local_min(time).div_euclid(60).rem_euclid(24));
        let (sign, away) = (if offset < 0 { '-' } else { '+' }, offset.abs());
        let day = Dim::Day.day_label(zone.day(time));
        format!("{day}T{hour:02}:00{sign}{:02}:{:02}", away / 60, away % 60)
    }
}

impl Pick {
    /// Whether the event exists at all.
    fn exists(self, ev: &Ev) -> bool {
        if self == Pick::Trial { ev.env == "trial" } else { ev.env != "trial" }
    }

    /// Whether an existing event counts.
    fn counts(self, ev: &Ev) -> bool {
        self != Pick::ReleaseJd || ev.platform == Some("jd")
    }
}

/// Row keys of an event: one for each combination of values.
fn keys(ev: &Ev, time: Option<String>, dims: &[Dim], first_only: bool) -> Vec<Key> {
    let mut keys: Vec<Key> = vec![Vec::new()];
    for dim in dims {
        let values: Vec<Option<String>> = match dim {
            Dim::Platform => vec![ev.platform.map(str::to_owned)],
            Dim::Path => vec![ev.path.map(str::to_owned)],
            Dim::Plan if ev.plans.is_empty() => vec![None],
            Dim::Plan if first_only => vec![Some(ev.plans[0].to_owned())],
            Dim::Plan => ev.plans.iter().map(|plan| Some((*plan).to_owned())).collect(),
            _ => vec![time.clone()],
        };
        keys = keys
            .into_iter()
            .flat_map(|key| {
                values.iter().map(move |value| [key.clone(), vec![value.clone()]].concat())
            })
            .collect();
    }
    keys
}

/// What a question looks at.
struct Look<'a> {
    events: &'a [Ev],
    zone: Zone,
    from: i64,
    to: i64,
    dims: &'a [Dim],
    pick: Pick,
}

/// The value of each row that has one.
pub fn metric(
    name: &str,
    events: &[Ev],
    zone: Zone,
    span: Span,
    dims: &[Dim],
    pick: Pick,
) -> HashMap<Key, f64> {
    let from = days_to(span.from.0, span.from.1, span.from.2);
    let to = days_to(span.to.0, span.to.1, span.to.2);
    let look = Look { events, zone, from, to, dims, pick };
    let track = |ev: &Ev, names: &[&str]| ev.kind == "track" && names.contains(&ev.name);
    match name {
        "visit_pv" => look.count(|ev| track(ev, &["page_view"])),
        "visit_uv" => look.users(|ev| track(ev, &["page_view", "app_show"])),
        "event_count" => look.count(|_| true),
        "event_users" => look.users(|_| true),
        "share_pv" => look.count(|ev| track(ev, &["share"])),
        "share_uv" => look.users(|ev| track(ev, &["share"])),
        "js_error_rate" => share(
            &look.count(|ev| ev.kind == "error" || track(ev, &["error"])),
            look.count(|ev| track(ev, &["app_launch"])),
        ),
        "request_success_rate" => {
            let request = |ev: &Ev| ev.kind == "request";
            let good = |ev: &Ev| ev.status.is_some_and(|status| (200..400).contains(&status));
            share(&look.count(|ev| request(ev) && good(ev)), look.count(request))
        }
        "visit_uv_new" => look.new_users(),
        "visit_total" => look.total_users(),
        "followers" => look.followers(),
        "follow_new" => look.changes("follow"),
        "follow_lost" => look.changes("unfollow"),
        _ => match name.strip_prefix("retention_") {
            Some(days) => look.retention(days.parse().expect("a number")),
            None => look.sessions(name),
        },
    }
}

fn share(of: &HashMap<Key, f64>, per: HashMap<Key, f64>) -> HashMap<Key, f64> {
    per.into_iter().map(|(key, per)| (key.clone(), of.get(&key).unwrap_or(&0.0) / per)).collect()
}

impl Look<'_> {
    fn time_dim(&self) -> Option<Dim> {
        self.dims.iter().copied().find(|dim| dim.is_time())
    }

    fn label(&self, time: i64) -> Option<String> {
        self.time_dim().map(|dim| dim.label(self.zone, time))
    }

    fn within(&self, time: i64) -> bool {
        (self.from..=self.to).contains(&self.zone.day(time))
    }

    /// Each bucket's label and its last day; for all but hours.
    fn buckets(&self) -> Vec<(Option<String>, i64)> {
        let mut buckets: Vec<(Option<String>, i64)> = Vec::new();
        for day in self.from..=self.to {
            let label = self.time_dim().map(|dim| dim.day_label(day));
            match buckets.last_mut().filter(|last| last.0 == label) {
                Some(last) => last.1 = day,
                None => buckets.push((label, day)),
            }
        }
        buckets
    }

    fn counted(&self, test: impl Fn(&Ev) -> bool) -> Vec<(Key, &Ev)> {
        let mut found = Vec::new();
        for ev in self.events {
            if self.pick.exists(ev) && self.pick.counts(ev) && self.within(ev.time) && test(ev) {
                for key in keys(ev, self.label(ev.time), self.dims, false) {
                    found.push((key, ev));
                }
            }
        }
        found
    }

    fn count(&self, test: impl Fn(&Ev) -> bool) -> HashMap<Key, f64> {
        let mut counts = HashMap::new();
        for (key, _) in self.counted(test) {
            *counts.entry(key).or_default() += 1.0;
        }
        counts
    }

    fn users(&self, test: impl Fn(&Ev) -> bool) -> HashMap<Key, f64> {
        let mut users: HashMap<Key, HashSet<&str>> = HashMap::new();
        for (key, ev) in self.counted(test) {
            users.entry(key).or_default().insert(&ev.user);
        }
        users.into_iter().map(|(key, users)| (key, users.len() as f64)).collect()
    }

    /// The first event of each user, whatever it is, where it counts.
    fn firsts(&self) -> Vec<&Ev> {
        let mut first: HashMap<&str, &Ev> = HashMap::new();
        for ev in self.events {
            let held = first.entry(&ev.user).or_insert(ev);
            if ev.time < held.time {
                *held = ev;
            }
        }
        first.into_values().filter(|ev| self.pick.exists(ev) && self.pick.counts(ev)).collect()
    }

    fn new_users(&self) -> HashMap<Key, f64> {
        let mut counts = HashMap::new();
        for ev in self.firsts().into_iter().filter(|ev| self.within(ev.time)) {
            for key in keys(ev, self.label(ev.time), self.dims, false) {
                *counts.entry(key).or_default() += 1.0;
            }
        }
        counts
    }

    fn total_users(&self) -> HashMap<Key, f64> {
        let mut counts = HashMap::new();
        for (label, last_day) in self.buckets() {
            for ev in self.firsts().into_iter().filter(|ev| self.zone.day(ev.time) <= last_day) {
                for key in keys(ev, label.clone(), self.dims, false) {
                    *counts.entry(key).or_default() += 1.0;
                }
            }
        }
        counts
    }

    /// Each user's existing events that pass, in order of time.
    fn histories(&self, test: impl Fn(&Ev) -> bool) -> Vec<Vec<&Ev>> {
        let mut histories: HashMap<&str, Vec<&Ev>> = HashMap::new();
        for ev in self.events.iter().filter(|ev| self.pick.exists(ev) && test(ev)) {
            histories.entry(&ev.user).or_default().push(ev);
        }
        let mut histories: Vec<Vec<&Ev>> = histories.into_values().collect();
        histories.iter_mut().for_each(|events| events.sort_by_key(|ev| ev.time));
        histories
    }

    fn follow_histories(&self) -> Vec<Vec<&Ev>> {
        self.histories(|ev| ev.kind == "track" && matches!(ev.name, "follow" | "unfollow"))
    }

    fn followers(&self) -> HashMap<Key, f64> {
        let mut counts = HashMap::new();
        for history in self.follow_histories() {
            for (label, last_day) in self.buckets() {
                let latest = history.iter().rev().find(|ev| self.zone.day(ev.time) <= last_day);
                let Some(ev) = latest else { continue };
                if ev.name == "follow" && self.pick.counts(ev) {
                    let key = keys(ev, label, self.dims, true).remove(0);
                    *counts.entry(key).or_default() += 1.0;
                }
            }
        }
        counts
    }

    fn changes(&self, to: &str) -> HashMap<Key, f64> {
        let mut users: HashMap<Key, HashSet<&str>> = HashMap::new();
        for history in self.follow_histories() {
            for (n, ev) in history.iter().enumerate() {
                let before = if n == 0 { "unfollow" } else { history[n - 1].name };
                if ev.name == to && before != to && self.within(ev.time) && self.pick.counts(ev) {
                    let key = keys(ev, self.label(ev.time), self.dims, true).remove(0);
                    users.entry(key).or_default().insert(&ev.user);
                }
            }
        }
        users.into_iter().map(|(key, users)| (key, users.len() as f64)).collect()
    }

    fn retention(&self, after: i64) -> HashMap<Key, f64> {
        let active: HashSet<(&str, i64)> = (self.events.iter())
            .filter(|ev| self.pick.exists(ev) && ev.kind == "track")
            .filter(|ev| matches!(ev.name, "app_show" | "page_view"))
            .map(|ev| (&*ev.user, self.zone.day(ev.time)))
            .collect();
        let (mut size, mut back): (HashMap<Key, f64>, HashMap<Key, f64>) = Default::default();
        for (label, last_day) in self.buckets() {
            if self.zone.day_start(last_day + after + 1) > NOW_MS {
                continue;
            }
            for ev in self.firsts() {
                if !self.within(ev.time) || self.label(ev.time) != label {
                    continue;
                }
                for key in keys(ev, label.clone(), self.dims, false) {
                    *size.entry(key.clone()).or_default() += 1.0;
                    if active.contains(&(&*ev.user, self.zone.day(ev.time) + after)) {
                        *back.entry(key).or_default() += 1.0;
                    }
                }
            }
        }
        share(&back, size)
    }

    fn sessions(&self, name: &str) -> HashMap<Key, f64> {
        let (mut sum, mut count): (HashMap<Key, f64>, HashMap<Key, f64>) = Default::default();
        let mut users: HashMap<Key, HashSet<&str>> = HashMap::new();
        for history in self.histories(|ev| ev.kind != "user_set") {
            for session in cut(&history) {
                let first = session[0];
                if !self.within(first.time) || !self.pick.counts(first) {
                    continue;
                }
                let views: Vec<_> = session.iter().filter(|ev| ev.name == "page_view").collect();
                let paths: HashSet<_> = views.iter().filter_map(|ev| ev.path).collect();
                let key = keys(first, self.label(first.time), self.dims, true).remove(0);
                *count.entry(key.clone()).or_default() += 1.0;
                users.entry(key.clone()).or_default().insert(&first.user);
                *sum.entry(key).or_default() += match name {
                    "visit_depth" => paths.len() as f64,
                    "bounce_rate" => f64::from(u8::from(views.len() == 1)),
                    _ => foreground_s(session),
                };
            }
        }
        let users = users.into_iter().map(|(key, users)| (key, users.len() as f64)).collect();
        match name {
            "session_cnt" => count,
            "stay_time_uv" => share(&sum, users),
            _ => share(&sum, count),
        }
    }
}

/// Cuts one user's events where a session begins.
fn cut<'a, 'e>(history: &'a [&'e Ev]) -> Vec<&'a [&'e Ev]> {
    let (mut sessions, mut start) = (Vec::new(), 0);
    for n in 1..history.len() {
        let turns = history[start..n].iter().rev();
        let turn = turns.clone().find(|ev| matches!(ev.name, "app_show" | "app_hide"));
        let away =
            turn.filter(|ev| ev.name == "app_hide").map_or(0, |ev| history[n].time - ev.time);
        let back = history[n].name == "app_show" && away >= 30_000;
        let idle = history[n].time - history[n - 1].time >= 30 * MINUTE_MS;
        if back || idle || history[n].time - history[start].time >= DAY_MS {
            sessions.push(&history[start..n]);
            start = n;
        }
    }
    sessions.push(&history[start..]);
    sessions
}

/// Sums the gaps after which the app was still in front.
fn foreground_s(session: &[&Ev]) -> f64 {
    let (mut front, mut sum) = (true, 0);
    for pair in session.windows(2) {
        match pair[0].name {
            "app_show" => front = true,
            "app_hide" => front = false,
            _ => {}
        }
        if front {
            sum += pair[1].time - pair[0].time;
        }
    }
    sum as f64 / 1_000.0
}
