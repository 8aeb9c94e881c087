//! Carries a plan out: asks the store, puts the answers together as rows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sluice_seams::question::{Ask, Group, GroupKey, Visit};
use sluice_seams::{
    DocumentStore, Field, Filter, KeyValue, NamedField, Question, Source, StoreError, Table,
};

use crate::calendar::{CalendarError, TimeUnit, date_of, day_start_ms};
use crate::config::QueryConfig;
use crate::definitions::{self, Recipe};
use crate::plan::{Formula, Kind, Pass};
use crate::problem::Problem;
use crate::range::Range;
use crate::request::{Dimension, Request};
use crate::retention::{Active, Days};
use crate::rows::{Cell, Grouping, RowKey, Rows};
use crate::{follows, retention, sessions};

/// Before any event: the year 1.
const BEGINNING_MS: i64 = -62_135_596_800_000;

/// One question being answered.
pub struct Run<'a> {
    /// Where documents are.
    pub documents: &'a dyn DocumentStore,
    /// App.
    pub app_id: Arc<str>,
    /// The question.
    pub request: &'a Request,
    /// What is asked of the store.
    pub passes: &'a [Pass],
    /// Bounds.
    pub config: &'a QueryConfig,
    /// Where what is known ends, milliseconds.
    pub complete_until_ms: i64,
    /// What the asker should know about the answer.
    pub warnings: Vec<String>,
    /// Whether every number is exact.
    pub exact: bool,
}

impl From<CalendarError> for Problem {
    fn from(error: CalendarError) -> Self {
        match error {
            CalendarError::OutOfRange => {
                Self::invalid("date_range", "reaches beyond the years 1 to 9999")
            }
            CalendarError::TooMany => Self::invalid(
                "dimensions",
                format!(
                    "more than {} time buckets; ask for coarser ones",
                    crate::config::BUCKETS_MAX
                ),
            )
            .allowed(TimeUnit::ALL.iter().map(|unit| unit.name())),
        }
    }
}

// === impl Run ===

