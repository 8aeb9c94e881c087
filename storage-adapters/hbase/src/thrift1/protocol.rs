//! The binary protocol for replies, with every size checked before it is spent.
//!
//! The library's own reader makes a buffer of whatever length the wire names
//! and the stubs reserve room for whatever count it names: a reply that is not
//! one (a wrong port, a reply out of step) would end in a panic or an abort.

use thrift::protocol::{
    TBinaryInputProtocol, TFieldIdentifier, TInputProtocol, TListIdentifier, TMapIdentifier,
    TMessageIdentifier, TSetIdentifier, TStructIdentifier,
};
use thrift::transport::TBufferedReadTransport;
use thrift::{ProtocolError, ProtocolErrorKind, Result};

use super::channel::Channel;

/// Longest string of a reply, bytes: HBase takes no cell above 10 MiB.
const STRING_BYTES_MAX: usize = 16 << 20;

/// Most elements of a list or map of a reply.
const ELEMENTS_MAX: i32 = 1 << 20;

type Reading = TBufferedReadTransport<Channel>;

/// Reads replies.
pub(crate) struct Bounded(TBinaryInputProtocol<Reading>);

// === impl Bounded ===

impl Bounded {
    pub(crate) fn new(reading: Reading) -> Self {
        Self(TBinaryInputProtocol::new(reading, true))
    }
}

fn refused(message: String) -> thrift::Error {
    thrift::Error::Protocol(ProtocolError { kind: ProtocolErrorKind::SizeLimit, message })
}

fn checked(size: i32) -> Result<i32> {
    match size {
        0..=ELEMENTS_MAX => Ok(size),
        _ => Err(refused(format!("{size} elements: not within 0 to {ELEMENTS_MAX}"))),
    }
}

impl TInputProtocol for Bounded {
    fn read_message_begin(&mut self) -> Result<TMessageIdentifier> {
        // As the library reads it, but for the bounded name.
        let head = self.0.read_i32()? as u32;
        if head >> 16 != 0x8001 {
            return Err(refused(format!("{head:08x} begins no reply of Thrift's binary protocol")));
        }
        let kind = ((head & 0xff) as u8).try_into()?;
        let name = self.read_string()?;
        Ok(TMessageIdentifier::new(name, kind, self.0.read_i32()?))
    }

    fn read_message_end(&mut self) -> Result<()> {
        self.0.read_message_end()
    }

    fn read_struct_begin(&mut self) -> Result<Option<TStructIdentifier>> {
        self.0.read_struct_begin()
    }

    fn read_struct_end(&mut self) -> Result<()> {
        self.0.read_struct_end()
    }

    fn read_field_begin(&mut self) -> Result<TFieldIdentifier> {
        self.0.read_field_begin()
    }

    fn read_field_end(&mut self) -> Result<()> {
        self.0.read_field_end()
    }

    fn read_bool(&mut self) -> Result<bool> {
        self.0.read_bool()
    }

    fn read_bytes(&mut self) -> Result<Vec<u8>> {
        let size = self.0.read_i32()?;
        let Some(size) = usize::try_from(size).ok().filter(|size| *size <= STRING_BYTES_MAX) else {
            return Err(refused(format!("{size} bytes: not within 0 to {STRING_BYTES_MAX}")));
        };
        let mut bytes = vec![0; size];
        std::io::Read::read_exact(&mut self.0.transport, &mut bytes)?;
        Ok(bytes)
    }

    fn read_i8(&mut self) -> Result<i8> {
        self.0.read_i8()
    }

    fn read_i16(&mut self) -> Result<i16> {
        self.0.read_i16()
    }

    fn read_i32(&mut self) -> Result<i32> {
        self.0.read_i32()
    }

    fn read_i64(&mut self) -> Result<i64> {
        self.0.read_i64()
    }

    fn read_double(&mut self) -> Result<f64> {
        self.0.read_double()
    }

    fn read_string(&mut self) -> Result<String> {
        Ok(String::from_utf8(self.read_bytes()?)?)
    }

    fn read_list_begin(&mut self) -> Result<TListIdentifier> {
        let list = self.0.read_list_begin()?;
        checked(list.size).map(|_| list)
    }

    fn read_list_end(&mut self) -> Result<()> {
        self.0.read_list_end()
    }

    fn read_set_begin(&mut self) -> Result<TSetIdentifier> {
        let set = self.0.read_set_begin()?;
        checked(set.size).map(|_| set)
    }

    fn read_set_end(&mut self) -> Result<()> {
        self.0.read_set_end()
    }

    fn read_map_begin(&mut self) -> Result<TMapIdentifier> {
        // The library cannot read the types of an empty map that names none.
        let map = self.0.read_map_begin()?;
        checked(map.size).map(|_| map)
    }

    fn read_map_end(&mut self) -> Result<()> {
        self.0.read_map_end()
    }

    fn read_byte(&mut self) -> Result<u8> {
        self.0.read_byte()
    }
}
