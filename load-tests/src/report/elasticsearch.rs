//! A console's question through Sluice to Elasticsearch, against the same question
//! hand-written to the same indices, in turn. Both must answer the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use futures::TryStreamExt;
use serde_json::{Value, json};
use sluice_elasticsearch::{Deps, ElasticsearchConfig, ElasticsearchDocuments};
use sluice_seams::DocumentStore;

use super::by_hand::{ByHand, Wanted, told};
use super::context::Context;
use super::figure::{Better, Figure, median};
use super::question::question;
use crate::crowd::now_ms;
use crate::services::Engine;
use crate::stored::{DAYS, Past, api, ask, write};

/// Events that are stored, if that does not take too long.
const EVENTS: usize = 1_000_000;
const EVENTS_QUICK: usize = 6_000;
/// Longest for it; then there are as many as were stored.
const LOAD_MAX: Duration = Duration::from_secs(50);
/// Events of one day that are written at a time.
const PIECE: usize = 2_000;
/// Writes under way.
const WRITES: usize = 4;
/// Questions of a round, to each.
const QUESTIONS: usize = 20;
/// Those of a round that warms up, and of a small one; and of one that takes too long.
const QUESTIONS_LEAST: usize = 3;
/// Longest for a round.
const ROUND_MAX: Duration = Duration::from_secs(20);
/// What the question may take of what the hand-written one takes.
const TIMES_MAX: f64 = 1.2;

/// One question each way.
struct Turn {
    ours_ms: f64,
    by_hand_ms: f64,
    /// How the answers differ.
    differ: Option<String>,
}

/// Both ways to ask.
struct Both {
    router: Router,
    by_hand: ByHand,
    events: usize,
}

/// Measures it.
///
/// # Errors
/// Why there is no engine; what it said.
pub async fn measure(context: &Context) -> Result<Vec<Figure>, String> {
    let engine = context.elasticsearch()?;
    let prefix = format!("report-{}-", now_ms());
    let (store, events) = load(context, &engine, &prefix).await?;
    let by_hand = ByHand::new(&engine.address, &prefix).await?;
    let both = Both { router: api(store.clone()), by_hand, events };
    let figures = both.figures(context).await;
    // A set that was up before stays up, without these indices.
    let removed = both.by_hand.remove().await;
    store.close().await.map_err(|error| error.to_string())?;
    removed.and(figures)
}

/// Stores events evenly under the days, until there are enough or time is over.
async fn load(
    context: &Context,
    engine: &Engine,
    prefix: &str,
) -> Result<(ElasticsearchDocuments, usize), String> {
    let config = ElasticsearchConfig {
        nodes: vec![engine.address.clone()],
        index_prefix: prefix.to_owned(),
        replicas: 0,
        ..ElasticsearchConfig::default()
    };
    let store = ElasticsearchDocuments::open(config, Deps { now_ms: Arc::new(now_ms) }).await;
    let store = store.map_err(|error| error.to_string())?;
    let (past, mut events, begun) = (Past::new(), 0, Instant::now());
    let wanted = context.size(EVENTS, EVENTS_QUICK);
    while events < wanted && begun.elapsed() < LOAD_MAX {
        let piece = (wanted - events).div_ceil(DAYS as usize).min(PIECE);
        let pieces = (0..DAYS).map(|day| Ok(past.day(day, piece)));
        let writes = futures::stream::iter(pieces);
        writes.try_for_each_concurrent(WRITES, |events| write(&store, events)).await?;
        events += piece * DAYS as usize;
        eprintln!("elasticsearch: {events} of {wanted} events stored");
    }
    Ok((store, events))
}

/// The slowest but one in twenty.
fn p95(took: &mut [f64]) -> f64 {
    took.sort_unstable_by(f64::total_cmp);
    took[(took.len() * 95).div_ceil(100) - 1]
}

// === impl Both ===