impl Run<'_> {
    /// Rows of a range, for each grouping.
    pub async fn rows(
        &mut self,
        range: Range,
        groupings: &[Grouping],
    ) -> Result<Vec<Rows>, Problem> {
        let defaults: Vec<Cell> = (self.request.metrics.iter())
            .map(|metric| if metric.definition.counts() { Cell::Whole(0) } else { Cell::Null })
            .collect();
        let mut all: Vec<Rows> = groupings.iter().map(|_| Rows::new(defaults.clone())).collect();
        for pass in self.passes {
            match pass.kind {
                Kind::Events => self.events(pass, range, groupings, &mut all).await?,
                Kind::FirstSeen => self.first_seen(pass, groupings, &mut all).await?,
                Kind::Follows => self.follows(pass, range, groupings, &mut all).await?,
                Kind::Sessions => self.sessions(pass, range, groupings, &mut all).await?,
                Kind::Retention => self.retention(pass, range, groupings, &mut all).await?,
            }
        }
        // Without dimensions there is always one row.
        for (rows, grouping) in all.iter_mut().zip(groupings) {
            if grouping.is_total() && rows.is_empty() {
                for (metric, cell) in defaults.iter().enumerate() {
                    rows.set(Vec::new(), metric, *cell);
                }
            }
        }
        Ok(all)
    }

    async fn events(
        &self,
        pass: &Pass,
        range: Range,
        groupings: &[Grouping],
        all: &mut [Rows],
    ) -> Result<(), Problem> {
        for (grouping, rows) in groupings.iter().zip(all) {
            let edges = grouping.time_at.map(|_| Arc::from(grouping.buckets.edges.as_slice()));
            let by = grouping.group_keys(edges);
            let filter = pass.base.clone().and(pass.picks.clone());
            for group in self.groups(Source::Events, range, filter, by, pass, None).await? {
                let (bucket, values) = parted(group.keys, grouping.time_at.is_some());
                let key = grouping.arrange(bucket, values.into_iter());
                for (metric, formula) in &pass.metrics {
                    let cell = match *formula {
                        Formula::Measure(at) => Cell::Whole(group.values[at]),
                        Formula::Ratio(of, per) => {
                            Cell::mean(group.values[of] as f64, group.values[per])
                        }
                        Formula::Recipe => continue,
                    };
                    rows.set(key.clone(), *metric, cell);
                }
            }
        }
        Ok(())
    }

    /// New users by bucket, and their running total from the beginning of time.
    async fn first_seen(
        &self,
        pass: &Pass,
        groupings: &[Grouping],
        all: &mut [Rows],
    ) -> Result<(), Problem> {
        for (grouping, rows) in groupings.iter().zip(all) {
            // Bucket 0 of the question is all that came before.
            let mut edges = vec![BEGINNING_MS];
            edges.extend(&grouping.buckets.edges);
            let range = Range { from_ms: BEGINNING_MS, to_ms: edges[edges.len() - 1] };
            let by = grouping.group_keys(Some(edges.into()));
            let filter = pass.base.clone().and(pass.picks.clone());
            let groups = self.groups(Source::FirstSeen, range, filter, by, pass, None).await?;
            for (metric, formula) in &pass.metrics {
                let Formula::Measure(at) = *formula else { continue };
                let total = matches!(self.recipe(*metric), Recipe::TotalUsers);
                let mut series: HashMap<RowKey, Vec<u64>> = HashMap::new();
                for group in groups.iter().filter(|group| group.values[at] > 0) {
                    let (bucket, values) = parted(group.keys.clone(), true);
                    let key = grouping.arrange(0, values.into_iter());
                    let fresh = || vec![0; grouping.buckets.len() + 1];
                    series.entry(key).or_insert_with(fresh)[bucket] += group.values[at];
                }
                for (mut key, counts) in series {
                    let mut before = counts[0];
                    for (bucket, count) in counts[1..].iter().enumerate() {
                        before += count;
                        let value = if total { before } else { *count };
                        if value > 0 {
                            grouping.move_to(&mut key, bucket);
                            rows.set(key.clone(), *metric, Cell::Whole(value));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    async fn follows(
        &self,
        pass: &Pass,
        range: Range,
        groupings: &[Grouping],
        all: &mut [Rows],
    ) -> Result<(), Problem> {
        let history = Range { from_ms: BEGINNING_MS, to_ms: range.to_ms };
        let fields = self.request.fields();
        let base = of_follows(&pass.base);
        let visits = self.visits(Source::Follows, history, base.clone(), fields).await?;
        let picked = self.picked(Source::Follows, history, base, pass).await?;
        for (grouping, rows) in groupings.iter().zip(all) {
            for (key, tally) in follows::tally(&visits, grouping, |key| picks(&picked, key)) {
                for (metric, _) in &pass.metrics {
                    let value = match self.recipe(*metric) {
                        Recipe::Followers => tally.followers,
                        Recipe::FollowNew => tally.began,
                        _ => tally.ceased,
                    };
                    // A row in which only other metrics count is theirs to make.
                    if value > 0 {
                        rows.set(key.clone(), *metric, Cell::Whole(value));
                    }
                }
            }
        }
        Ok(())
    }

    async fn sessions(
        &mut self,
        pass: &Pass,
        range: Range,
        groupings: &[Grouping],
        all: &mut [Rows],
    ) -> Result<(), Problem> {
        let view = Range {
            from_ms: range.from_ms - sessions::MARGIN_MS,
            to_ms: range.to_ms + sessions::SESSION_MS_MAX,
        };
        let mut fields = vec![Field::Named(NamedField::PagePath)];
        fields.extend(self.request.fields());
        let base = of_sessions(&pass.base);
        let visits = self.visits(Source::Events, view, base.clone(), fields).await?;
        let picked = self.picked(Source::Events, range, base, pass).await?;
        let cut = sessions::cut(&visits, view.from_ms);
        let uncertain: HashSet<u128> = (cut.iter())
            .filter(|one| {
                !one.certain && one.last_ms >= range.from_ms && one.start_ms < range.to_ms
            })
            .map(|one| one.user)
            .collect();
        if !uncertain.is_empty() {
            self.exact = false;
            self.warnings.push(format!(
                "{} users were active without a pause for more than 24 hours before the period; \
                 where their sessions begin in it is an estimate",
                uncertain.len()
            ));
        }
        for (grouping, rows) in groupings.iter().zip(all) {
            let tallies = sessions::tally(&visits, &cut, grouping, |key| picks(&picked, key));
            for (key, tally) in tallies {
                for (metric, _) in &pass.metrics {
                    if let Recipe::Session(measure) = self.recipe(*metric) {
                        rows.set(key.clone(), *metric, tally.cell(measure));
                    }
                }
            }
        }
        Ok(())
    }

    async fn retention(
        &self,
        pass: &Pass,
        range: Range,
        groupings: &[Grouping],
        all: &mut [Rows],
    ) -> Result<(), Problem> {
        let after_days: Vec<u16> = (pass.metrics.iter())
            .filter_map(|(metric, _)| match self.recipe(*metric) {
                Recipe::Retention(days) => Some(days),
                _ => None,
            })
            .collect();
        let days = self.days(range, after_days.iter().copied().max().unwrap_or(0))?;
        let user = GroupKey::Field(Field::Named(NamedField::User));
        let by_day = |edges: &[i64]| vec![GroupKey::Time(edges.into()), user.clone()];

        let whole = &days.whole.edges;
        let later = Range { from_ms: whole[0], to_ms: whole[whole.len() - 1] };
        let filter = pass.base.clone().and(definitions::visits());
        let count = vec![sluice_seams::Measure::Count(Filter::All)];
        let ask = Some((count, self.config.visits_max));
        let active =
            self.groups(Source::Events, later, filter, by_day(whole), pass, ask.clone()).await?;
        let active = Active::read(active);

        let mut by = by_day(&days.range.edges);
        by.extend(self.request.fields().into_iter().map(GroupKey::Field));
        let filter = pass.base.clone().and(pass.picks.clone());
        let cohorts = self.groups(Source::FirstSeen, range, filter, by, pass, ask).await?;
        for (grouping, rows) in groupings.iter().zip(all) {
            let until_ms = self.complete_until_ms;
            let shares =
                retention::shares(&cohorts, &active, &days, grouping, &after_days, until_ms);
            for (key, cells) in shares {
                for ((metric, _), cell) in pass.metrics.iter().zip(cells) {
                    rows.set(key.clone(), *metric, cell);
                }
            }
        }
        Ok(())
    }

    fn days(&self, range: Range, after_days: u16) -> Result<Days, Problem> {
        let tz = &self.request.tz;
        let first = date_of(range.from_ms, tz)?;
        let last = date_of(range.to_ms - 1, tz)?;
        let end = last
            .checked_add(jiff::Span::new().days(i64::from(after_days) + 1))
            .map_err(CalendarError::from)?;
        let (from_ms, to_ms) = (day_start_ms(first, tz)?, day_start_ms(end, tz)?);
        Ok(Days {
            range: TimeUnit::Day.buckets(range.from_ms, range.to_ms, tz)?,
            whole: TimeUnit::Day.buckets(from_ms, to_ms, tz)?,
        })
    }

    fn recipe(&self, metric: usize) -> Recipe {
        self.request.metrics[metric].definition.recipe
    }

    /// Groups of a pass's measures, or of others within another bound.
    async fn groups(
        &self,
        source: Source,
        range: Range,
        filter: Filter,
        by: Vec<GroupKey>,
        pass: &Pass,
        other: Option<(Vec<sluice_seams::Measure>, usize)>,
    ) -> Result<Vec<Group>, Problem> {
        let (measures, groups_max) =
            other.unwrap_or_else(|| (pass.measures.clone(), self.config.groups_max));
        match self.ask(source, range, filter, Ask::Groups { by, measures, groups_max }).await? {
            Table::Groups(groups) => Ok(groups),
            Table::Visits(_) => Err(wrong_table()),
        }
    }

    async fn visits(
        &self,
        source: Source,
        range: Range,
        filter: Filter,
        fields: Vec<Field>,
    ) -> Result<Vec<Visit>, Problem> {
        let visits_max = self.config.visits_max;
        match self.ask(source, range, filter, Ask::Visits { fields, visits_max }).await? {
            Table::Visits(visits) => Ok(visits),
            Table::Groups(_) => Err(wrong_table()),
        }
    }

    /// Keys of the events that the pass's filters let through; `None`: all.
    async fn picked(
        &self,
        source: Source,
        range: Range,
        base: Filter,
        pass: &Pass,
    ) -> Result<Option<HashSet<u128>>, Problem> {
        if pass.picks == Filter::All {
            return Ok(None);
        }
        let filter = base.and(pass.picks.clone());
        let visits = self.visits(source, range, filter, Vec::new()).await?;
        Ok(Some(visits.into_iter().map(|visit| visit.key).collect()))
    }

    async fn ask(
        &self,
        source: Source,
        range: Range,
        filter: Filter,
        ask: Ask,
    ) -> Result<Table, Problem> {
        let Range { from_ms, to_ms } = range;
        let app_id = self.app_id.clone();
        let question = Question { app_id, source, from_ms, to_ms, filter, ask };
        Ok(self.documents.answer(question).await?)
    }
}

/// Events that sessions are made of: all but changes of a profile, which a
/// server may send at any time.
fn of_sessions(base: &Filter) -> Filter {
    let kinds = ["track", "error", "perf", "request"];
    base.clone().and(Filter::is(Field::Named(NamedField::Type), kinds))
}

/// Follows and unfollows that happened, as against changes of a profile.
fn of_follows(base: &Filter) -> Filter {
    let name = Filter::is(Field::Named(NamedField::Name), ["follow", "unfollow"]);
    base.clone().and(name).and(Filter::is(Field::Named(NamedField::Type), ["track"]))
}

fn picks(picked: &Option<HashSet<u128>>, key: u128) -> bool {
    picked.as_ref().is_none_or(|picked| picked.contains(&key))
}

/// A group's bucket (0 where time is no key) and its other values.
fn parted(mut keys: Vec<KeyValue>, time: bool) -> (usize, Vec<KeyValue>) {
    if !time || keys.is_empty() {
        return (0, keys);
    }
    match keys.remove(0) {
        KeyValue::Bucket(bucket) => (bucket as usize, keys),
        _ => (0, keys),
    }
}

fn wrong_table() -> Problem {
    StoreError::Poisoned("a store answered another question than was asked".into()).into()
}

/// Properties and identities that a question names, as a catalogue spells them.
pub fn named_paths(request: &Request) -> (HashSet<String>, HashSet<String>) {
    let (mut properties, mut ids) = (HashSet::new(), HashSet::new());
    let mut note = |field: &Field| match field {
        Field::Property(path) => drop(properties.insert(path.clone())),
        Field::Id(name) => drop(ids.insert(name.clone())),
        Field::Named(_) => {}
    };
    for dimension in &request.dimensions {
        if let Dimension::Field(field) = dimension {
            note(field);
        }
    }
    let own = request.metrics.iter().flat_map(|metric| &metric.filters);
    for condition in request.filters.iter().chain(own) {
        crate::filter::each_field(&condition.filter, &mut note);
    }
    (properties, ids)
}
