//! From metrics asked for to questions that a store can answer.
//!
//! Metrics that look at the same documents under the same conditions share one
//! pass. What the filters look at: of event metrics, each event; of user, follow,
//! session and retention metrics, the one event that decides (the first, the
//! change, the session's first). Filters on `env` alone are different: they say
//! which events exist at all, and take the place of `env = release`.

use sluice_seams::question::Test;
use sluice_seams::{Field, Filter, Measure, NamedField};

use crate::definitions::Recipe;
use crate::filter::all_of;
use crate::request::{Metric, Request, looks_at_env};

/// What a group of metrics is worked out from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Groups of events.
    Events,
    /// Groups of first events.
    FirstSeen,
    /// The history of follows.
    Follows,
    /// The events of each user in order.
    Sessions,
    /// First events, and activity on later days.
    Retention,
}

/// Metrics that share one pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Pass {
    /// What it looks at.
    pub kind: Kind,
    /// Which events exist at all.
    pub base: Filter,
    /// Which events count (of the whole pass).
    pub picks: Filter,
    /// Indices of the metrics asked for, with the indices of their measures.
    pub metrics: Vec<(usize, Formula)>,
    /// For passes that group: what is measured.
    pub measures: Vec<Measure>,
}

/// How a metric's cell follows from its pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Formula {
    /// The measure at this index.
    Measure(usize),
    /// One measure over another.
    Ratio(usize, usize),
    /// Decided by the metric's recipe.
    Recipe,
}

/// Plans a question.
pub fn plan(request: &Request) -> Vec<Pass> {
    let mut passes: Vec<Pass> = Vec::new();
    for (n, metric) in request.metrics.iter().enumerate() {
        let kind = Kind::of(metric.definition.recipe);
        let (base, common, own) = split(request, metric);
        // Groups measure under a metric's own filters; histories are read under them.
        let (picks, own) =
            if kind.groups() { (common, own) } else { (common.and(own), Filter::All) };
        let same = |pass: &Pass| pass.kind == kind && pass.base == base && pass.picks == picks;
        let at = match passes.iter().position(same) {
            Some(at) => at,
            None => {
                let (metrics, measures) = (Vec::new(), Vec::new());
                passes.push(Pass { kind, base, picks, metrics, measures });
                passes.len() - 1
            }
        };
        passes[at].add(n, metric.definition.recipe, &own);
    }
    passes
}

// === impl Kind ===

impl Kind {
    fn of(recipe: Recipe) -> Self {
        match recipe {
            Recipe::Count(_) | Recipe::Users(_) | Recipe::Ratio(..) => Self::Events,
            Recipe::NewUsers | Recipe::TotalUsers => Self::FirstSeen,
            Recipe::Followers | Recipe::FollowNew | Recipe::FollowLost => Self::Follows,
            Recipe::Session(_) => Self::Sessions,
            Recipe::Retention(_) => Self::Retention,
        }
    }

    fn groups(self) -> bool {
        matches!(self, Self::Events | Self::FirstSeen)
    }
}

// === impl Pass ===

impl Pass {
    fn add(&mut self, metric: usize, recipe: Recipe, own: &Filter) {
        let formula = match recipe {
            Recipe::Count(which) => {
                Formula::Measure(self.measure(Measure::Count(which().and(own.clone()))))
            }
            Recipe::Users(which) => {
                Formula::Measure(self.measure(Measure::Users(which().and(own.clone()))))
            }
            Recipe::Ratio(of, per) => {
                let of = self.measure(Measure::Count(of().and(own.clone())));
                let per = self.measure(Measure::Count(per().and(own.clone())));
                Formula::Ratio(of, per)
            }
            // One document a user: their number is that of the users.
            Recipe::NewUsers | Recipe::TotalUsers => {
                Formula::Measure(self.measure(Measure::Count(own.clone())))
            }
            _ => Formula::Recipe,
        };
        self.metrics.push((metric, formula));
    }

