//! Packs events into records: one partition each, in order, bounded in bytes.

use bytes::{Bytes, BytesMut};

/// A record ready for the log.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) partition: u32,
    /// Indices of its events, in order.
    pub(crate) members: Vec<usize>,
    pub(crate) payload: Bytes,
}

/// Packs events, given as `(partition, index)`, into records. `head` opens each
/// record, `write` appends the event of an index. Within a partition the order
/// of the indices stays.
pub(crate) fn pack(
    mut events: Vec<(u32, usize)>,
    head: &[u8],
    record_bytes_max: usize,
    buffer: &mut BytesMut,
    mut write: impl FnMut(usize, &mut BytesMut),
) -> Vec<Packed> {
    events.sort_unstable();
    let mut records = Vec::new();
    let mut members = Vec::new();
    for (at, &(partition, index)) in events.iter().enumerate() {
        if members.is_empty() {
            buffer.extend_from_slice(head);
        }
        write(index, buffer);
        members.push(index);
        let next = events.get(at + 1).map(|&(partition, _)| partition);
        if next != Some(partition) || buffer.len() >= record_bytes_max {
            let (members, payload) = (std::mem::take(&mut members), buffer.split().freeze());
            records.push(Packed { partition, members, payload });
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_partition_a_record_in_order_and_bounded() {
        let events = vec![(1, 0), (0, 1), (1, 2), (1, 3), (0, 4)];
        let mut buffer = BytesMut::new();
        let write = |index: usize, out: &mut BytesMut| out.extend_from_slice(&[index as u8; 2]);
        let records = pack(events, b"h", 5, &mut buffer, write);
        let seen: Vec<_> = records
            .iter()
            .map(|record| (record.partition, record.members.clone(), record.payload.to_vec()))
            .collect();
        assert_eq!(
            seen,
            [
                (0, vec![1, 4], vec![b'h', 1, 1, 4, 4]),
                (1, vec![0, 2], vec![b'h', 0, 0, 2, 2]),
                (1, vec![3], vec![b'h', 3, 3]),
            ]
        );
        assert!(buffer.is_empty());
    }
}
