//! More stored events: the console's question over a store of thirty days that
//! grows to ten million.

use std::time::Duration;

use sluice_embedded::documents::{DocumentsConfig, EmbeddedDocuments};
use sluice_seams::DocumentStore;

use super::asked::{by_day_and_page, measure as ask, one_number, rounds_of};
use super::context::{Bound, Context, tell};
use super::table::Table;
use crate::stored::{DAYS, Past, api_on};

const EVENTS: [usize; 3] = [100_000, 1_000_000, 10_000_000];
const EVENTS_QUICK: [usize; 2] = [3_000, 9_000];
/// Events of one day that are added at a time.
const PIECE: usize = 5_000;
/// Longest for filling; as many as there are then is the last value.
const FILL_MAX: Duration = Duration::from_secs(360);

/// Measures it.
///
/// # Errors
/// What the store said.
pub async fn measure(context: &Context) -> Result<Table, String> {
    let note = format!("embedded store on all cores, {DAYS} days alike; {}", rounds_of(context));
    let mut table = Table::new("stored", "stored events", note);
    let folder = context.folder("stored")?;
    let store = EmbeddedDocuments::open(DocumentsConfig::new(folder.as_ref()));
    let store = store.map_err(|error| error.to_string())?;
    let (past, mut stored, bound) = (Past::new(), 0, Bound::within(FILL_MAX));
    let router = api_on(store.clone(), DAYS);
    for events in if context.quick { &EVENTS_QUICK[..] } else { &EVENTS[..] } {
        while stored < *events && !bound.over() {
            let piece = (*events - stored).div_ceil(DAYS as usize).min(PIECE);
            for day in 0..DAYS {
                past.file(&store, day, piece).await?;
            }
            stored += piece * DAYS as usize;
            tell("stored", &format!("{stored} of {events} events stored"));
        }
        let value = stored.to_string();
        let question = by_day_and_page(DAYS);
        ask(context, &mut table, &router, ("day × page", &value), &question).await?;
        ask(context, &mut table, &router, ("users, one row", &value), &one_number(DAYS)).await?;
        if stored < *events {
            table.note.push_str(&format!("; {events} were not stored within {FILL_MAX:?}"));
            break;
        }
    }
    store.close().await.map_err(|error| error.to_string())?;
    Ok(table)
}
