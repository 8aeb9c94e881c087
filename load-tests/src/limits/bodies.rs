//! What the steps work on: the bodies and records of the same batches.

use bytes::Bytes;
use prost::Message;
use sluice_proto::v1::{Batch, BatchRecord, Envelope, RecordEvent};
use sluice_seams::Day;
use sluice_seams::key::AppHash;

use crate::crowd::now_ms;
use crate::drive::body::Form;
use crate::drive::forge::{Forge, Mix};
use crate::drive::kind::Kind;

/// Events of a batch, as SDKs send by default.
pub const BATCH_EVENTS: usize = 50;
/// Batches that differ: more than any cache between core and memory holds.
const BATCHES: u64 = 256;

/// Bodies and records.
pub struct Bodies {
    /// JSON.
    pub json: Vec<Bytes>,
    /// The same through gzip.
    pub gzip: Vec<Bytes>,
    /// Protobuf.
    pub protobuf: Vec<Bytes>,
    /// Records of the log, a batch each.
    pub packed: Vec<Bytes>,
    /// Records of the log, an event each.
    pub single: Vec<Bytes>,
}

// === impl Bodies ===

impl Bodies {
    /// Makes them.
    pub fn make() -> Self {
        let of = |kind| {
            let forge = Forge::new(Form::new(kind, "limit"), BATCH_EVENTS, Mix::CLEAN, 7);
            (0..BATCHES).map(|batch| forge.make(batch).body).collect::<Vec<_>>()
        };
        let protobuf = of(Kind::Protobuf);
        let (mut packed, mut single) = (Vec::new(), Vec::new());
        for body in &protobuf {
            let batch = Batch::decode(body.clone()).expect("made here");
            let record = record(batch);
            let BatchRecord { envelope, received_at, source, events } = record.clone();
            packed.push(record.encode_to_vec().into());
            single.extend(events.into_iter().map(|event| {
                let (envelope, source) = (envelope.clone(), source.clone());
                let one = BatchRecord { envelope, received_at, source, events: vec![event] };
                Bytes::from(one.encode_to_vec())
            }));
        }
        Self { json: of(Kind::Json), gzip: of(Kind::JsonGzip), protobuf, packed, single }
    }
}

/// The record of a batch, as the append step makes it.
fn record(batch: Batch) -> BatchRecord {
    let app = AppHash::of("demo");
    let envelope = Envelope {
        app_id: "demo".to_owned(),
        platform: batch.platform,
        app_version: batch.app_version,
        device: batch.device,
        sent_at: batch.sent_at,
        batch_id: batch.batch_id,
        ..Envelope::default()
    };
    let event = |event: sluice_proto::v1::Event| {
        let key = app.key(&event.id);
        RecordEvent {
            key: key.to_bytes().to_vec().into(),
            time_corrected: event.time,
            day: Day::of(event.time).0,
            fingerprint: key.0 as u64,
            event: Some(event),
            flags: 0,
        }
    };
    BatchRecord {
        envelope: Some(envelope),
        received_at: now_ms(),
        source: "native".to_owned(),
        events: batch.events.into_iter().map(event).collect(),
    }
}
