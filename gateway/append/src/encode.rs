//! Writes `sluice.v1.BatchRecord` straight from the borrowed parts of a batch,
//! in the bytes that the generated types would write, without building them.
//!
//! The list of fields stands once: the same code runs over [`Count`], for the
//! length that stands before a message, and over the buffer. Counting walks a
//! message once, however deep it is; an event is counted once in all. Fields of the
//! default value are left out, as proto3 has it. A record is a [`head`] followed
//! by its [`event`]s: both are fields of the same message, so that the two can be
//! put together by laying their bytes side by side.

use prost::encoding::{encode_varint, encoded_len_varint};
use sluice_event::batch::{Device, Page};
use sluice_event::{Envelope, Event};

/// An event as it goes into a record.
pub(crate) struct Recorded<'r, 'b> {
    pub(crate) event: &'r Event<'b>,
    pub(crate) key: [u8; 16],
    pub(crate) time_corrected_ms: i64,
    pub(crate) day: i32,
    pub(crate) fingerprint: u64,
    pub(crate) flags: u32,
}

/// What stands once in a record, before its events.
pub(crate) struct Head<'r, 'b> {
    pub(crate) app_id: &'r str,
    pub(crate) envelope: &'r Envelope<'b>,
    pub(crate) received_at_ms: i64,
    pub(crate) source: &'r str,
}

/// Where bytes go.
trait Sink {
    fn put(&mut self, bytes: &[u8]);
    fn varint(&mut self, value: u64);
    /// What stands before bytes: their field, and how many they are.
    fn head(&mut self, key: u8, length: usize);
    /// A message that is `length` bytes long.
    fn nested(&mut self, length: usize, fields: &impl Message);
}

/// Counts bytes.
struct Count(usize);

/// A message as a list of fields.
trait Message {
    fn fields(&self, out: &mut impl Sink);
}

/// An event whose inner message was counted.
struct Counted<'r, 'b> {
    recorded: &'r Recorded<'r, 'b>,
    event_length: usize,
}

struct Map<'r>(&'r str, &'r str);
struct Sdk<'r>(&'r str, &'r str);
struct EnvelopeOf<'r, 'b>(&'r Head<'r, 'b>);

/// `BatchRecord.envelope`, `.received_at`, `.source`.
pub(crate) fn head(head: &Head<'_, '_>, out: &mut Vec<u8>) {
    message(out, 1, &EnvelopeOf(head));
    int64(out, 2, head.received_at_ms);
    text(out, 3, head.source);
}

/// One `BatchRecord.events`.
pub(crate) fn event(recorded: &Recorded<'_, '_>, out: &mut Vec<u8>) {
    message(out, 4, &Counted { recorded, event_length: length(recorded.event) });
}

// === the messages, fields in the order of their numbers ===

impl Message for EnvelopeOf<'_, '_> {
    fn fields(&self, out: &mut impl Sink) {
        let Head { app_id, envelope, .. } = self.0;
        text(out, 1, app_id);
        text(out, 2, &envelope.platform);
        text(out, 3, &envelope.host_app);
        // What questions filter by is spelled out in the log.
        text(out, 4, if envelope.env.is_empty() { "release" } else { &envelope.env });
        text(out, 5, &envelope.app_version);
        if !envelope.sdk_name.is_empty() || !envelope.sdk_version.is_empty() {
            message(out, 6, &Sdk(&envelope.sdk_name, &envelope.sdk_version));
        }
        if envelope.device != Device::default() {
            message(out, 7, &envelope.device);
        }
        sint32(out, 8, envelope.tz_offset_min);
        int64(out, 9, envelope.sent_at_ms);
        text(out, 10, &envelope.batch_id);
        uint64(out, 11, u64::from(envelope.attempt));
        uint64(out, 12, envelope.dropped);
    }
}

impl Message for Sdk<'_> {
    fn fields(&self, out: &mut impl Sink) {
        text(out, 1, self.0);
        text(out, 2, self.1);
    }
}

impl Message for Device<'_> {
    fn fields(&self, out: &mut impl Sink) {
        let all = [
            &self.model,
            &self.brand,
            &self.os,
            &self.os_version,
            &self.screen,
            &self.network,
            &self.lang,
        ];
        for (tag, value) in (1..).zip(all) {
            text(out, tag, value);
        }
    }
}

