//! What is in the stores, held against what clients sent and were told.
//!
//! Knows nothing of logs, positions or offsets: it asks questions as a user does
//! and compares ids.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use load_tests::gateway::ask;
use load_tests::population::Sent;
use load_tests::sender::Sender;
use serde_json::{Value, json};

/// Users whose timelines are read whole.
const TIMELINES: usize = 8;
/// Rows of one answer.
const PAGE: usize = 10_000;

/// What was found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Events of the crowd that are counted.
    pub counted: usize,
    /// Acknowledged and not counted.
    pub lost: Vec<String>,
    /// Counted more than once.
    pub twice: Vec<String>,
    /// Acknowledged and not in its user's timeline, or there more than once.
    pub timeline: Vec<String>,
    /// Posted and never acknowledged in the end.
    pub unanswered: usize,
}

// === impl Verdict ===

impl Verdict {
    /// Whether all is as it must be.
    pub fn holds(&self) -> bool {
        self.lost.is_empty()
            && self.twice.is_empty()
            && self.timeline.is_empty()
            && self.unanswered == 0
    }
}

/// Looks at all events whose ids begin with the crowd's name.
pub async fn judge(sender: &Sender, http: &str, crowd: &str) -> Result<Verdict, String> {
    let counted = counted(sender, http, crowd).await?;
    let (sent, acknowledged) = {
        let book = sender.book();
        let of_crowd = |id: &str| id.split('-').next() == Some(crowd);
        let sent: BTreeMap<String, Sent> = book
            .posted
            .iter()
            .filter(|(id, _)| of_crowd(id))
            .map(|(id, sent)| (id.clone(), sent.clone()))
            .collect();
        let acknowledged: BTreeSet<String> =
            book.acknowledged().filter(|id| of_crowd(id)).cloned().collect();
        (sent, acknowledged)
    };
    let mut verdict = Verdict {
        counted: counted.len(),
        lost: acknowledged.iter().filter(|id| !counted.contains_key(*id)).cloned().collect(),
        twice: counted.iter().filter(|(_, n)| **n != 1).map(|(id, _)| id.clone()).collect(),
        unanswered: sent.keys().filter(|id| !acknowledged.contains(*id)).count(),
        ..Verdict::default()
    };
    let mut by_user: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for id in &acknowledged {
        by_user.entry(sent[id].counted_user()).or_default().insert(id);
    }
    let step = (by_user.len() / TIMELINES).max(1);
    for (user, ids) in by_user.iter().step_by(step) {
        let found = timeline(sender, http, user, crowd).await?;
        let mut seen = BTreeSet::new();
        verdict.timeline.extend(found.iter().filter(|id| !seen.insert(id.as_str())).cloned());
        let missing = ids.iter().filter(|id| !seen.contains(**id));
        verdict.timeline.extend(missing.map(|id| (*id).to_owned()));
    }
    Ok(verdict)
}

async fn counted(sender: &Sender, http: &str, crowd: &str) -> Result<HashMap<String, u64>, String> {
    let mut counted = HashMap::new();
    loop {
        let question = json!({
            "metrics": ["event_count"], "dimensions": ["properties.eid"],
            "filters": [["is", "properties.crowd", [crowd]]],
            "date_range": { "last": "7d" }, "limit": PAGE, "offset": counted.len(),
            "order_by": [["properties.eid", "asc"]],
        });
        let answer = ask(sender.client(), http, &question).await?;
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

/// Ids of a crowd in a user's timeline.
async fn timeline(
    sender: &Sender,
    http: &str,
    user: &str,
    crowd: &str,
) -> Result<Vec<String>, String> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let url = format!("{http}/v1/apps/demo/users/{user}/events?limit=1000{cursor}");
        let reply = sender.client().get(&url).bearer_auth("demo-read-token").send().await;
        let reply = reply.map_err(|error| error.to_string())?;
        let page: Value = reply.json().await.map_err(|error| format!("{url}: {error}"))?;
        let events = page["events"].as_array().ok_or_else(|| format!("{url}: {page}"))?;
        let found = events.iter().filter_map(|event| event["id"].as_str());
        ids.extend(found.filter(|id| id.split('-').next() == Some(crowd)).map(str::to_owned));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(ids),
        }
    }
}
