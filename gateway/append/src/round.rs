//! A round: keys reserved together, the records that carry them, and what
//! becomes of each.
//!
//! Most batches take one round. Events of which another request is appending a
//! copy wait for its fate *after* their own round is settled, so that two
//! requests never wait for each other; those whose copy was released go into
//! another round.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use sluice_event::Reason;
use sluice_remember::{Fate as CopyFate, Reservations, Verdict, Waiter};
use sluice_seams::{AppendError, BoxFuture, Key};
use tokio::time::{Instant, timeout_at};

use crate::fate::{Fate, Fates};
use crate::pack::Packed;
use crate::shared::Shared;

/// An event that is encoded but waits for the fate of another copy.
pub(crate) struct Waiting {
    /// Index of the event in its batch.
    pub(crate) slot: usize,
    pub(crate) key: Key,
    pub(crate) fingerprint: u64,
    pub(crate) partition: u32,
    /// Its bytes as a field of a record.
    pub(crate) encoded: Bytes,
}

/// A record on its way into the log.
pub(crate) struct Sent {
    members: Vec<usize>,
    since: Instant,
    append: BoxFuture<'static, Result<u64, AppendError>>,
}

/// Keys reserved together.
pub(crate) struct Round {
    pub(crate) reservations: Reservations,
    /// Event of the batch, for each key.
    pub(crate) slots: Vec<usize>,
    pub(crate) sent: Vec<Sent>,
    pub(crate) waiting: Vec<(Waiter, Waiting)>,
}

// === impl Sent ===

impl Sent {
    /// Hands a record to the log: from here on it is appended, whatever becomes
    /// of the request.
    pub(crate) fn hand_over(shared: &Shared, packed: Packed) -> Self {
        let Packed { partition, members, payload } = packed;
        shared.metrics.handed_over(payload.len());
        let append = shared.log.append(partition, payload);
        Self { members, since: Instant::now(), append }
    }
}

// === impl Round ===

impl Round {
    /// Reserves events anew whose other copy was released, and hands over those
    /// that nobody else took meanwhile. `Err`: too many keys are in flight.
    pub(crate) fn again(
        shared: &Shared,
        head: &[u8],
        events: Vec<Waiting>,
        fates: &mut Fates,
    ) -> Result<Self, Vec<Waiting>> {
        let keys: Vec<_> = events.iter().map(|event| (event.key, event.fingerprint)).collect();
        let Ok(reservations) = shared.remembered.reserve(&keys) else { return Err(events) };
        let slots: Vec<_> = events.iter().map(|event| event.slot).collect();
        let mut fresh = Vec::new();
        for (index, verdict) in reservations.verdicts().iter().enumerate() {
            match verdict {
                Verdict::Fresh => fresh.push((events[index].partition, index)),
                Verdict::Remembered { same } => {
                    fates.set(slots[index], Fate::Duplicate);
                    fates.reused += u64::from(!same);
                }
                Verdict::Twin { .. } | Verdict::InFlight(_) => {}
            }
        }
        let max = shared.config.record_bytes_max;
        let records = crate::pack::pack(fresh, head, max, 0, |index, out| {
            out.extend_from_slice(&events[index].encoded);
        });
        let sent = records.into_iter().map(|packed| Sent::hand_over(shared, packed)).collect();
        let verdicts = reservations.verdicts().iter();
        let waiting = verdicts
            .zip(events)
            .filter_map(|(verdict, event)| match verdict {
                Verdict::InFlight(waiter) => Some((waiter.clone(), event)),
                _ => None,
            })
            .collect();
        Ok(Self { reservations, slots, sent, waiting })
    }

    /// Awaits the appends, confirms what is durable, releases the rest, and
    /// hands back the events that wait for others.
    pub(crate) async fn settle(self, shared: &Shared, fates: &mut Fates) -> Vec<(Waiter, Waiting)> {
        let Self { mut reservations, slots, sent, waiting } = self;
        let timeout = Duration::from_millis(shared.config.append_timeout_ms);
        let mut appends: FuturesUnordered<_> = sent
            .into_iter()
            .map(|Sent { members, since, append }| async move {
                (members, since, timeout_at(since + timeout, append).await)
            })
            .collect();
        while let Some((members, since, result)) = appends.next().await {
            match result {
                Ok(Ok(_)) => {
                    shared.metrics.appended(since.elapsed());
                    reservations.confirm(members.iter().copied());
                    members.iter().for_each(|&index| fates.set(slots[index], Fate::Accepted));
                }
                Ok(Err(error)) => {
                    let reason = shared.failed(&error, fates);
                    reservations.release(members.iter().copied());
                    members.iter().for_each(|&index| fates.set(slots[index], Fate::Retry(reason)));
                }
                Err(_) => {
                    // It goes on in the log all the same; the log decides who was first.
                    tracing::warn!(?timeout, events = members.len(), "an append took too long");
                    reservations.release(members.iter().copied());
                    let fate = Fate::Retry(Reason::OutcomeUnknown);
                    members.iter().for_each(|&index| fates.set(slots[index], fate.clone()));
                }
            }
        }
        twins(reservations.verdicts(), &slots, fates);
        waiting
    }
}

/// Second copies within one batch share the fate of the first.
fn twins(verdicts: &[Verdict], slots: &[usize], fates: &mut Fates) {
    for (index, verdict) in verdicts.iter().enumerate() {
        let Verdict::Twin { first, same } = verdict else { continue };
        let fate = match fates.get(slots[*first]) {
            Some(Fate::Retry(reason)) => Fate::Retry(*reason),
            _ => {
                fates.reused += u64::from(!same);
                Fate::Duplicate
            }
        };
        fates.set(slots[index], fate);
    }
}

/// Waits for the fates of copies that others are appending, until `until`.
/// Hands back the events whose copy was released.
pub(crate) async fn await_others(
    waiting: Vec<(Waiter, Waiting)>,
    until: Instant,
    fates: &mut Fates,
) -> Vec<Waiting> {
    let mut released = Vec::new();
    for (waiter, event) in waiting {
        match timeout_at(until, waiter.fate()).await {
            Ok(CopyFate::Appended) => {
                fates.reused += u64::from(!waiter.same());
                fates.set(event.slot, Fate::Duplicate);
            }
            Ok(CopyFate::Released) => released.push(event),
            Err(_) => fates.set(event.slot, Fate::Retry(Reason::InFlight)),
        }
    }
    released
}
