//! The metrics from their definitions alone: plain loops over what was sent,
//! a fixed offset for the zone, one dimension at most.

use std::collections::{BTreeMap, BTreeSet};

use crate::world::{DAY_MS, Ev};

/// What a question looks at. Days count from 1970-01-01 in the zone, both ends
/// included.
pub struct Look<'a> {
    pub events: &'a [Ev],
    pub offset_ms: i64,
    pub from_day: i64,
    pub to_day: i64,
    /// `""`: none.
    pub dimension: &'static str,
    pub env: &'static str,
    pub now_ms: i64,
}

/// Values by label; the label is `null` where there is no value.
pub type Answer = BTreeMap<Option<String>, f64>;
type Sets<'a> = BTreeMap<Option<String>, BTreeSet<&'a str>>;

/// Year, month, day of a day number (Howard Hinnant's `civil_from_days`).
pub fn date(day: i64) -> String {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (d, m) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let y = yoe + era * 400 + i64::from(m <= 2);
    format!("{y:04}-{m:02}-{d:02}")
}

/// Whether a metric is null, not 0, where there is nothing.
pub fn is_mean(metric: &str) -> bool {
    metric.ends_with("_rate")
        || metric.starts_with("retention_")
        || metric.starts_with("stay_")
        || metric == "visit_depth"
}

fn visit(ev: &Ev) -> bool {
    ev.kind == "track" && matches!(ev.name, "app_show" | "page_view")
}

fn deed(ev: &Ev) -> bool {
    !ev.kind.starts_with("user_")
}

fn per(over: &Answer, under: Answer) -> Answer {
    let share = |label: &Option<String>, n: f64| over.get(label).copied().unwrap_or(0.0) / n;
    under.into_iter().map(|(label, n)| (label.clone(), share(&label, n))).collect()
}

fn sizes(sets: Sets<'_>) -> Answer {
    sets.into_iter().map(|(label, set)| (label, set.len() as f64)).collect()
}

impl<'a> Look<'a> {
    pub fn day(&self, time_ms: i64) -> i64 {
        (time_ms + self.offset_ms).div_euclid(DAY_MS)
    }

    fn within(&self, ev: &Ev) -> bool {
        (self.from_day..=self.to_day).contains(&self.day(ev.time_ms))
    }

    /// Labels of an event; those of a state at the end of `day`.
    fn labels(&self, ev: &Ev, day: i64) -> Vec<Option<String>> {
        let one = |text: Option<&str>| vec![text.map(str::to_owned)];
        match self.dimension {
            "" => vec![None],
            "time:day" => vec![Some(date(day))],
            "platform" => one(Some(ev.platform)),
            "name" => one(Some(ev.name)),
            "page.path" => one(ev.path),
            "properties.sku" => one(ev.sku.as_deref()),
            "properties.tags" if ev.tags.is_empty() => one(None),
            "properties.tags" => ev.tags.iter().map(|tag| Some((*tag).to_owned())).collect(),
            other => panic!("the oracle does not know {other}"),
        }
    }

    /// The days at whose end a state is told.
    fn closings(&self) -> Vec<i64> {
        match self.dimension {
            "time:day" => (self.from_day..=self.to_day).collect(),
            _ => vec![self.to_day],
        }
    }

    fn of_env(&self) -> impl Iterator<Item = &'a Ev> + '_ {
        self.events.iter().filter(|ev| ev.env == self.env)
    }

    fn counted(
        &self,
        test: impl Fn(&Ev) -> bool,
    ) -> impl Iterator<Item = (Option<String>, &'a Ev)> {
        let found = self.of_env().filter(|ev| self.within(ev) && test(ev));
        let found = found.flat_map(|ev| {
            self.labels(ev, self.day(ev.time_ms)).into_iter().map(move |label| (label, ev))
        });
        found.collect::<Vec<_>>().into_iter()
    }

    fn count(&self, test: impl Fn(&Ev) -> bool) -> Answer {
        let mut answer = Answer::new();
        self.counted(test).for_each(|(label, _)| *answer.entry(label).or_default() += 1.0);
        answer
    }

