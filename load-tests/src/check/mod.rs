//! Holds a ledger against what is there: nothing acknowledged is missing or
//! there twice, nothing was made up.
//!
//! An event is known by its id. Where a dialect makes ids of its own, it is known
//! by the property `eid`, which repeats the one it was sent with: had the gateway
//! made one id of two events, the second would be missing.

pub mod readback;

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{ArgGroup, Args};
use serde::{Deserialize, Serialize};
use sluice_proto::v1::Event;

use crate::drive::forge::number;
use crate::drive::ledger::{Entries, Naming, Told};
use crate::verdict::counted_by_id;
use readback::Place;

/// Longest wait for what is in the log to be counted.
const COUNTED_WITHIN: Duration = Duration::from_secs(30);

/// Compares a ledger with a log, or with what a gateway counts.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("where").required(true))]
pub struct CheckArgs {
    /// What `drive --ledger` wrote
    #[arg(long, value_name = "DIR")]
    ledger: PathBuf,
    /// Read the embedded log there; its gateway must have ended
    #[arg(long, value_name = "DIR", group = "where")]
    data_dir: Option<PathBuf>,
    /// Read the log in Kafka
    #[arg(long, value_name = "HOST:PORT", group = "where")]
    kafka: Option<String>,
    /// Its topic
    #[arg(long, default_value = "sluice.events", requires = "kafka")]
    topic: String,
    /// Ask a gateway what it counts, event by event: for small runs
    #[arg(long, value_name = "URL", group = "where")]
    query: Option<String>,
}

/// What was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Events that were told to be durable.
    pub acknowledged: u64,
    /// Of them, those that are not there.
    pub lost: u64,
    /// Of them, those that are there more than once.
    pub repeated: u64,
    /// Events that are there although they were never sent, or were told never to
    /// be taken.
    pub made_up: u64,
    /// Events that are there without an acknowledgement: their answer was a
    /// refusal or got lost. Allowed: the client would send them again.
    pub unacknowledged: u64,
}

/// Ledgers by what their ids begin with.
struct Books<'e>(HashMap<&'e str, Count<'e>>);

/// What is read of an event's properties.
#[derive(Deserialize)]
struct Properties<'p> {
    #[serde(borrow)]
    eid: Option<Cow<'p, str>>,
}

/// A ledger's events, and how often each was seen in the log.
struct Count<'e> {
    entries: &'e Entries,
    there: Vec<u8>,
    /// Ids like the run's that it never made.
    strangers: u64,
}

// === impl CheckArgs ===

impl CheckArgs {
    /// Checks, prints the verdict.
    ///
    /// # Errors
    /// Where it is not clean, or cannot be told.
    pub async fn run(self) -> Result<(), String> {
        let verdict = match (self.data_dir, self.kafka, self.query) {
            (Some(dir), _, _) => one(&self.ledger, Place::Embedded(dir)).await?,
            (_, Some(brokers), _) => {
                one(&self.ledger, Place::Kafka { brokers, topic: self.topic }).await?
            }
            (_, _, Some(url)) => against_query(&self.ledger, &url).await?,
            // The arguments are required.
            (None, None, None) => return Err("nothing to check against".to_owned()),
        };
        println!("{}", verdict.words());
        if verdict.clean() { Ok(()) } else { Err("the ledger does not hold".to_owned()) }
    }
}

async fn one(ledger: &Path, place: Place) -> Result<Verdict, String> {
    let verdicts = against_log(&[ledger], &place).await?;
    verdicts.into_iter().next().ok_or_else(|| "no verdict".to_owned())
}

/// Compares ledgers with a log that all of them went into; a verdict for each.
///
/// # Errors
/// What cannot be read.
pub async fn against_log(
    ledgers: &[impl AsRef<Path>],
    place: &Place,
) -> Result<Vec<Verdict>, String> {
    let books = ledgers.iter().map(|ledger| Entries::read(ledger.as_ref()));
    let books = books.collect::<Result<Vec<_>, String>>()?;
    let prefixes = books.iter().map(|(naming, entries)| (&*naming.prefix, Count::new(entries)));
    let mut open = Books(prefixes.collect());
    readback::read(place, |event| open.see(event)).await?;
    let verdict = |(naming, _): &(Naming, _)| open.0.get(&*naming.prefix).map(Count::judge);
    Ok(books.iter().filter_map(verdict).collect())
}

