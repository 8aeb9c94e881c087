//! The part of a request that runs in the call: check, reserve, encode, hand
//! over. It borrows from the body; what it leaves owns itself.

use bytes::{Bytes, BytesMut};
use sluice_admit::{Admitted, Terms};
use sluice_event::{Dialect, Envelope, Grant, Parsed, Reason, Refusal};
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

/// An admitted event and its index in the batch.
pub(crate) type Slotted<'b> = (usize, Admitted<'b>);

/// Bytes that an event takes in a record beside its texts, about.
const EVENT_OVERHEAD_BYTES: usize = 96;

/// Checks each event: decides those that are wrong, hands back the others.
pub(crate) fn check<'b>(
    terms: &Terms,
    envelope: &Envelope<'_>,
    events: Vec<Parsed<'b>>,
    received_at_ms: i64,
    fates: &mut Fates,
) -> Vec<Slotted<'b>> {
    let mut admitted = Vec::with_capacity(events.len());
    for parsed in events {
        match parsed {
            Parsed::Event(event) => {
                let slot = fates.add(&event.id);
                match terms.check(envelope, event, received_at_ms) {
                    Ok(event) => admitted.push((slot, event)),
                    Err(bad) => {
                        fates.set(slot, Fate::Rejected(bad.reason, located(slot, &bad.detail)));
                    }
                }
            }
            Parsed::Bad { id, reason, detail } => {
                let slot = fates.add(&id);
                fates.set(slot, Fate::Rejected(reason, located(slot, &detail)));
            }
        }
    }
    admitted
}

/// Reserves the admitted events and hands the records of the fresh ones to the
/// log.
pub(crate) fn send(
    shared: &Shared,
    grant: &Grant,
    head: &Head<'_, '_>,
    admitted: &[Slotted<'_>],
    mut fates: Fates,
) -> Result<Prepared, Refusal> {
    let keys: Vec<_> = admitted.iter().map(|(_, event)| (event.key, event.fingerprint)).collect();
    let reservations = shared.remembered.reserve(&keys).map_err(|full| {
        tracing::debug!(%full, "too many events are being appended");
        Refusal::new(Reason::Overloaded, "too many events are being appended: wait and resend")
            .limit(full.in_flight_max as u64)
            .retry_after_ms(shared.config.retry_after_ms)
    })?;
    let (app, partitions) = (AppHash::of(&grant.app_id), shared.log.partitions());
    let texts: usize = admitted.iter().map(|(_, event)| event.event.bytes).sum();
    let mut buffer = BytesMut::with_capacity(1024 + texts + admitted.len() * EVENT_OVERHEAD_BYTES);
    encode::head(head, &mut buffer);
    let head = buffer.split().freeze();
    let mut fresh = Vec::with_capacity(admitted.len());
    let mut waiting = Vec::new();
    for (index, verdict) in reservations.verdicts().iter().enumerate() {
        let (slot, event) = &admitted[index];
        match verdict {
            Verdict::Fresh => fresh.push((partition(app, event, partitions), index)),
            Verdict::Remembered { same } => {
                fates.set(*slot, Fate::Duplicate);
                fates.reused += u64::from(!same);
            }
            // Decided once the first one is.
            Verdict::Twin { .. } => {}
            Verdict::InFlight(waiter) => {
                // Encoded now, while the body is here: its turn may yet come.
                encode::event(&recorded(event), &mut buffer);
                let encoded = buffer.split().freeze();
                let (key, fingerprint) = (event.key, event.fingerprint);
                let partition = partition(app, event, partitions);
                let event = Waiting { slot: *slot, key, fingerprint, partition, encoded };
                waiting.push((waiter.clone(), event));
            }
        }
    }
    let max = shared.config.record_bytes_max;
    let records = pack(fresh, &head, max, &mut buffer, |index, out| {
        encode::event(&recorded(&admitted[index].1), out);
    });
    let sent = records.into_iter().map(|packed| Sent::hand_over(shared, packed)).collect();
    let slots = admitted.iter().map(|(slot, _)| *slot).collect();
    Ok(Prepared { fates, round: Round { reservations, slots, sent, waiting }, head })
}

/// One device stays in one partition, and so does a retry.
fn partition(app: AppHash, admitted: &Admitted<'_>, partitions: u32) -> u32 {
    let device_id = &admitted.event.device_id;
    if device_id.is_empty() {
        admitted.key.partition(partitions)
    } else {
        app.partition(device_id, partitions)
    }
}

pub(crate) fn recorded<'r, 'b>(admitted: &'r Admitted<'b>) -> Recorded<'r, 'b> {
    Recorded {
        event: &admitted.event,
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
