//! Packs events into records: one partition each, in order, bounded in bytes.

use std::ops::Range;

use bytes::Bytes;

/// A record ready for the log.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) partition: u32,
    /// Indices of its events, in order.
    pub(crate) members: Vec<usize>,
    pub(crate) payload: Bytes,
}

/// Packs events, given as `(partition, index)`, into records, in memory of about
/// `room` bytes that all of them share. `head` opens each record, `write` appends the
/// event of an index. Within a partition the order of the indices stays.
pub(crate) fn pack(
    mut events: Vec<(u32, usize)>,
    head: &[u8],
    record_bytes_max: usize,
    room: usize,
    mut write: impl FnMut(usize, &mut Vec<u8>),
) -> Vec<Packed> {
    events.sort_unstable();
    let mut buffer = Vec::with_capacity(room);
    let (mut records, mut first, mut start) = (Vec::new(), 0, 0);
    for (at, &(partition, index)) in events.iter().enumerate() {
        if at == first {
            start = buffer.len();
            buffer.extend_from_slice(head);
        }
        write(index, &mut buffer);
        let next = events.get(at + 1).map(|&(partition, _)| partition);
        if next != Some(partition) || buffer.len() - start >= record_bytes_max {
            records.push((partition, &events[first..=at], start..buffer.len()));
            first = at + 1;
        }
    }
    let buffer = Bytes::from(buffer);
    let packed = |(partition, events, bytes): (u32, &[(u32, usize)], Range<usize>)| {
        let members = events.iter().map(|&(_, index)| index).collect();
        Packed { partition, members, payload: buffer.slice(bytes) }
    };
    records.into_iter().map(packed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_partition_a_record_in_order_and_bounded() {
        let events = vec![(1, 0), (0, 1), (1, 2), (1, 3), (0, 4)];
        let write = |index: usize, out: &mut Vec<u8>| out.extend_from_slice(&[index as u8; 2]);
        let records = pack(events, b"h", 5, 0, write);
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
    }
}
