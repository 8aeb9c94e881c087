//! gRPC's length-prefixed messages: one byte says whether the message is
//! compressed, four (big-endian) how long it is.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use sluice_event::{Limits, Reason, Refusal};

use crate::inflate::{Encoding, Inflater};

/// Bytes before a message.
pub(crate) const PREFIX_BYTES: usize = 5;

/// What a prefix says: compressed or not, and the message's bytes.
pub(crate) fn prefix(bytes: [u8; PREFIX_BYTES]) -> Result<(bool, usize), Refusal> {
    let [flag, length @ ..] = bytes;
    match flag {
        0 | 1 => Ok((flag == 1, u32::from_be_bytes(length) as usize)),
        _ => {
            Err(Refusal::new(Reason::BodyInvalid, "not a gRPC frame: its first byte is not 0 or 1"))
        }
    }
}

/// The one message of a unary call.
pub(crate) fn only(body: &[u8]) -> Result<(bool, &[u8]), Refusal> {
    let Some((head, message)) = body.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(Refusal::new(Reason::BodyInvalid, "no gRPC message"));
    };
    let (compressed, length) = prefix(*head)?;
    if message.len() != length {
        let found = message.len();
        let detail = format!("expected one gRPC message of {length} bytes, got {found}");
        return Err(Refusal::new(Reason::BodyInvalid, detail));
    }
    Ok((compressed, message))
}

/// The message, inflated where it says that it is compressed.
pub(crate) fn message<'b>(
    compressed: bool,
    message: &'b [u8],
    encoding: Encoding,
    limits: &Limits,
    inflater: &mut Inflater,
) -> Result<Cow<'b, [u8]>, Refusal> {
    if !compressed {
        return Ok(Cow::Borrowed(message));
    }
    if encoding == Encoding::Identity {
        let detail = "a compressed message, but no grpc-encoding";
        return Err(Refusal::new(Reason::EncodingInvalid, detail));
    }
    let mut inflated = Vec::new();
    inflater.inflate(encoding, message, &mut inflated, limits.inflated_bytes_max)?;
    Ok(Cow::Owned(inflated))
}

/// A message in its frame, not compressed.
pub(crate) fn encode(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + length);
    frame.put_u8(0);
    frame.put_u32(length as u32);
    // A growing buffer has room for every message.
    message.encode(&mut frame).ok();
    frame.freeze()
}
