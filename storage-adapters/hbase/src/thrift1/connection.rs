//! One connection to a Thrift server: a call at a time, and never again after a
//! failure that leaves its state unknown.

use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hbase_thrift::hbase::{AlreadyExists, HbaseSyncClient, IOError, IllegalArgument};
use thrift::TransportErrorKind;
use thrift::protocol::TBinaryOutputProtocol;
use thrift::transport::{TBufferedReadTransport, TBufferedWriteTransport};

use super::channel::{Channel, Limits};
use super::protocol::Bounded;

const BUFFER_BYTES: usize = 64 << 10;

/// Longest part of a server's message that is passed on.
const DETAIL_CHARS_MAX: usize = 300;

/// The generated client over our transport.
pub(crate) type Client =
    HbaseSyncClient<Bounded, TBinaryOutputProtocol<TBufferedWriteTransport<Channel>>>;

/// Why a call failed, by what comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// HBase cannot now; the connection is good.
    Passing(String),
    /// HBase never will: something in the call is beyond its limits.
    Item(String),
    /// The table is there already.
    Exists,
    /// The connection is gone.
    Lost(String),
    /// No reply in time; the connection is gone, the call may still happen.
    TimedOut(String),
}

/// Time-outs of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) read: Duration,
    pub(crate) write: Duration,
}

/// One connection.
pub(crate) struct Connection {
    client: Client,
    /// The same socket, to end it at once.
    stream: TcpStream,
    limits: Arc<Limits>,
    timeouts: Timeouts,
    broken: bool,
    /// Since when nobody uses it.
    pub(crate) idle_since: Instant,
    /// Whether it has served a call before the running one.
    pub(crate) reused: bool,
}

// === impl Fault ===

impl Fault {
    /// What to tell people.
    pub(crate) fn detail(&self) -> &str {
        match self {
            Self::Passing(detail)
            | Self::Item(detail)
            | Self::Lost(detail)
            | Self::TimedOut(detail) => detail,
            Self::Exists => "the table exists",
        }
    }

    fn of(error: thrift::Error) -> Self {
        match error {
            thrift::Error::User(user) => Self::of_server(&*user),
            thrift::Error::Transport(error) if error.message.ends_with("timed out") => {
                Self::TimedOut(error.message)
            }
            thrift::Error::Transport(error) if error.kind == TransportErrorKind::EndOfFile => {
                Self::Lost("the server closed the connection".into())
            }
            error => Self::Lost(brief(&format!("{error:?}"))),
        }
    }

    fn of_server(error: &(dyn std::error::Error + 'static)) -> Self {
        if let Some(error) = error.downcast_ref::<IOError>() {
            let message = error.message.as_deref().unwrap_or("an IOError without a message");
            // What the limits on cells answer, of the client's side and of the server's.
            let beyond = message.contains("KeyValue size too large")
                || (message.contains("Cell") && message.contains("exceeds limit"));
            return if beyond { Self::Item(brief(message)) } else { Self::Passing(brief(message)) };
        }
        if let Some(error) = error.downcast_ref::<IllegalArgument>() {
            return Self::Item(brief(error.message.as_deref().unwrap_or("illegal argument")));
        }
        match error.downcast_ref::<AlreadyExists>() {
            Some(_) => Self::Exists,
            None => Self::Passing(brief(&error.to_string())),
        }
    }
}

/// The first line: what follows is a Java stack. Where the first only says how
/// often it was tried, the next says why.
fn brief(message: &str) -> String {
    let mut lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let cause = if first.ends_with("exceptions:") { lines.next() } else { None };
    let both = [Some(first), cause].into_iter().flatten().collect::<Vec<_>>().join(" ");
    both.chars().take(DETAIL_CHARS_MAX).collect()
}

// === impl Connection ===

impl Connection {
    /// Connects to `host:port`. Blocks.
    pub(crate) fn open(address: &str, timeouts: Timeouts) -> Result<Self, Fault> {
        let lost = |error: std::io::Error| Fault::Lost(error.to_string());
        let mut last = Fault::Lost("the name has no address".into());
        for address in address.to_socket_addrs().map_err(lost)? {
            match TcpStream::connect_timeout(&address, timeouts.connect) {
                Ok(stream) => return Self::over(stream, timeouts).map_err(lost),
                Err(error) => last = lost(error),
            }
        }
        Err(last)
    }

    fn over(stream: TcpStream, timeouts: Timeouts) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        let control = stream.try_clone()?;
        let (reading, writing, limits) = Channel::split(stream)?;
        let reading = TBufferedReadTransport::with_capacity(BUFFER_BYTES, reading);
        let writing = TBufferedWriteTransport::with_capacity(BUFFER_BYTES, writing);
        let client = Client::new(Bounded::new(reading), TBinaryOutputProtocol::new(writing, true));
        Ok(Self {
            client,
            stream: control,
            limits,
            timeouts,
            broken: false,
            idle_since: Instant::now(),
            reused: false,
        })
    }

    /// Makes one call of the stubs under the time-outs. Blocks.
    pub(crate) fn ask<T>(
        &mut self,
        call: impl FnOnce(&mut Client) -> thrift::Result<T>,
    ) -> Result<T, Fault> {
        if self.broken {
            return Err(Fault::Lost("the connection has failed before".into()));
        }
        // Broken until the reply is whole: nothing below can forget to say so.
        self.broken = true;
        self.limits.reset(self.timeouts.write, self.timeouts.read);
        let client = &mut self.client;
        let fault = match catch_unwind(AssertUnwindSafe(|| call(client))) {
            Ok(Ok(value)) => {
                self.broken = false;
                return Ok(value);
            }
            Ok(Err(error)) => Fault::of(error),
            Err(_) => Fault::Lost("the reply could not be understood".into()),
        };
        self.broken = matches!(fault, Fault::Lost(_) | Fault::TimedOut(_));
        Err(fault)
    }

    /// Whether another call may use it.
    pub(crate) fn is_good(&self) -> bool {
        !self.broken
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Two handles share the socket; the peer learns of the end now.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io_error(message: &str) -> thrift::Error {
        thrift::Error::User(Box::new(IOError::new(Some(message.to_owned()), Some(true))))
    }

    #[test]
    fn what_hbase_says_is_sorted() {
        let moving = "org.apache.hadoop.hbase.NotServingRegionException: region 7\n\tat Stack";
        let expected = "org.apache.hadoop.hbase.NotServingRegionException: region 7";
        assert_eq!(Fault::of(io_error(moving)), Fault::Passing(expected.into()));
        let tried = "RetriesExhaustedException: Failed, exceptions:\n\n2026, Refused\n\tat Stack";
        let expected = "RetriesExhaustedException: Failed, exceptions: 2026, Refused";
        assert_eq!(Fault::of(io_error(tried)), Fault::Passing(expected.into()));
        for beyond in [
            "KeyValue size too large",
            "DoNotRetryIOException: Cell[1] with size 12 exceeds limit of 10 bytes",
        ] {
            assert_eq!(Fault::of(io_error(beyond)), Fault::Item(beyond.into()));
        }
        let illegal = IllegalArgument::new(Some("Row length 40000 is > 32767".to_owned()));
        let fault = Fault::of(thrift::Error::User(Box::new(illegal)));
        assert!(matches!(&fault, Fault::Item(detail) if detail.starts_with("Row length")));
        let fault = Fault::of(thrift::Error::from("a reply of another call"));
        assert!(matches!(fault, Fault::Lost(_)), "{fault:?}");
    }
}
