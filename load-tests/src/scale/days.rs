//! Longer periods: one question over the last day, week, month and quarter of a
//! store that holds ninety days with as many events each.

use std::time::{Duration, Instant};

use sluice_embedded::documents::{DocumentsConfig, EmbeddedDocuments};
use sluice_seams::DocumentStore;

use super::asked::{by_day_and_page, measure as ask, one_number, rounds_of};
use super::context::{Context, tell};
use super::table::Table;
use crate::stored::{Past, api_on};

const DAYS: [i32; 4] = [1, 7, 30, 90];
const DAYS_QUICK: [i32; 2] = [1, 5];
/// Events of a day.
const EVENTS: usize = 20_000;
const EVENTS_QUICK: usize = 200;
/// About how long filling may take; on a machine that is too slow for it, days
/// have fewer events.
const FILL_MAX: Duration = Duration::from_secs(120);

/// Measures it.
///
/// # Errors
/// What the store said.
pub async fn measure(context: &Context) -> Result<Table, String> {
    let periods = if context.quick { &DAYS_QUICK[..] } else { &DAYS[..] };
    let most = periods.iter().copied().max().unwrap_or(1);
    let folder = context.folder("days")?;
    let store = EmbeddedDocuments::open(DocumentsConfig::new(folder.as_ref()));
    let store = store.map_err(|error| error.to_string())?;
    let wanted = context.size(EVENTS, EVENTS_QUICK);
    let (past, begun) = (Past::new(), Instant::now());
    past.file(&store, 0, wanted).await?;
    // The first day says how long the others will take.
    let affordable = FILL_MAX.as_secs_f64() / f64::from(most) / begun.elapsed().as_secs_f64();
    let events = wanted.min((wanted as f64 * affordable) as usize).max(1);
    for day in 1..most {
        past.file(&store, day, events).await?;
        if day % 10 == 0 {
            tell("days", &format!("{day} of {most} days filled, {events} events each"));
        }
    }
    let note = format!(
        "embedded store of {most} days on all cores, {events} events each; {}",
        rounds_of(context)
    );
    let mut table = Table::new("days", "days that a question is over", note);
    let router = api_on(store.clone(), most);
    for days in periods {
        let value = days.to_string();
        ask(context, &mut table, &router, ("day × page", &value), &by_day_and_page(*days)).await?;
        ask(context, &mut table, &router, ("users, one row", &value), &one_number(*days)).await?;
    }
    store.close().await.map_err(|error| error.to_string())?;
    Ok(table)
}
