//! Single steps of a call, as [`Collect`](crate::Collect) takes them, for
//! whoever measures them: encoding and packing have no other face to the outside.

use bytes::Bytes;
use sluice_admit::Admitted;
use sluice_event::{Dialect, Envelope, Event, Grant};

use crate::encode;
use crate::prepare::{Slotted, head_of, recorded};

/// Appends one record with all of `admitted` to `out`.
pub fn encode(
    grant: &Grant,
    dialect: Dialect,
    envelope: &Envelope<'_>,
    admitted: &[(Event<'_>, Admitted)],
    received_at_ms: i64,
    out: &mut Vec<u8>,
) {
    encode::head(&head_of(grant, dialect, envelope, received_at_ms), out);
    for (slot, (event, admitted)) in admitted.iter().enumerate() {
        let admitted = *admitted;
        encode::event(&recorded(&Slotted { slot, event, admitted }), out);
    }
}

/// Puts encoded events, each with its partition, into records of about
/// `record_bytes_max` bytes at the most, one partition each; `head` opens each.
pub fn pack(head: &[u8], encoded: &[(u32, Bytes)], record_bytes_max: usize) -> Vec<(u32, Bytes)> {
    let events = encoded.iter().enumerate().map(|(index, (partition, _))| (*partition, index));
    let bytes: usize = encoded.iter().map(|(_, event)| event.len()).sum();
    let write = |index: usize, out: &mut Vec<u8>| out.extend_from_slice(&encoded[index].1);
    let packed =
        crate::pack::pack(events.collect(), head, record_bytes_max, head.len() + bytes, write);
    packed.into_iter().map(|packed| (packed.partition, packed.payload)).collect()
}
