//! The part of a request that runs in the call: check, reserve, encode, hand
//! over. It borrows from the body; what it leaves owns itself.

use bytes::Bytes;
use sluice_admit::{Admitted, Terms};
use sluice_event::{Dialect, Envelope, Event, Grant, Parsed, Reason, Refusal};
use sluice_remember::Verdict;
use sluice_seams::key::AppHash;

use crate::encode::{self, Head, Recorded};
use crate::fate::{Fate, Fates, located};
use crate::pack::pack;
use crate::round::{Round, Sent, Waiting};
use crate::shared::Shared;

/// A batch whose records are on their way.
pub(crate) struct Prepared {
    pub(crate) fates: Fates,
    pub(crate) round: Round,
    /// What opens each of its records.
    pub(crate) head: Bytes,
}

/// An admitted event of a batch.
pub(crate) struct Slotted<'e, 'b> {
    /// Its index in the batch.
    pub(crate) slot: usize,
    pub(crate) event: &'e Event<'b>,
    pub(crate) admitted: Admitted,
}

/// Bytes of what opens a record, about.
const HEAD_BYTES_USUAL: usize = 256;
/// Bytes that an event takes in a record beside its texts, about.
const EVENT_OVERHEAD_BYTES: usize = 96;

/// Checks each event where it lies: decides those that are wrong, hands back the others.
pub(crate) fn check<'e, 'b>(
    terms: &Terms,
    envelope: &Envelope<'_>,
    events: &'e mut [Parsed<'b>],
    received_at_ms: i64,
    fates: &mut Fates,
) -> Vec<Slotted<'e, 'b>> {
    let mut passed = Vec::with_capacity(events.len());
    for parsed in events {
        match parsed {
            Parsed::Event(event) => {
                let slot = fates.add(&event.id);
                match terms.check(envelope, event, received_at_ms) {
                    Ok(admitted) => passed.push(Slotted { slot, event, admitted }),
                    Err(bad) => {
                        fates.set(slot, Fate::Rejected(bad.reason, located(slot, &bad.detail)));
                    }
                }
            }
            Parsed::Bad { id, reason, detail } => {
                let slot = fates.add(id);
                fates.set(slot, Fate::Rejected(*reason, located(slot, detail)));
            }
        }
    }
    passed
}

/// Reserves the admitted events and hands the records of the fresh ones to the
/// log.
pub(crate) fn send(
    shared: &Shared,
    grant: &Grant,
    head: &Head<'_, '_>,
    passed: &[Slotted<'_, '_>],
    mut fates: Fates,
) -> Result<Prepared, Refusal> {
    let keys: Vec<_> = passed.iter().map(|it| (it.admitted.key, it.admitted.fingerprint)).collect();
    let reservations = shared.remembered.reserve(&keys).map_err(|full| {
        tracing::debug!(%full, "too many events are being appended");
        Refusal::new(Reason::Overloaded, "too many events are being appended: wait and resend")
            .limit(full.in_flight_max as u64)
            .retry_after_ms(shared.config.retry_after_ms)
    })?;
    let (app, partitions) = (AppHash::of(&grant.app_id), shared.log.partitions());
    let texts: usize = passed.iter().map(|it| it.event.bytes).sum();
    let mut encoded = Vec::with_capacity(HEAD_BYTES_USUAL);
    encode::head(head, &mut encoded);
    let head = Bytes::from(encoded);
    let mut fresh = Vec::with_capacity(passed.len());
    let mut waiting = Vec::new();
    for (index, verdict) in reservations.verdicts().iter().enumerate() {
        let event = &passed[index];
        match verdict {
            Verdict::Fresh => fresh.push((partition(app, event, partitions), index)),
            Verdict::Remembered { same } => {
                fates.set(event.slot, Fate::Duplicate);
                fates.reused += u64::from(!same);
            }
            // Decided once the first one is.
            Verdict::Twin { .. } => {}
            Verdict::InFlight(waiter) => {
                // Encoded now, while the body is here: its turn may yet come.
                let mut encoded = Vec::new();
                encode::event(&recorded(event), &mut encoded);
                let encoded = Bytes::from(encoded);
                let Admitted { key, fingerprint, .. } = event.admitted;
                let partition = partition(app, event, partitions);
                let event = Waiting { slot: event.slot, key, fingerprint, partition, encoded };
                waiting.push((waiter.clone(), event));
            }
        }
    }
    let max = shared.config.record_bytes_max;
    let room = head.len() * 2 + texts + passed.len() * EVENT_OVERHEAD_BYTES;
    let records = pack(fresh, &head, max, room, |index, out| {
        encode::event(&recorded(&passed[index]), out);
    });
    let sent = records.into_iter().map(|packed| Sent::hand_over(shared, packed)).collect();
    let slots = passed.iter().map(|it| it.slot).collect();
    Ok(Prepared { fates, round: Round { reservations, slots, sent, waiting }, head })
}

/// One device stays in one partition, and so does a retry.
fn partition(app: AppHash, passed: &Slotted<'_, '_>, partitions: u32) -> u32 {
    let device_id = &passed.event.device_id;
    if device_id.is_empty() {
        passed.admitted.key.partition(partitions)
    } else {
        app.partition(device_id, partitions)
    }
}

pub(crate) fn recorded<'r, 'b>(
    Slotted { event, admitted, .. }: &'r Slotted<'_, 'b>,
) -> Recorded<'r, 'b> {
    Recorded {
        event,
        key: admitted.key.to_bytes(),
        time_corrected_ms: admitted.timing.corrected_ms,
        day: admitted.timing.day.0,
        fingerprint: admitted.fingerprint,
        flags: admitted.flags,
    }
}

/// The head of a batch's records.
pub(crate) fn head_of<'r, 'b>(
    grant: &'r Grant,
    dialect: Dialect,
    envelope: &'r Envelope<'b>,
    received_at_ms: i64,
) -> Head<'r, 'b> {
    Head { app_id: &grant.app_id, envelope, received_at_ms, source: dialect.name() }
}