impl Both {
    async fn figures(&self, context: &Context) -> Result<Vec<Figure>, String> {
        // An answer that was kept is no answer to a search, whoever asked.
        self.by_hand.set("index.requests.cache.enable", Value::Bool(false)).await?;
        let users = self.measure(context, Wanted::Users).await?;
        let begun = Instant::now();
        let rows = self.by_hand.estimate().await?;
        let estimate = begun.elapsed().as_secs_f64() * 1e3;
        let more = format!(
            "hand-written: a search for visits, and by day a composite aggregation for visitors; \
             one search with `cardinality`, which estimates visitors, took {estimate:.0} ms for \
             {rows} rows"
        );
        let note = format!("{}; {more}", users.note.clone().unwrap_or_default());
        let counts = self.measure(context, Wanted::Counts).await?;
        Ok(vec![users.note(note), counts])
    }

    async fn measure(&self, context: &Context, wanted: Wanted) -> Result<Figure, String> {
        let mut question = question();
        question["metrics"] = json!(wanted.metrics());
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let mut differ = None;
        let (questions, mut fewest) = (context.size(QUESTIONS, QUESTIONS_LEAST), usize::MAX);
        for round in 0..=context.rounds() {
            // The first warms the engine's caches.
            let questions = if round == 0 { QUESTIONS_LEAST } else { questions };
            let (mut asked, mut by_hand) = (Vec::new(), Vec::new());
            let begun = Instant::now();
            while asked.len() < questions
                && (asked.len() < QUESTIONS_LEAST || begun.elapsed() < ROUND_MAX)
            {
                let ours_first = asked.len() % 2 == 0;
                let turn = self.turn(&question, wanted, ours_first).await?;
                asked.push(turn.ours_ms);
                by_hand.push(turn.by_hand_ms);
                differ = differ.or(turn.differ);
            }
            if round > 0 {
                fewest = fewest.min(asked.len());
                ours.push(p95(&mut asked));
                theirs.push(p95(&mut by_hand));
                let (ours, theirs) = (ours[round - 1], theirs[round - 1]);
                eprintln!("elasticsearch: {ours:.0} ms, hand-written {theirs:.0} ms");
            }
        }
        let what = if wanted == Wanted::Users { "visits, users" } else { "visits" };
        let name = format!("on Elasticsearch, {what}, p95");
        let limit = (median(&theirs), 1.0 / TIMES_MAX);
        let note = format!("30 days × page, filtered, {} events; {fewest} questions", self.events);
        let figure = Figure::new(&name, "ms", Better::Smaller, &ours, limit).note(note);
        Ok(match differ {
            Some(why) => figure.void(&why),
            None => figure,
        })
    }

    /// One question each way.
    async fn turn(
        &self,
        question: &Value,
        wanted: Wanted,
        ours_first: bool,
    ) -> Result<Turn, String> {
        let ours = async || ask(&self.router, question).await;
        let theirs = async || {
            let begun = Instant::now();
            let answer = self.by_hand.ask(wanted).await?;
            Ok::<_, String>((begun.elapsed(), answer))
        };
        let ((took, answer), (by_hand, expected)) = if ours_first {
            (ours().await?, theirs().await?)
        } else {
            let theirs = theirs().await?;
            (ours().await?, theirs)
        };
        let told = told(&answer, wanted)?;
        let same = !told.is_empty() && told == expected;
        let (rows, others) = (told.len(), expected.len());
        let why = || format!("the answers differ: {rows} rows, hand-written {others}");
        let ms = |took: Duration| took.as_secs_f64() * 1e3;
        let differ = (!same).then(why);
        Ok(Turn { ours_ms: ms(took), by_hand_ms: ms(by_hand), differ })
    }
}

#[cfg(test)]
mod tests {
    use super::p95;

    #[test]
    fn one_in_twenty_may_be_slower() {
        let mut took: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        assert_eq!(p95(&mut took), 19.0);
        assert_eq!(p95(&mut [7.0]), 7.0);
    }
}
