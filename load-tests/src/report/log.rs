//! The embedded log, against a file that is written and synced in groups of half
//! as many records as the log has under way: by the wall, since the disk is what is
//! waited for, and on all cores.

use super::context::Context;
use super::figure::{Better, Figure, median};
use crate::limits::bodies::BATCH_EVENTS;
use crate::limits::{GROUP_RECORDS, embedded_log, small_log, steps};

/// Groups of a round.
const GROUPS: usize = 200;
const GROUPS_QUICK: usize = 5;

/// Measures it.
///
/// # Errors
/// What the disk said.
pub async fn measure(context: &Context) -> Result<Vec<Figure>, String> {
    let dir = context.folder("log")?;
    let log = small_log(&dir)?;
    let records = &context.bodies.packed[..GROUP_RECORDS];
    let groups = context.size(GROUPS, GROUPS_QUICK);
    let events = (groups * GROUP_RECORDS * BATCH_EVENTS) as f64;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..=context.rounds() {
        let value = embedded_log(&log, records, groups).await?;
        log.housekeep().map_err(|error| error.to_string())?;
        let commit = || steps::group_commit(&dir, records, groups);
        let limit = tokio::task::block_in_place(commit).map_err(|error| error.to_string())?;
        // The first makes files.
        if round > 0 {
            ours.push(events / value.wall.as_secs_f64());
            bare.push(events / limit.wall.as_secs_f64());
        }
    }
    let name = "embedded log, 128 batches under way";
    let limit = (median(&bare), 0.8);
    let figures = log.figures();
    let note = format!(
        "{:.0} records and {:.1} files a group, in one file where it is bare",
        figures.records as f64 / figures.groups as f64,
        figures.syncs as f64 / figures.groups as f64,
    );
    Ok(vec![Figure::new(name, "events/s", Better::Larger, &ours, limit).note(note)])
}
