//! The metrics: name, unit, definition, and how each is computed. This one
//! table feeds the planner, the catalogue and the OpenAPI document.
//!
//! All of them are counted over deduplicated events with `env = release` (an
//! empty env is release; a filter that names `env` takes the place of this
//! rule), by corrected time, in the asked time zone. "User" is the user id, else
//! the device id. Uniques are over the whole period asked for, never summed.

use sluice_seams::{Field, Filter, NamedField};

use crate::sessions::SessionMeasure;

/// What a metric's value is a number of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Events.
    Events,
    /// Users.
    Users,
    /// Sessions.
    Sessions,
    /// Seconds.
    Seconds,
    /// Page paths.
    Pages,
    /// A share; 0.0..=1.0 unless its definition says otherwise; null where its
    /// denominator is zero.
    Ratio,
}

/// How a metric is computed.
#[derive(Debug, Clone, Copy)]
pub enum Recipe {
    /// Events that pass.
    Count(fn() -> Filter),
    /// Distinct users with an event that passes.
    Users(fn() -> Filter),
    /// Events that pass the first over events that pass the second.
    Ratio(fn() -> Filter, fn() -> Filter),
    /// Users whose first event lies in the bucket.
    NewUsers,
    /// Users whose first event lies before the bucket's end.
    TotalUsers,
    /// Users that follow at the bucket's end.
    Followers,
    /// Users that changed to following in the bucket.
    FollowNew,
    /// Users that changed to not following in the bucket.
    FollowLost,
    /// A measure over sessions that begin in the bucket.
    Session(SessionMeasure),
    /// Share of new users active this many days later.
    Retention(u16),
}

/// One metric.
#[derive(Debug)]
pub struct Definition {
    /// The name that users write.
    pub name: &'static str,
    /// Unit of its value.
    pub unit: Unit,
    /// What exactly it is.
    pub definition: &'static str,
    /// How it is computed.
    pub recipe: Recipe,
}

/// Every metric, in the order in which they are listed to users.
pub static DEFINITIONS: &[Definition] = &[
    metric("visit_pv", Unit::Events, "Number of `page_view` events.", Recipe::Count(page_views)),
    metric(
        "visit_uv",
        Unit::Users,
        "Distinct users with an `app_show` or `page_view`.",
        Recipe::Users(visits),
    ),
    metric(
        "visit_uv_new",
        Unit::Users,
        "Users whose first event ever lies in the period; profile changes and events of trial \
         and develop versions make nobody known. Dimensions and filters look at that first event.",
        Recipe::NewUsers,
    ),
    metric(
        "visit_total",
        Unit::Users,
        "Users whose first event ever, as for `visit_uv_new`, lies before the end of the period \
         (with a time dimension: of each bucket). Dimensions and filters look at that first event.",
        Recipe::TotalUsers,
    ),
    metric(
        "followers",
        Unit::Users,
        "Users whose latest `follow` or `unfollow` before the end of the period (of each bucket) \
         is a `follow`. Dimensions and filters look at that latest event.",
        Recipe::Followers,
    ),
    metric(
        "follow_new",
        Unit::Users,
        "Distinct users that changed to following in the period; a repeated `follow` is no \
         change. Dimensions and filters look at the event of the change.",
        Recipe::FollowNew,
    ),
    metric(
        "follow_lost",
        Unit::Users,
        "Distinct users that changed from following to not following in the period. Dimensions \
         and filters look at the event of the change.",
        Recipe::FollowLost,
    ),
    metric(
        "event_count",
        Unit::Events,
        "Number of events of any name and type; narrow it with `event` or `filters`.",
        Recipe::Count(everything),
    ),
    metric(
        "event_users",
        Unit::Users,
        "Distinct users with an event of any name and type; narrow it with `event` or `filters`.",
        Recipe::Users(everything),
    ),
    metric("share_pv", Unit::Events, "Number of `share` events.", Recipe::Count(shares)),
    metric("share_uv", Unit::Users, "Distinct users with a `share`.", Recipe::Users(shares)),
    metric(
        "js_error_rate",
        Unit::Ratio,
        "Events of type or name `error` over `app_launch` events; above 1 where launches err \
         more than once.",
        Recipe::Ratio(errors, launches),
    ),
    metric(
        "request_success_rate",
        Unit::Ratio,
        "Events of type or name `request` whose `properties.status` is 200 to 399, over all \
         events of type or name `request`; one without a status did not succeed.",
        Recipe::Ratio(requests_succeeded, requests),
    ),
    metric(
        "session_cnt",
        Unit::Sessions,
        "Sessions that begin in the period. A session begins with the first event after 30 \
         minutes without one, with an `app_show` that follows an `app_hide` after 30 seconds or \
         more, and 24 hours after the last began. It counts wholly where it begins; dimensions \
         and filters look at its first event.",
        Recipe::Session(SessionMeasure::Count),
    ),
    metric(
        "stay_time_uv",
        Unit::Seconds,
        "Foreground seconds of the sessions that begin in the period, over the distinct users \
         that have one. Foreground runs from a session's first event or `app_show` to the next \
         `app_hide`, without one to the session's last event.",
        Recipe::Session(SessionMeasure::StayPerUser),
    ),
    metric(
        "stay_time_session",
        Unit::Seconds,
        "Foreground seconds of the sessions that begin in the period, over their number.",
        Recipe::Session(SessionMeasure::StayPerSession),
    ),
    metric(
        "visit_depth",
        Unit::Pages,
        "Mean number of distinct page paths among the `page_view` events of a session.",
        Recipe::Session(SessionMeasure::Depth),
    ),
    metric(
        "bounce_rate",
        Unit::Ratio,
        "Sessions with exactly one `page_view` over all sessions.",
        Recipe::Session(SessionMeasure::BounceRate),
    ),
    retention("retention_1", 1),
    retention("retention_2", 2),
    retention("retention_3", 3),
    retention("retention_4", 4),
    retention("retention_5", 5),
    retention("retention_6", 6),
    retention("retention_7", 7),
    retention("retention_14", 14),
    retention("retention_30", 30),
];