    fn users(&self, test: impl Fn(&Ev) -> bool) -> Answer {
        let mut sets = Sets::new();
        self.counted(test).for_each(|(label, ev)| {
            sets.entry(label).or_default().insert(ev.who());
        });
        sizes(sets)
    }

    /// The first thing that each user did in a release.
    fn firsts(&self) -> Vec<&'a Ev> {
        let mut firsts: BTreeMap<&str, &Ev> = BTreeMap::new();
        for ev in self.events.iter().filter(|ev| ev.env == "release" && deed(ev)) {
            let held = firsts.entry(ev.who()).or_insert(ev);
            if ev.time_ms < held.time_ms {
                *held = ev;
            }
        }
        firsts.into_values().filter(|ev| ev.env == self.env).collect()
    }

    fn histories(&self, test: impl Fn(&Ev) -> bool) -> BTreeMap<&'a str, Vec<&'a Ev>> {
        let mut histories: BTreeMap<&str, Vec<&Ev>> = BTreeMap::new();
        for ev in self.of_env().filter(|ev| test(ev)) {
            histories.entry(ev.who()).or_default().push(ev);
        }
        histories.values_mut().for_each(|events| events.sort_by_key(|ev| ev.time_ms));
        histories
    }

    fn follows(&self) -> BTreeMap<&'a str, Vec<&'a Ev>> {
        self.histories(|ev| ev.kind == "track" && matches!(ev.name, "follow" | "unfollow"))
    }

    fn followers(&self) -> Answer {
        let mut answer = Answer::new();
        for history in self.follows().into_values() {
            for closing in self.closings() {
                let latest = history.iter().rev().find(|ev| self.day(ev.time_ms) <= closing);
                if let Some(ev) = latest.filter(|ev| ev.name == "follow") {
                    let label = self.labels(ev, closing).remove(0);
                    *answer.entry(label).or_default() += 1.0;
                }
            }
        }
        answer
    }

    fn turns(&self, to: &str) -> Answer {
        let mut sets = Sets::new();
        for (user, history) in self.follows() {
            let mut state = "unfollow";
            for ev in history {
                if ev.name == to && state != to && self.within(ev) {
                    let label = self.labels(ev, self.day(ev.time_ms)).remove(0);
                    sets.entry(label).or_default().insert(user);
                }
                state = ev.name;
            }
        }
        sizes(sets)
    }

    fn new_users(&self) -> Answer {
        let mut answer = Answer::new();
        for ev in self.firsts().into_iter().filter(|ev| self.within(ev)) {
            for label in self.labels(ev, self.day(ev.time_ms)) {
                *answer.entry(label).or_default() += 1.0;
            }
        }
        answer
    }

    fn all_users(&self) -> Answer {
        let mut answer = Answer::new();
        for closing in self.closings() {
            for ev in self.firsts().into_iter().filter(|ev| self.day(ev.time_ms) <= closing) {
                for label in self.labels(ev, closing) {
                    *answer.entry(label).or_default() += 1.0;
                }
            }
        }
        answer
    }

    fn retention(&self, after: i64) -> Answer {
        let active: BTreeSet<(&str, i64)> = self
            .of_env()
            .filter(|ev| visit(ev))
            .map(|ev| (ev.who(), self.day(ev.time_ms)))
            .collect();
        let (mut cohort, mut back) = (Answer::new(), Answer::new());
        for ev in self.firsts().into_iter().filter(|ev| self.within(ev)) {
            let day = self.day(ev.time_ms);
            let last = if self.dimension == "time:day" { day } else { self.to_day };
            if (last + after + 1) * DAY_MS - self.offset_ms > self.now_ms {
                continue;
            }
            for label in self.labels(ev, day) {
                *cohort.entry(label.clone()).or_default() += 1.0;
                let returned = active.contains(&(ev.who(), day + after));
                *back.entry(label).or_default() += f64::from(u8::from(returned));
            }
        }
        per(&back, cohort)
    }

    fn sessions(&self, metric: &str) -> Answer {
        let (mut sum, mut count, mut users) = (Answer::new(), Answer::new(), Sets::new());
        for (user, history) in self.histories(deed) {
            for session in sessions_of(&history) {
                let first = session[0];
                if !self.within(first) {
                    continue;
                }
                let label = self.labels(first, self.day(first.time_ms)).remove(0);
                let views: Vec<_> = session
                    .iter()
                    .filter(|ev| ev.kind == "track" && ev.name == "page_view")
                    .collect();
                let paths: BTreeSet<_> = views.iter().filter_map(|ev| ev.path).collect();
                *count.entry(label.clone()).or_default() += 1.0;
                users.entry(label.clone()).or_default().insert(user);
                *sum.entry(label).or_default() += match metric {
                    "visit_depth" => paths.len() as f64,
                    "bounce_rate" => f64::from(u8::from(views.len() == 1)),
                    _ => foreground_ms(session) as f64 / 1_000.0,
                };
            }
        }
        match metric {
            "session_cnt" => count,
            "stay_time_uv" => per(&sum, sizes(users)),
            _ => per(&sum, count),
        }
    }

    /// The answer to one metric.
    pub fn answer(&self, metric: &str) -> Answer {
        let named = |name: &'static str| move |ev: &Ev| ev.kind == "track" && ev.name == name;
        let kind = |name: &'static str| move |ev: &Ev| ev.kind == name || named(name)(ev);
        let good = |ev: &Ev| ev.status.is_some_and(|status| (200..400).contains(&status));
        match metric {
            "visit_pv" => self.count(named("page_view")),
            "visit_uv" => self.users(visit),
            "visit_uv_new" => self.new_users(),
            "visit_total" => self.all_users(),
            "followers" => self.followers(),
            "follow_new" => self.turns("follow"),
            "follow_lost" => self.turns("unfollow"),
            "event_count" => self.count(|_| true),
            "event_users" => self.users(|_| true),
            "share_pv" => self.count(named("share")),
            "share_uv" => self.users(named("share")),
            "js_error_rate" => per(&self.count(kind("error")), self.count(named("app_launch"))),
            "request_success_rate" => {
                let succeeded = self.count(|ev| kind("request")(ev) && good(ev));
                per(&succeeded, self.count(kind("request")))
            }
            "session_cnt" | "stay_time_uv" | "stay_time_session" | "visit_depth"
            | "bounce_rate" => self.sessions(metric),
            _ => {
                let days = metric.strip_prefix("retention_").and_then(|days| days.parse().ok());
                self.retention(days.unwrap_or_else(|| panic!("no oracle for {metric}")))
            }
        }
    }
}

