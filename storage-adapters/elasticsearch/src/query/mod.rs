//! Questions: turned into searches, paged, and folded into exact answers.
//!
//! One composite aggregation for each kind of thing that is counted (documents,
//! users, values of a field); its buckets are the distinct combinations of group
//! keys and that thing, so that counting buckets is counting distinct values.
//! All pages read one view of the indices (a point in time); a question that one
//! search answers needs none.

mod composite;
mod filter;
mod fold;
mod groups;
mod jobs;
mod resolve;
mod search;
mod times;
mod view;
mod visits;

use std::time::Duration;

use sluice_seams::question::Ask;
use sluice_seams::{Question, StoreError, Table};

use crate::client::full_jitter;
use crate::figures::Counters;
use crate::store::Inner;
use view::View;

pub use search::{search_aggregations, search_sources};

/// Times that a question is begun: a day that is dropped or a shard that moves
/// ends the view that is being read.
const BEGUN_MAX: u32 = 2;
/// The longest pause before it is begun again.
const PAUSE: Duration = Duration::from_millis(200);

/// Answers a question exactly, or refuses it.
pub async fn answer(inner: &Inner, question: &Question) -> Result<Table, StoreError> {
    Counters::add(&inner.counters.questions, 1);
    let mut begun = 0;
    loop {
        begun += 1;
        match once(inner, question).await {
            Err(StoreError::Retry { .. }) if begun < BEGUN_MAX => {
                tokio::time::sleep(full_jitter(PAUSE)).await;
            }
            outcome => return outcome,
        }
    }
}

async fn once(inner: &Inner, question: &Question) -> Result<Table, StoreError> {
    match &question.ask {
        Ask::Groups { by, measures, groups_max } => {
            groups::answer(inner, question, by, measures, *groups_max).await
        }
        Ask::Visits { fields, visits_max } => {
            let view = View::open(inner, question.source).await?;
            visits::answer(&view, question, fields, *visits_max).await
        }
    }
}