    fn measure(&mut self, measure: Measure) -> usize {
        if let Some(at) = self.measures.iter().position(|other| *other == measure) {
            return at;
        }
        self.measures.push(measure);
        self.measures.len() - 1
    }
}

/// `env = release`, of which an event without one is.
pub fn release() -> Filter {
    let env = Field::Named(NamedField::Env);
    Filter::Or(vec![
        Filter::is(env.clone(), ["release"]),
        Filter::Not(Box::new(Filter::Test(env, Test::Exists))),
    ])
}

/// Which events exist, the question's own conditions, and the metric's own.
fn split(request: &Request, metric: &Metric) -> (Filter, Filter, Filter) {
    let (mut named, mut base) = (false, Vec::new());
    let mut rest = |conditions: &[crate::filter::Condition]| {
        let mut others = Vec::new();
        for condition in conditions {
            let (some, only) = looks_at_env(&condition.filter);
            named |= some;
            let part = if only { &mut base } else { &mut others };
            part.push(condition.filter.clone());
        }
        all_of(others)
    };
    let (common, own) = (rest(&request.filters), rest(&metric.filters));
    let base = if named { all_of(base) } else { release() };
    (base, common, own)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::request::Context;

    fn passes(metrics: Value, filters: Value) -> Vec<Pass> {
        let body = json!({"metrics": metrics, "filters": filters, "date_range": ["2026-11-01", "2026-11-01"]});
        let context = Context { timezone: "UTC".into(), now_ms: 0, limit_max: 100 };
        plan(&Request::parse(&body, &context).expect("valid"))
    }

    #[test]
    fn metrics_of_one_kind_share_a_pass_and_their_measures() {
        let all = passes(
            json!(["visit_pv", "js_error_rate", "session_cnt", {"metric": "visit_pv", "as": "again"}]),
            json!([]),
        );
        assert_eq!(
            all.iter().map(|pass| pass.kind).collect::<Vec<_>>(),
            [Kind::Events, Kind::Sessions]
        );
        assert_eq!(all[0].measures.len(), 3);
        assert_eq!(
            all[0].metrics,
            [(0, Formula::Measure(0)), (1, Formula::Ratio(1, 2)), (3, Formula::Measure(0))]
        );
        assert_eq!(all[0].base, release());
    }

    #[test]
    fn a_filter_on_env_takes_the_place_of_release() {
        let trial = Filter::is(Field::Named(NamedField::Env), ["trial"]);
        let all = passes(
            json!(["followers", {"metric": "visit_pv", "filters": [["is", "platform", "jd"]]}]),
            json!([["is", "env", "trial"], ["is", "scene", "1001"]]),
        );
        let scene = Filter::is(Field::Named(NamedField::Scene), ["1001"]);
        for pass in &all {
            assert_eq!((&pass.base, &pass.picks), (&trial, &scene));
        }
        let own = passes(
            json!(["visit_pv", {"metric": "visit_pv", "as": "t", "filters": [["is", "env", "trial"]]}]),
            json!([]),
        );
        assert_eq!(own.iter().map(|pass| &pass.base).collect::<Vec<_>>(), [&release(), &trial]);
        let mixed = json!([["or", [["is", "env", "trial"], ["is", "scene", "1001"]]]]);
        let mixed = passes(json!(["visit_pv"]), mixed);
        assert_eq!(mixed[0].base, Filter::All);
        assert_ne!(mixed[0].picks, Filter::All);
    }

    #[test]
    fn histories_are_read_under_a_metrics_own_filters() {
        let own = json!([
            "session_cnt",
            {"metric": "session_cnt", "as": "jd", "filters": [["is", "platform", "jd"]]},
        ]);
        let all = passes(own, json!([]));
        assert_eq!(all.len(), 2);
        assert_ne!(all[0].picks, all[1].picks);
    }
}
