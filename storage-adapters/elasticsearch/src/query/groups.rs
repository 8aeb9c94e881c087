//! Answers to questions about groups.

use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use sluice_seams::question::Measure;
use sluice_seams::{GroupKey, Question, StoreError, Table};

use super::composite::{Bucket, Budget, Pager};
use super::fold::Fold;
use super::jobs::{Job, jobs};
use super::resolve::{resolve, tests};
use super::view::View;
use crate::store::Inner;

/// Answers from as many searches as it takes.
pub async fn answer(
    inner: &Inner,
    question: &Question,
    by: &[GroupKey],
    measures: &[Measure],
    groups_max: usize,
) -> Result<Table, StoreError> {
    let new = || Fold::new(by.len(), measures.len(), groups_max);
    if let Some(job) = only(question, by, measures)? {
        let mut fold = new();
        if at_once(inner, question, &job, &mut fold).await? {
            return Ok(fold.table());
        }
    }
    let view = View::open(inner, question.source).await?;
    let fold = Mutex::new(new());
    if !view.is_empty() {
        let budget = Budget::new(inner.config.question_buckets_max);
        let resolved = resolve(&view, question, measures, &budget).await?;
        let jobs = jobs(question, by, measures, &resolved)?;
        futures::stream::iter(jobs)
            .map(|job| read(&view, job, &budget, &fold))
            .buffer_unordered(inner.config.searches_max)
            .try_collect::<()>()
            .await?;
    }
    Ok(fold.into_inner().table())
}

/// The only job of a question, where one page may well answer it: groups are few,
/// distinct values many.
fn only(
    question: &Question,
    by: &[GroupKey],
    measures: &[Measure],
) -> Result<Option<Job>, StoreError> {
    if !tests(question, measures).is_empty() {
        return Ok(None);
    }
    let mut jobs = jobs(question, by, measures, &[])?;
    let only = jobs.pop().filter(|job| jobs.is_empty() && !job.counts_distinct());
    Ok(only)
}

/// One search of what is there now; `false` where that was not all.
async fn at_once(
    inner: &Inner,
    question: &Question,
    job: &Job,
    fold: &mut Fold,
) -> Result<bool, StoreError> {
    let now = View::now(inner, question.source);
    if job.is_single() {
        add(job, &[job.reading.single(&now).await?], fold)?;
        return Ok(true);
    }
    let budget = Budget::new(inner.config.question_buckets_max);
    let mut pager = Pager::new(&now, &budget, job.reading.clone());
    let page = pager.next().await?.unwrap_or_default();
    if pager.has_more() {
        return Ok(false);
    }
    add(job, &page, fold)?;
    Ok(true)
}

async fn read(
    view: &View<'_>,
    job: Job,
    budget: &Budget,
    fold: &Mutex<Fold>,
) -> Result<(), StoreError> {
    if job.is_single() {
        return add(&job, &[job.reading.single(view).await?], &mut fold.lock());
    }
    let mut pager = Pager::new(view, budget, job.reading.clone());
    while let Some(page) = pager.next().await? {
        add(&job, &page, &mut fold.lock())?;
    }
    Ok(())
}

fn add(job: &Job, page: &[Bucket], fold: &mut Fold) -> Result<(), StoreError> {
    // Buckets come in the order of their keys: those of a group stand together.
    for group in page.chunk_by(|one, next| job.same_group(one, next)) {
        if let Some((keys, values)) = job.read(group) {
            fold.add(keys, &values)?;
        }
    }
    Ok(())
}
