//! Steps that need nothing but a core: what they cost at the least.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use flate2::bufread::MultiGzDecoder;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use serde::de::IgnoredAny;
use sluice_remember::{RememberConfig, Remembered};
use sluice_seams::Key;
use sluice_telemetry::Registry;

use super::bodies::BATCH_EVENTS;
use crate::measure::{Spent, Stopwatch};
use crate::population::Random;

/// Field of `Batch` that holds the events.
const EVENTS_FIELD: u32 = 13;
/// A file is begun anew past this, so that a measurement does not fill a disk.
const FILE_BYTES_MAX: u64 = 512 << 20;

/// Inflates each body into the same memory.
pub fn inflate(bodies: &[Bytes], batches: usize) -> Spent {
    let (mut into, watch) = (Vec::new(), Stopwatch::start());
    for body in bodies.iter().cycle().take(batches) {
        into.clear();
        let read = MultiGzDecoder::new(&body[..]).read_to_end(&mut into);
        black_box(read.expect("made here"));
    }
    watch.spent()
}

/// Checks that each body is JSON, and keeps nothing.
pub fn json_scan(bodies: &[Bytes], batches: usize) -> Spent {
    let watch = Stopwatch::start();
    for body in bodies.iter().cycle().take(batches) {
        black_box(serde_json::from_slice::<IgnoredAny>(body).expect("made here"));
    }
    watch.spent()
}

/// Walks over the fields of each batch and of its events.
pub fn protobuf_walk(bodies: &[Bytes], batches: usize) -> Spent {
    let watch = Stopwatch::start();
    for body in bodies.iter().cycle().take(batches) {
        black_box(walk(body, true).expect("made here"));
    }
    watch.spent()
}

fn walk(mut body: &[u8], into_events: bool) -> Result<u32, prost::DecodeError> {
    let mut fields = 0;
    while body.has_remaining() {
        let (tag, wire_type) = decode_key(&mut body)?;
        fields += 1;
        if into_events && tag == EVENTS_FIELD && wire_type == WireType::LengthDelimited {
            let length = decode_varint(&mut body)? as usize;
            let (event, rest) = body.split_at_checked(length).unwrap_or((body, &[]));
            fields += walk(event, false)?;
            body = rest;
        } else {
            skip_field(wire_type, tag, &mut body, DecodeContext::default())?;
        }
    }
    Ok(fields)
}

/// Reserves and confirms new keys in a set of the default size, a batch at a time.
pub fn remember(batches: usize) -> Spent {
    let registry = Registry::new();
    let set = Remembered::new(RememberConfig::default(), &registry).expect("valid bounds");
    let mut random = Random::new(7);
    let mut watch = Stopwatch::start();
    let mut keys = [(Key(0), 0); BATCH_EVENTS];
    // The first half fills it to the size at which the second is counted.
    for number in 0..batches * 2 {
        if number == batches {
            watch = Stopwatch::start();
        }
        for key in &mut keys {
            let low = random.bits();
            *key = (Key((u128::from(random.bits()) << 64) | u128::from(low)), low);
        }
        confirm(&set, &keys);
    }
    watch.spent()
}

fn confirm(set: &Arc<Remembered>, keys: &[(Key, u64)]) {
    let mut guard = set.reserve(keys).expect("nothing else is in flight");
    guard.confirm(0..keys.len());
}

/// Writes groups of records, each made durable by one `fdatasync`.
///
/// # Errors
/// What the disk said.
pub fn group_commit(dir: &Path, records: &[Bytes], groups: usize) -> std::io::Result<Spent> {
    let mut file = File::create(dir.join("bare"))?;
    let mut group: Vec<u8> = Vec::with_capacity(records.iter().map(Bytes::len).sum());
    let (mut written, watch) = (0, Stopwatch::start());
    for _ in 0..groups {
        group.clear();
        records.iter().for_each(|record| group.extend_from_slice(record));
        file.write_all(&group)?;
        file.sync_data()?;
        written += group.len() as u64;
        if written > FILE_BYTES_MAX {
            file = File::create(dir.join("bare"))?;
            written = 0;
        }
    }
    Ok(watch.spent())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::bodies::Bodies;

    #[test]
    fn each_step_does_its_work_on_bodies_that_are_valid() {
        let bodies = Bodies::make();
        let fields = walk(&bodies.protobuf[0], true).expect("protobuf");
        assert!(fields > 50 * 8, "{fields} fields");
        for spent in [
            inflate(&bodies.gzip, 3),
            json_scan(&bodies.json, 3),
            protobuf_walk(&bodies.protobuf, 3),
            remember(3),
        ] {
            assert!(spent.cpu.as_nanos() > 0);
        }
        let dir = tempfile::tempdir().expect("temp dir");
        let spent = group_commit(dir.path(), &bodies.packed[..2], 3).expect("written");
        assert!(spent.wall.as_nanos() > 0);
    }
}
