//! Doing it again on purpose: a lane from an earlier place, or dead letters.
//! Every write is idempotent, so either is safe at any time, also while running.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use sluice_seams::{Day, EventDocument, Position, StoreError};
use tokio::sync::oneshot;

use crate::FanOut;
use crate::dead_letter::{Listed, RESOLVE};
use crate::error::ReplayError;
use crate::known::Known;
use crate::record::decode;
use crate::status::ReplayProgress;
use crate::store::{DOCUMENTS_LANE, Documents, LANES, LaneStore, ROWS_LANE, Rows};

/// Letters handed over at a time.
const LETTERS_MAX: usize = 500;

/// Where a replay of a lane begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayFrom {
    /// The first record the log has kept, in every partition.
    Start,
    /// The first record appended at or after this moment (milliseconds since
    /// the Unix epoch), in every partition.
    Time(i64),
    /// This offset of this partition; the others go on as they are.
    Offset(u32, u64),
}

/// Which dead letters to replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadLetterChoice {
    /// Those with these ids, settled or not.
    Ids(Vec<u64>),
    /// All that are not settled and are there when it begins.
    All,
}

/// What became of replayed letters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DeadLetterReplay {
    /// Taken now, and settled.
    pub settled: Vec<u64>,
    /// Refused again, with the reason; they stay as they are.
    pub refused: Vec<(u64, String)>,
}

/// Sets a lane of one partition to an offset.
#[derive(Debug)]
pub(crate) struct Rewind {
    pub to: u64,
    pub reply: oneshot::Sender<Result<ReplayProgress, StoreError>>,
}

// === impl FanOut: lanes ===

impl FanOut {
    /// Sets a lane back, durably; it works its way forward again while the other
    /// lane goes on. Never forward: a place that it has not reached yet begins
    /// where it stands. Progress is in [`status`](Self::status). Answers where
    /// each partition begins and ends; those that another process owns are not
    /// among them.
    pub async fn replay(
        &self,
        lane: &str,
        from: ReplayFrom,
    ) -> Result<Vec<(u32, ReplayProgress)>, ReplayError> {
        let lane = lane_index(lane)?;
        let partitions = self.shared.log.partitions();
        let wanted = match from {
            ReplayFrom::Offset(one, _) if one >= partitions => {
                return Err(ReplayError::UnknownPartition(one, partitions));
            }
            ReplayFrom::Offset(one, _) => one..one + 1,
            ReplayFrom::Start | ReplayFrom::Time(_) => 0..partitions,
        };
        let mut begun = Vec::new();
        for partition in wanted {
            let Some(owned) = self.owners.get(partition) else {
                match from {
                    ReplayFrom::Offset(..) => return Err(ReplayError::NotOwned(partition)),
                    ReplayFrom::Start | ReplayFrom::Time(_) => continue,
                }
            };
            let to = self.place(partition, from).await?;
            let (reply, done) = oneshot::channel();
            let orders = owned.orders[lane].clone();
            // Held on, it would keep a partition that is given back meanwhile.
            drop(owned);
            orders.send(Rewind { to, reply }).await.map_err(|_| ReplayError::Stopping)?;
            let progress = done.await.map_err(|_| ReplayError::Stopping)??;
            begun.push((partition, progress));
        }
        Ok(begun)
    }

    async fn place(&self, partition: u32, from: ReplayFrom) -> Result<u64, ReplayError> {
        let (first, end) = self.shared.log.bounds(partition);
        let wanted = match from {
            ReplayFrom::Start => first,
            ReplayFrom::Offset(_, offset) => offset,
            ReplayFrom::Time(ms) => self.shared.log.offset_at(partition, ms).await?,
        };
        Ok(wanted.clamp(first, end))
    }
}

fn lane_index(lane: &str) -> Result<usize, ReplayError> {
    LANES
        .iter()
        .position(|name| *name == lane)
        .ok_or_else(|| ReplayError::UnknownLane(lane.to_owned()))
}

// === impl FanOut: dead letters ===

impl FanOut {
    /// Hands dead letters to their stores again. Where a store fails in passing
    /// it stops with that error; what was settled by then stays settled.
    pub async fn replay_dead_letters(
        &self,
        choice: DeadLetterChoice,
    ) -> Result<DeadLetterReplay, ReplayError> {
        let mut outcome = DeadLetterReplay::default();
        match choice {
            DeadLetterChoice::Ids(ids) => {
                for ids in ids.chunks(LETTERS_MAX) {
                    let mut letters = Vec::with_capacity(ids.len());
                    for &id in ids {
                        let letter = self.dead_letters().show(id).await?;
                        letters.push(letter.ok_or(ReplayError::UnknownDeadLetter(id))?);
                    }
                    self.hand_over(letters, &mut outcome).await?;
                }
            }
            DeadLetterChoice::All => {
                let end = self.dead_letter_log.bounds(0).1;
                let mut next = Some(0);
                while let Some(from) = next {
                    let page = self.dead_letters().list(from, LETTERS_MAX).await?;
                    next = page.next.filter(|next| *next < end);
                    let open = page.letters.into_iter().filter(|one| !one.settled && one.id < end);
                    self.hand_over(open.collect(), &mut outcome).await?;
                }
            }
        }
        Ok(outcome)
    }

