//! Answers to questions about groups.

use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use sluice_seams::question::Measure;
use sluice_seams::{GroupKey, Question, StoreError, Table};

use super::composite::{Budget, Pager};
use super::fold::Fold;
use super::jobs::{Job, jobs};
use super::resolve::resolve;
use super::view::View;

/// Reads a view.
pub async fn answer(
    view: &View<'_>,
    question: &Question,
    by: &[GroupKey],
    measures: &[Measure],
    groups_max: usize,
) -> Result<Table, StoreError> {
    let fold = Mutex::new(Fold::new(by.len(), measures.len(), groups_max));
    if !view.is_empty() {
        let budget = Budget::new(view.inner.config.question_buckets_max);
        let resolved = resolve(view, question, measures, &budget).await?;
        let jobs = jobs(question, by, measures, &resolved)?;
        futures::stream::iter(jobs)
            .map(|job| read(view, job, &budget, &fold))
            .buffer_unordered(view.inner.config.searches_max)
            .try_collect::<()>()
            .await?;
    }
    Ok(fold.into_inner().table())
}

async fn read(
    view: &View<'_>,
    job: Job,
    budget: &Budget,
    fold: &Mutex<Fold>,
) -> Result<(), StoreError> {
    if job.is_single() {
        let bucket = job.reading.single(view).await?;
        let Some((keys, values)) = job.read(&bucket) else { return Ok(()) };
        return fold.lock().add(keys, &values);
    }
    let mut pager = Pager::new(view, budget, job.reading.clone());
    while let Some(page) = pager.next().await? {
        let mut fold = fold.lock();
        for bucket in page {
            if let Some((keys, values)) = job.read(&bucket) {
                fold.add(keys, &values)?;
            }
        }
    }
    Ok(())
}