const fn metric(
    name: &'static str,
    unit: Unit,
    definition: &'static str,
    recipe: Recipe,
) -> Definition {
    Definition { name, unit, definition, recipe }
}

const fn retention(name: &'static str, days: u16) -> Definition {
    let definition = "Of the users whose first event lies on a day, the share with an `app_show` \
                      or `page_view` on the day k days later (k is the number in the name); over \
                      several days, of all their new users together. Null until the last of \
                      those later days is over. Dimensions and filters look at the first event.";
    metric(name, Unit::Ratio, definition, Recipe::Retention(days))
}

// === impl Definition ===

impl Definition {
    /// The metric of that name.
    pub fn of(name: &str) -> Option<&'static Self> {
        DEFINITIONS.iter().find(|definition| definition.name == name)
    }

    /// Whether its value is a number of things (0 where there are none), not a
    /// mean or a share (null where there are none).
    pub fn counts(&self) -> bool {
        !matches!(
            self.recipe,
            Recipe::Ratio(..)
                | Recipe::Retention(_)
                | Recipe::Session(
                    SessionMeasure::StayPerUser
                        | SessionMeasure::StayPerSession
                        | SessionMeasure::Depth
                        | SessionMeasure::BounceRate
                )
        )
    }
}

// === impl Unit ===

impl Unit {
    /// The word in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Users => "users",
            Self::Sessions => "sessions",
            Self::Seconds => "seconds",
            Self::Pages => "pages",
            Self::Ratio => "ratio",
        }
    }
}

fn named<const N: usize>(names: [&str; N]) -> Filter {
    Filter::is(Field::Named(NamedField::Name), names)
}

/// Events of this name that happened, as against changes of a profile that
/// happen to bear it.
fn tracked<const N: usize>(names: [&str; N]) -> Filter {
    named(names).and(Filter::is(Field::Named(NamedField::Type), ["track"]))
}

fn of_kind(kind: &str) -> Filter {
    Filter::Or(vec![Filter::is(Field::Named(NamedField::Type), [kind]), tracked([kind])])
}

fn everything() -> Filter {
    Filter::All
}

fn page_views() -> Filter {
    tracked(["page_view"])
}

/// What makes a user active.
pub fn visits() -> Filter {
    tracked(["app_show", "page_view"])
}

fn shares() -> Filter {
    tracked(["share"])
}

fn launches() -> Filter {
    tracked(["app_launch"])
}

fn errors() -> Filter {
    of_kind("error")
}

fn requests() -> Filter {
    of_kind("request")
}

fn requests_succeeded() -> Filter {
    use sluice_seams::question::Test;
    let status = || Field::Property("status".into());
    requests()
        .and(Filter::Test(status(), Test::Greater("199".into())))
        .and(Filter::Test(status(), Test::Less("400".into())))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_definitions_are_sentences() {
        let names: HashSet<_> = DEFINITIONS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), DEFINITIONS.len());
        for metric in DEFINITIONS {
            assert!(metric.definition.ends_with('.'), "{}", metric.name);
            assert!(Definition::of(metric.name).is_some());
        }
    }

    #[test]
    fn retention_names_say_their_days() {
        for metric in DEFINITIONS {
            if let Recipe::Retention(days) = metric.recipe {
                assert_eq!(metric.name, format!("retention_{days}"));
            }
        }
    }
}
