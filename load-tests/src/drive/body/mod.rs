//! Batches as the SDKs of each protocol write them.
//!
//! Every event repeats its id as the property `eid`: some dialects make ids of
//! their own out of what a retry does not change, and `check` has to know an event
//! again. What a retry does not change holds the id, so that no two events of a
//! run are one. Ids have a fixed width and stand in the text as they are, so that
//! bodies can be made by putting digits in (see [`super::forge`]).
//!
//! A bad event is bad in a way that its SDK or a broken device can bring about.

mod cloudevents;
mod datarangers;
pub(crate) mod otlp;
mod segment;
mod sensors;

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use prost::Message;
use serde_json::{Map, Value};

use super::kind::Kind;
use crate::population::{Sent, body};
use crate::traffic;

pub use sensors::{FLUSH_TIME, TRACK_ID};

/// The name of an event that can never be taken.
pub const BAD: &str = "not a name";
/// Digits of a number in an id.
pub const DIGITS: usize = 12;

/// What all bodies of a run have in common.
#[derive(Debug, Clone)]
pub struct Form {
    /// In which form events are handed in.
    pub kind: Kind,
    /// What ids begin with.
    pub prefix: String,
    /// The app in DataRangers bodies, which have no key.
    pub datarangers_app_id: u64,
}

// === impl Form ===

impl Form {
    /// For the app of a gateway without a config file.
    pub fn new(kind: Kind, prefix: &str) -> Self {
        Self { kind, prefix: prefix.to_owned(), datarangers_app_id: 10_001 }
    }

    /// Writes a batch out, sent at `clock_ms` by the device's clock; not yet
    /// [packed](Self::pack).
    pub fn write(&self, events: &[Sent], clock_ms: i64) -> Vec<u8> {
        match self.kind {
            Kind::Json | Kind::JsonGzip => body(events, clock_ms).into_bytes(),
            Kind::Protobuf | Kind::Grpc | Kind::GrpcStream => {
                let mut batch = traffic::batch_message(events, clock_ms);
                batch.batch_id = format!("{}+{:0DIGITS$}", self.prefix, 0);
                batch.encode_to_vec()
            }
            Kind::Sensors => text(&sensors::list(events, clock_ms)),
            Kind::DataRangers => text(&datarangers::packets(events, self.datarangers_app_id)),
            Kind::CloudEvents => text(&cloudevents::batch(events)),
            Kind::Segment => text(&segment::batch(events, clock_ms)),
            Kind::OtlpJson => text(&otlp::json(&otlp::request(events, clock_ms))),
            Kind::OtlpProtobuf | Kind::OtlpGrpc => otlp::request(events, clock_ms).encode_to_vec(),
        }
    }

    /// What goes over the wire: through gzip, in a form, or as it is.
    pub fn pack(&self, written: Vec<u8>) -> Bytes {
        match self.kind {
            Kind::JsonGzip => gzip(&written).into(),
            Kind::Sensors => sensors::form(&gzip(&written)),
            _ => written.into(),
        }
    }
}

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("in memory")
}

/// RFC 3339 in UTC.
fn moment(time_ms: i64) -> String {
    Timestamp::from_millisecond(time_ms).map(|time| time.to_string()).unwrap_or_default()
}

/// The custom properties of an event, the id among them.
fn custom(event: &Sent) -> Map<String, Value> {
    match event.json()["properties"].take() {
        Value::Object(custom) => custom,
        _ => Map::new(),
    }
}

/// An object less its members without a value: SDKs leave those out.
fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(members) = &mut value {
        members.retain(|_, value| !value.is_null());
    }
    value
}

/// A protocol's word for a name, else the name.
fn word(words: &[(&str, &'static str)], name: &'static str) -> &'static str {
    words.iter().find(|(ours, _)| *ours == name).map_or(name, |(_, theirs)| theirs)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use sluice_event::{Batch, Parsed};

    use super::super::forge::{Forge, Mix, number};
    use super::*;
    use crate::reader::Reader;

    const EVENTS: usize = 4;

    /// The id and the number of each event, as the gateway reads them.
    fn read(reader: &mut Reader, forge: &Forge, kind: Kind, arrival: u64) -> Vec<(String, u64)> {
        let each = |batch: Batch<'_>| batch.events.iter().map(|it| one(kind, it)).collect();
        let body = Reader::framed(kind, forge.make(arrival).body);
        reader.read(&body, each).unwrap_or_else(|why| panic!("{}: {why}", kind.name()))
    }

    fn one(kind: Kind, parsed: &Parsed<'_>) -> (String, u64) {
        let Parsed::Event(event) = parsed else { panic!("{}: {parsed:?}", kind.name()) };
        let properties: Value = serde_json::from_slice(&event.properties).expect("JSON");
        let eid = properties["eid"].as_str().expect("an eid");
        (event.id.to_string(), number("t", eid).expect("a number"))
    }

    #[test]
    fn every_event_of_every_kind_is_read_and_is_one_of_its_own() {
        for kind in Kind::ALL {
            let forge = Forge::new(Form::new(kind, "t"), EVENTS, Mix::CLEAN, 7);
            let (mut reader, mut seen) = (Reader::new(kind), HashSet::new());
            // Of one stencil: the digits alone tell them apart.
            for arrival in [3, 3 + 256, 3 + 512] {
                let found = read(&mut reader, &forge, kind, arrival);
                let numbers: Vec<u64> = found.iter().map(|(_, number)| *number).collect();
                let first = arrival * EVENTS as u64;
                assert_eq!(numbers, (first..first + EVENTS as u64).collect::<Vec<_>>());
                assert_eq!(found, read(&mut reader, &forge, kind, arrival), "a resend is the same");
                seen.extend(found.into_iter().map(|(id, _)| id));
            }
            assert_eq!(seen.len(), 3 * EVENTS, "{}: {seen:?}", kind.name());
        }
    }
}
