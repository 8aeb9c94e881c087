//! Reads a body of one kind as the listener does: inflate, unwrap, decode.

use bytes::{BufMut, Bytes, BytesMut};
use sluice_event::{Batch, Limits, Refusal};
use sluice_wire::dialects::{self, Dialect};
use sluice_wire::{Encoding, Head, Inflater};

use crate::drive::kind::Kind;

/// What stands before a message of gRPC: a flag and the length.
const PREFIX_BYTES: usize = 5;

/// The dialect of one kind, with the head of its requests.
pub struct Reader {
    dialect: &'static dyn Dialect,
    head: Head,
    limits: Limits,
    inflater: Inflater,
    inflated: Vec<u8>,
}

// === impl Reader ===

impl Reader {
    /// For bodies of one kind.
    pub fn new(kind: Kind) -> Self {
        let (dialect, route) = dialects::find(kind.path()).expect("claimed");
        let mut request = http::Request::post(route.path).header("content-type", kind.media());
        if kind == Kind::JsonGzip {
            request = request.header("content-encoding", "gzip");
        }
        let head = Head::new(request.body(()).expect("valid").into_parts().0, None);
        let (limits, inflater) = (Limits::default(), Inflater::default());
        Self { dialect, head, limits, inflater, inflated: Vec::new() }
    }

    /// A body as it comes over the wire: messages of gRPC are framed.
    pub fn framed(kind: Kind, body: Bytes) -> Bytes {
        if kind.media() != "application/grpc" {
            return body;
        }
        let mut framed = BytesMut::with_capacity(PREFIX_BYTES + body.len());
        framed.put_u8(0);
        framed.put_u32(body.len() as u32);
        framed.put(body);
        framed.freeze()
    }

    /// Reads a body; `done` gets the batch.
    ///
    /// # Errors
    /// Why the gateway would refuse it.
    pub fn read<T>(
        &mut self,
        body: &[u8],
        done: impl FnOnce(Batch<'_>) -> T,
    ) -> Result<T, Refusal> {
        let Self { dialect, head, limits, inflater, inflated } = self;
        dialect.check_head(head)?;
        let encoding = dialect.encoding(head)?;
        let plain: &[u8] = if encoding == Encoding::Identity {
            body
        } else {
            inflated.clear();
            inflater.inflate(encoding, body, inflated, limits.inflated_bytes_max)?;
            inflated
        };
        let payload = dialect.unwrap(head, plain, limits, inflater)?;
        Ok(done(dialect.decode(head, &payload, limits)?))
    }
}