/// Where a user's events are cut: 30 minutes of nothing, `app_show` 30 seconds
/// or more after `app_hide`, 24 hours.
fn sessions_of<'a, 'e>(history: &'a [&'e Ev]) -> Vec<&'a [&'e Ev]> {
    let (mut sessions, mut start, mut hidden_ms) = (Vec::new(), 0, None);
    for n in 0..history.len() {
        let (ev, turn) = (history[n], history[n].kind == "track");
        if n > 0 {
            let idle = ev.time_ms - history[n - 1].time_ms >= 30 * 60_000;
            let long = ev.time_ms - history[start].time_ms >= DAY_MS;
            let back = hidden_ms.is_some_and(|at: i64| ev.time_ms - at >= 30_000);
            if idle || long || (back && turn && ev.name == "app_show") {
                sessions.push(&history[start..n]);
                (start, hidden_ms) = (n, None);
            }
        }
        match ev.name {
            "app_hide" if turn => hidden_ms = Some(ev.time_ms),
            "app_show" if turn => hidden_ms = None,
            _ => {}
        }
    }
    sessions.push(&history[start..]);
    sessions
}

/// From the first event, or an `app_show`, to the next `app_hide` or the end.
fn foreground_ms(session: &[&Ev]) -> i64 {
    let (mut sum, mut since) = (0, Some(session[0].time_ms));
    for ev in session {
        match ev.name {
            "app_show" => since = since.or(Some(ev.time_ms)),
            "app_hide" => sum += since.take().map_or(0, |since| ev.time_ms - since),
            _ => {}
        }
    }
    sum + since.map_or(0, |since| session[session.len() - 1].time_ms - since)
}