impl Message for Counted<'_, '_> {
    fn fields(&self, out: &mut impl Sink) {
        let Self { recorded, event_length } = self;
        blob(out, 1, &recorded.key);
        counted(out, 2, *event_length, recorded.event);
        int64(out, 3, recorded.time_corrected_ms);
        sint32(out, 4, recorded.day);
        if recorded.fingerprint != 0 {
            out.varint(5 << 3 | 1);
            out.put(&recorded.fingerprint.to_le_bytes());
        }
        uint64(out, 6, u64::from(recorded.flags));
    }
}

impl Message for Event<'_> {
    fn fields(&self, out: &mut impl Sink) {
        text(out, 1, &self.id);
        text(out, 2, &self.name);
        int64(out, 3, self.time_ms.unwrap_or(0));
        text(out, 4, &self.device_id);
        int64(out, 5, i64::from(self.r#type as i32));
        text(out, 6, &self.user_id);
        for (name, value) in &self.ids {
            message(out, 7, &Map(name, value));
        }
        text(out, 8, &self.session_id);
        uint64(out, 9, self.seq);
        if let Some(page) = &self.page {
            message(out, 10, page);
        }
        text(out, 11, &self.scene);
        blob(out, 12, &self.properties);
    }
}

impl Message for Map<'_> {
    fn fields(&self, out: &mut impl Sink) {
        text(out, 1, self.0);
        text(out, 2, self.1);
    }
}

impl Message for Page<'_> {
    fn fields(&self, out: &mut impl Sink) {
        text(out, 1, &self.path);
        text(out, 2, &self.query);
        text(out, 3, &self.title);
        text(out, 4, &self.referrer);
    }
}

// === the kinds of fields (protobuf encoding, "Message Structure"); tags up to 15 ===

fn message(out: &mut impl Sink, tag: u8, fields: &impl Message) {
    counted(out, tag, length(fields), fields);
}

fn counted(out: &mut impl Sink, tag: u8, length: usize, fields: &impl Message) {
    out.head(tag << 3 | 2, length);
    out.nested(length, fields);
}

fn length(fields: &impl Message) -> usize {
    let mut count = Count(0);
    fields.fields(&mut count);
    count.0
}

fn text(out: &mut impl Sink, tag: u8, value: &str) {
    blob(out, tag, value.as_bytes());
}

fn blob(out: &mut impl Sink, tag: u8, value: &[u8]) {
    if !value.is_empty() {
        out.head(tag << 3 | 2, value.len());
        out.put(value);
    }
}

fn uint64(out: &mut impl Sink, tag: u8, value: u64) {
    if value != 0 {
        out.varint(u64::from(tag << 3));
        out.varint(value);
    }
}

/// Negative values take ten bytes, as in every implementation.
fn int64(out: &mut impl Sink, tag: u8, value: i64) {
    uint64(out, tag, value as u64);
}

/// Zigzag: small negative values stay small.
fn sint32(out: &mut impl Sink, tag: u8, value: i32) {
    uint64(out, tag, u64::from(((value << 1) ^ (value >> 31)) as u32));
}

// === impl Sink ===

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    #[inline]
    fn varint(&mut self, value: u64) {
        if value < 0x80 {
            self.push(value as u8);
        } else if value < 0x4000 {
            self.extend_from_slice(&[value as u8 | 0x80, (value >> 7) as u8]);
        } else {
            encode_varint(value, self);
        }
    }

    #[inline]
    fn head(&mut self, key: u8, length: usize) {
        if length < 0x80 {
            self.extend_from_slice(&[key, length as u8]);
        } else {
            self.push(key);
            self.varint(length as u64);
        }
    }

    fn nested(&mut self, _: usize, fields: &impl Message) {
        fields.fields(self);
    }
}

impl Sink for Count {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn varint(&mut self, value: u64) {
        self.0 += encoded_len_varint(value);
    }

    fn head(&mut self, _: u8, length: usize) {
        self.0 += 1;
        self.varint(length as u64);
    }

    fn nested(&mut self, length: usize, _: &impl Message) {
        self.0 += length;
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
