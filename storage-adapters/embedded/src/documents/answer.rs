//! Questions about event documents: every segment that can hold the time, on
//! several threads where there is enough to read.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use sluice_seams::key::AppHash;
use sluice_seams::question::{Ask, Visit};
use sluice_seams::{Question, StoreError, Table};
use tantivy::{Searcher, SegmentReader, TantivyError};

use super::gather::{Gathered, Resolved};
use super::plan::{By, Gauge, Plan};
use super::segment::Segment;
use super::tally::Tally;
use super::visits::{Wanted, too_many_visits};

/// Documents below which another thread is not worth its start; tests have few of them.
const DOCUMENTS_PER_THREAD_MIN: u64 = if cfg!(test) { 1 } else { 100_000 };

/// Answers a question on a view of the days.
pub fn answer(
    searchers: &[Searcher],
    question: &Question,
    threads_max: usize,
) -> Result<Table, StoreError> {
    let mut segments: Vec<&SegmentReader> =
        searchers.iter().flat_map(|searcher| searcher.segment_readers()).collect();
    // Large ones first, so that threads end together.
    segments.sort_by_key(|segment| std::cmp::Reverse(segment.max_doc()));
    match &question.ask {
        Ask::Groups { by, measures, groups_max } => {
            let mut plan = Plan::default();
            let filter = plan.filter(&question.filter);
            let by: Vec<By> = by.iter().map(|key| plan.by(key)).collect();
            let gauges: Vec<Gauge> = measures.iter().map(|one| plan.gauge(one)).collect();
            let new = || Gathered::new(&by, &gauges, *groups_max);
            let mut gathered = each(&segments, threads_max, new, |gathered, reader| {
                let Some(mut segment) = open(reader, &plan, question)? else { return Ok(()) };
                let mut tally = Tally::new(&segment, &by, &gauges, *groups_max);
                for block in segment.blocks() {
                    let mask = segment.looked_at(block, &filter);
                    if mask.contains(&true) {
                        tally.add(&mut segment, block, mask, &by, &gauges)?;
                    }
                }
                let found = Resolved::new(tally, &segment, &by, &gauges).map_err(unreadable)?;
                gathered.add(&found)
            })?;
            let mut all = gathered.pop().unwrap_or_else(new);
            gathered.into_iter().try_for_each(|some| all.absorb(some))?;
            Ok(all.table())
        }
        Ask::Visits { fields, visits_max } => {
            let mut plan = Plan::default();
            let filter = plan.filter(&question.filter);
            let wanted = Wanted::new(&mut plan, fields);
            let app = AppHash::of(&question.app_id);
            let visits: Mutex<Vec<Visit>> = Mutex::default();
            each(
                &segments,
                threads_max,
                || (),
                |(), reader| {
                    let Some(mut segment) = open(reader, &plan, question)? else { return Ok(()) };
                    let found = wanted
                        .of(reader, &mut segment, &filter, app, *visits_max)
                        .map_err(unreadable)??;
                    let mut visits = visits.lock();
                    visits.extend(found);
                    if visits.len() > *visits_max {
                        return Err(too_many_visits(*visits_max));
                    }
                    Ok(())
                },
            )?;
            let mut visits = visits.into_inner();
            visits.sort_unstable_by_key(|visit| (visit.user, visit.time_ms, visit.key));
            Ok(Table::Visits(visits))
        }
    }
}

fn open(
    reader: &SegmentReader,
    plan: &Plan,
    question: &Question,
) -> Result<Option<Segment>, StoreError> {
    let time = (question.from_ms, question.to_ms);
    Segment::open(reader, plan, &question.app_id, time).map_err(unreadable)
}

/// Runs `read` on every segment, with what its thread has gathered before; what each
/// thread has in the end. Ends at the first error.
fn each<S: Send>(
    segments: &[&SegmentReader],
    threads_max: usize,
    new: impl Fn() -> S + Sync,
    read: impl Fn(&mut S, &SegmentReader) -> Result<(), StoreError> + Sync,
) -> Result<Vec<S>, StoreError> {
    let documents: u64 = segments.iter().map(|segment| u64::from(segment.max_doc())).sum();
    let worth = (documents / DOCUMENTS_PER_THREAD_MIN).max(1);
    let threads = segments.len().min(threads_max).min(worth as usize).max(1);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut gathered = new();
        while let Some(segment) = segments.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = read(&mut gathered, segment) {
                next.store(segments.len(), Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(gathered)
    };
    if threads == 1 {
        return Ok(vec![work()?]);
    }
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        let others = others
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        std::iter::once(own).chain(others.collect::<Vec<_>>()).collect()
    })
}

fn unreadable(why: impl Into<TantivyError>) -> StoreError {
    StoreError::Poisoned(format!("cannot read documents: {}", why.into()))
}