async fn against_query(ledger: &Path, url: &str) -> Result<Verdict, String> {
    let (naming, entries) = Entries::read(ledger)?;
    let client =
        reqwest::Client::builder().no_proxy().build().map_err(|error| error.to_string())?;
    let begun = Instant::now();
    loop {
        let mut seen = Count::new(&entries);
        let counted = counted_by_id(&client, url).await?;
        for (id, count) in counted.iter().filter(|(id, _)| id.starts_with(&naming.prefix)) {
            seen.see(number(&naming.prefix, id), *count);
        }
        let verdict = seen.judge();
        // What was acknowledged is in the log, and counted a little later.
        if verdict.lost == 0 || begun.elapsed() > COUNTED_WITHIN {
            return Ok(verdict);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

// === impl Books ===

impl Books<'_> {
    /// Others may have used the same log: what is of none of the ledgers is passed
    /// over.
    fn see(&mut self, event: &Event) {
        if self.see_id(&event.id) {
            return;
        }
        let properties = serde_json::from_slice::<Properties<'_>>(&event.properties);
        if let Ok(Properties { eid: Some(eid) }) = properties {
            self.see_id(&eid);
        }
    }

    /// Whether an id is of one of them.
    fn see_id(&mut self, id: &str) -> bool {
        let Some((prefix, _)) = id.split_once('-') else { return false };
        let Some(count) = self.0.get_mut(prefix) else { return false };
        count.see(number(prefix, id), 1);
        true
    }
}

// === impl Count ===

impl<'e> Count<'e> {
    fn new(entries: &'e Entries) -> Self {
        let there = vec![0; entries.told.len()];
        Self { entries, there, strangers: 0 }
    }

    fn see(&mut self, number: Option<u64>, times: u64) {
        let place = number.and_then(|number| self.there.get_mut(number as usize));
        match place {
            Some(count) => *count = count.saturating_add(times.min(u8::MAX.into()) as u8),
            None => self.strangers += 1,
        }
    }

    fn judge(&self) -> Verdict {
        let mut verdict = Verdict { made_up: self.strangers, ..Verdict::default() };
        for (told, count) in self.entries.told.iter().zip(&self.there) {
            match (told, count) {
                (Told::Acknowledged, count) => {
                    verdict.acknowledged += 1;
                    verdict.lost += u64::from(*count == 0);
                    verdict.repeated += u64::from(*count > 1);
                }
                (_, 0) => {}
                (Told::Unknown, _) => verdict.unacknowledged += 1,
                (Told::Unsent | Told::Rejected, _) => verdict.made_up += 1,
            }
        }
        verdict
    }
}

// === impl Verdict ===

impl Verdict {
    /// Something was acknowledged, and all of that is there exactly once.
    pub fn clean(&self) -> bool {
        self.acknowledged > 0 && self.lost + self.repeated + self.made_up == 0
    }

    /// For people.
    pub fn words(&self) -> String {
        let Self { acknowledged, lost, repeated, made_up, unacknowledged } = self;
        format!(
            "{acknowledged} events acknowledged: {lost} lost, {repeated} there more than once; \
             {made_up} there that nobody sent or that were rejected; {unacknowledged} there \
             without an acknowledgement"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_counted_by_kind() {
        use Told::{Acknowledged, Rejected, Unknown, Unsent};
        let told = vec![Acknowledged, Acknowledged, Acknowledged, Unknown, Rejected, Unsent];
        let judge = |told: &[Told], there: &[u8], strangers| {
            let entries = Entries { told: told.to_vec() };
            Count { entries: &entries, there: there.to_vec(), strangers }.judge()
        };
        let clean = judge(&told, &[1, 1, 1, 0, 0, 0], 0);
        assert!(clean.clean(), "{}", clean.words());
        let verdict = judge(&told, &[1, 0, 2, 1, 1, 1], 1);
        let wanted =
            Verdict { acknowledged: 3, lost: 1, repeated: 1, made_up: 3, unacknowledged: 1 };
        assert_eq!(verdict, wanted);
        assert!(!verdict.clean());
        assert!(!judge(&[], &[], 0).clean(), "nothing proves nothing");
    }

    #[test]
    fn an_event_is_known_by_its_id_or_by_the_one_it_was_sent_with() {
        let entries = Entries { told: vec![Told::Acknowledged; 3] };
        let mut books = Books(HashMap::from([("r1", Count::new(&entries))]));
        for (id, properties) in [
            ("r1-000000000000", ""),
            ("sa-0123", r#"{"sku":"7","eid":"r1-000000000001","ab":{"eid":"r1-000000000000"}}"#),
            // Of another run, of nobody, and damaged.
            ("r2-000000000002", r#"{"eid":"r2-000000000002"}"#),
            ("sa-0124", r#"{"eid":7}"#),
            ("sa-0125", "{"),
        ] {
            let properties = bytes::Bytes::from_static(properties.as_bytes());
            books.see(&Event { id: id.to_owned(), properties, ..Event::default() });
        }
        assert_eq!(books.0["r1"].there, [1, 1, 0]);
        assert_eq!(books.0["r1"].strangers, 0);
    }
}
