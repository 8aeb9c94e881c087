//! Packs events into records: one partition each, in order, bounded in bytes.

use bytes::Bytes;

/// A record ready for the log.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) partition: u32,
    /// Indices of its events, in order.
    pub(crate) members: Vec<usize>,
    pub(crate) payload: Bytes,
}

/// Packs events, given as `(partition, index)`, into records. `head` opens each
/// record, `write` appends the event of an index to `buffer`, which all of them
/// share. Within a partition the order of the indices stays.
pub(crate) fn pack(
    mut events: Vec<(u32, usize)>,
    head: &[u8],
    record_bytes_max: usize,
    mut buffer: Vec<u8>,
    mut write: impl FnMut(usize, &mut Vec<u8>),
) -> Vec<Packed> {
    events.sort_unstable();
    buffer.clear();
    let (mut records, mut members, mut start) = (Vec::new(), Vec::new(), 0);
    for (at, &(partition, index)) in events.iter().enumerate() {
        if members.is_empty() {
            start = buffer.len();
            buffer.extend_from_slice(head);
            members.reserve_exact(events.len() - at);
        }
        write(index, &mut buffer);
        members.push(index);
        let next = events.get(at + 1).map(|&(partition, _)| partition);
        if next != Some(partition) || buffer.len() - start >= record_bytes_max {
            records.push((partition, std::mem::take(&mut members), start..buffer.len()));
        }
    }
    let buffer = Bytes::from(buffer);
    let packed = |(partition, members, bytes)| {
        let payload = buffer.slice(bytes);
        Packed { partition, members, payload }
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
        let records = pack(events, b"h", 5, Vec::new(), write);
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
