//! Entries of the dead-letter log, protobuf. Field numbers are a contract with
//! whatever was written before: never reused.

use serde::Serialize;

/// One entry: a letter, or the word that letters were settled.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entry {
    /// What could not be stored.
    #[prost(message, optional, tag = "1")]
    pub letter: Option<DeadLetter>,
    /// Letters that a replay has settled.
    #[prost(message, optional, tag = "2")]
    pub settled: Option<Settled>,
}

/// What could not be stored, with its reason.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct DeadLetter {
    /// Whose path it was on: `documents`, `rows`, or `resolve` (before both).
    #[prost(string, tag = "1")]
    pub lane: String,
    /// Partition of the event log.
    #[prost(uint32, tag = "2")]
    pub partition: u32,
    /// Offset of the record there.
    #[prost(uint64, tag = "3")]
    pub offset: u64,
    /// Index of the event in the record; absent: the whole record.
    #[prost(uint32, optional, tag = "4")]
    pub index: Option<u32>,
    /// `refused` (by the store) or `undecodable`.
    #[prost(string, tag = "5")]
    pub reason: String,
    /// What was wrong, in the store's words.
    #[prost(string, tag = "6")]
    pub detail: String,
    /// When it was put aside, milliseconds since the Unix epoch.
    #[prost(int64, tag = "7")]
    pub at_ms: i64,
    /// Write calls it was part of.
    #[prost(uint32, tag = "8")]
    pub attempts: u32,
    /// App, where known.
    #[prost(string, tag = "9")]
    pub app_id: String,
    /// Event id, where known.
    #[prost(string, tag = "10")]
    pub event_id: String,
    /// A `sluice.v1.BatchRecord` of this one event with the day it is filed
    /// under; the record's raw bytes where it is `undecodable` as a whole.
    #[prost(bytes = "bytes", tag = "11")]
    #[serde(skip)]
    pub payload: bytes::Bytes,
}

/// Letters that were settled.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub struct Settled {
    /// Their ids.
    #[prost(uint64, repeated, tag = "1")]
    pub ids: Vec<u64>,
    /// When, milliseconds since the Unix epoch.
    #[prost(int64, tag = "2")]
    pub at_ms: i64,
}

/// `reason` of a write that its store refused for good.
pub const REFUSED: &str = "refused";
/// `reason` of a record or event that could not be read.
pub const UNDECODABLE: &str = "undecodable";
/// `lane` of what failed before the lanes.
pub const RESOLVE: &str = "resolve";