    async fn hand_over(
        &self,
        letters: Vec<Listed>,
        outcome: &mut DeadLetterReplay,
    ) -> Result<(), ReplayError> {
        let known = outcome.settled.len();
        let (mut documents, mut rows) = (Vec::new(), Vec::new());
        for Listed { id, letter, .. } in letters {
            match letter.lane.as_str() {
                DOCUMENTS_LANE => documents.push((id, letter)),
                ROWS_LANE => rows.push((id, letter)),
                RESOLVE => match self.append_again(letter.partition, letter.payload).await? {
                    Ok(()) => outcome.settled.push(id),
                    Err(detail) => outcome.refused.push((id, detail)),
                },
                other => outcome.refused.push((id, format!("there is no lane `{other}` here"))),
            }
        }
        write_again(&Documents(self.owners.documents.clone()), documents, outcome).await?;
        write_again(&Rows(self.owners.rows.clone()), rows, outcome).await?;
        let settled = &outcome.settled[known..];
        self.dead_letters()
            .settle(settled)
            .await
            .map_err(|fatal| ReplayError::Store(StoreError::Poisoned(fatal.to_string())))
    }

    /// What failed before the lanes goes to the end of the log, where the
    /// dedupe index sees it in order.
    async fn append_again(
        &self,
        partition: u32,
        payload: Bytes,
    ) -> Result<Result<(), String>, ReplayError> {
        match decode(&payload) {
            Err(detail) => return Ok(Err(detail)),
            Ok(decoded) => {
                if let Some(bad) = decoded.bad.first() {
                    return Ok(Err(bad.detail.to_owned()));
                }
            }
        }
        match self.shared.log.append(partition, payload).await {
            Ok(_) => Ok(Ok(())),
            Err(error) => {
                Err(StoreError::retry(std::time::Duration::ZERO, error.to_string()).into())
            }
        }
    }
}

/// Hands the events of letters to their store in one request; where the store
/// refuses that as a whole, each in its own.
async fn write_again<S: LaneStore>(
    store: &S,
    letters: Vec<(u64, crate::DeadLetter)>,
    outcome: &mut DeadLetterReplay,
) -> Result<(), ReplayError> {
    let mut events = Vec::with_capacity(letters.len());
    for (id, letter) in letters {
        match document(&letter) {
            Some(event) => events.push((id, event)),
            None => outcome.refused.push((id, "the letter's payload cannot be read".to_owned())),
        }
    }
    if events.is_empty() {
        return Ok(());
    }
    let refused = match write_events(store, &events).await? {
        Ok(refused) => refused,
        Err(_) if events.len() > 1 => {
            let mut refused = BTreeMap::new();
            for (at, event) in events.iter().enumerate() {
                match write_events(store, std::slice::from_ref(event)).await? {
                    Ok(of_one) => refused.extend(of_one.into_values().map(|detail| (at, detail))),
                    Err(detail) => drop(refused.insert(at, detail)),
                }
            }
            refused
        }
        Err(detail) => BTreeMap::from([(0, detail)]),
    };
    for (at, (id, _)) in events.into_iter().enumerate() {
        match refused.get(&at) {
            None => outcome.settled.push(id),
            Some(detail) => outcome.refused.push((id, detail.clone())),
        }
    }
    Ok(())
}

/// Writes events: those that are refused again, by their place, or why all are.
async fn write_events<S: LaneStore>(
    store: &S,
    events: &[(u64, EventDocument)],
) -> Result<Result<BTreeMap<usize, String>, String>, ReplayError> {
    let (mut writes, mut origins) = (Vec::new(), Vec::new());
    for (at, (_, event)) in events.iter().enumerate() {
        // Each for itself: a refused one must not take another's state with it.
        let derived = store.derive(&[event], &Known::new(1));
        origins.extend(std::iter::repeat_n(at, derived.writes.len()));
        writes.extend(derived.writes);
    }
    match store.write(writes).await {
        Ok(report) => {
            let mut refused = BTreeMap::new();
            for one in report.refused {
                let Some(at) = origins.get(one.index) else {
                    let detail =
                        format!("a store refused write {} of {}", one.index, origins.len());
                    return Err(StoreError::Poisoned(detail).into());
                };
                refused.insert(*at, one.detail);
            }
            Ok(Ok(refused))
        }
        Err(StoreError::Refused(detail)) => Ok(Err(detail)),
        Err(error) => Err(error.into()),
    }
}

/// The event of a letter, at the place where it stood.
fn document(letter: &crate::DeadLetter) -> Option<EventDocument> {
    let mut decoded = decode(&letter.payload).ok()?;
    let whole = decoded.events.pop()?;
    let day = Day(whole.event.day);
    let position = Position {
        partition: letter.partition,
        offset: letter.offset,
        index: letter.index.unwrap_or(whole.index),
    };
    Some(decoded.document(whole, position, day))
}
