//! What a gateway counts, held against what its clients were told.

use std::collections::HashMap;

use serde_json::json;

use crate::gateway::ask;
use crate::population::Sent;
use crate::sender::Sender;

/// Rows of one answer.
const PAGE: usize = 10_000;

/// How often each id is counted, page by page. Every event must repeat its id in
/// `properties.eid`.
pub async fn counted_by_id(
    client: &reqwest::Client,
    http: &str,
) -> Result<HashMap<String, u64>, String> {
    let mut counted = HashMap::new();
    loop {
        let question = json!({
            "metrics": ["event_count"], "dimensions": ["properties.eid"],
            "date_range": { "last": "7d" }, "limit": PAGE, "offset": counted.len(),
            "order_by": [["properties.eid", "asc"]],
        });
        let answer = ask(client, http, &question).await?;
        let rows = answer["results"].as_array().cloned().unwrap_or_default();
        for row in &rows {
            let id = row["dimensions"][0].as_str().ok_or("an event without properties.eid")?;
            let count = row["metrics"][0].as_u64().ok_or("a count is a whole number")?;
            if counted.insert(id.to_owned(), count).is_some() {
                return Err(format!("{id} stands in two rows"));
            }
        }
        if rows.len() < PAGE {
            return Ok(counted);
        }
    }
}

/// Nothing acknowledged is missing, nothing counts twice, nothing was made up;
/// the events counted. Where everything was answered in the end, `all` holds.
pub async fn check_book(sender: &Sender, http: &str, all: bool) -> Result<Vec<Sent>, String> {
    let counted = counted_by_id(sender.client(), http).await?;
    let book = sender.book();
    let lost: Vec<_> = book.acknowledged().filter(|id| !counted.contains_key(*id)).collect();
    if !lost.is_empty() {
        return Err(format!("{} acknowledged and lost: {lost:?}", lost.len()));
    }
    let twice: Vec<_> = counted.iter().filter(|(_, count)| **count != 1).collect();
    if !twice.is_empty() {
        return Err(format!("{} counted more than once: {twice:?}", twice.len()));
    }
    let unsent: Vec<_> = counted.keys().filter(|id| !book.posted.contains_key(*id)).collect();
    if !unsent.is_empty() {
        return Err(format!("counted what nobody sent: {unsent:?}"));
    }
    if all && book.acknowledged().count() != book.posted.len() {
        return Err("not everything posted was answered".to_owned());
    }
    Ok(book.posted.values().filter(|sent| counted.contains_key(&sent.id)).cloned().collect())
}
