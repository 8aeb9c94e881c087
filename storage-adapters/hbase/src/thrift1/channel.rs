//! A TCP stream under a deadline and a budget of bytes.
//!
//! A socket's own time-outs bound one `read`, so that a server which sends a
//! byte now and then holds a call for ever. Here the whole reply has a deadline.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bytes of one reply at most: far above any page, far below what would hurt.
pub(crate) const REPLY_BYTES_MAX: u64 = 128 << 20;

/// One half of a connection.
#[derive(Debug)]
pub(crate) struct Channel {
    stream: TcpStream,
    limits: Arc<Limits>,
}

/// What both halves of a connection obey; reset before each call.
#[derive(Debug)]
pub(crate) struct Limits {
    start: Instant,
    read_by_us: AtomicU64,
    write_by_us: AtomicU64,
    /// Time for the reply, from the moment that the request is handed over.
    read_us: AtomicU64,
    budget_bytes: AtomicU64,
}

// === impl Limits ===

impl Limits {
    fn new() -> Self {
        let none = || AtomicU64::new(0);
        Self {
            start: Instant::now(),
            read_by_us: none(),
            write_by_us: none(),
            read_us: none(),
            budget_bytes: none(),
        }
    }

    /// Lets the next call begin.
    pub(crate) fn reset(&self, write: Duration, read: Duration) {
        let write_by_us = self.now_us().saturating_add(write.as_micros() as u64);
        self.write_by_us.store(write_by_us, Ordering::Relaxed);
        self.read_us.store(read.as_micros() as u64, Ordering::Relaxed);
        self.handed_over();
        self.budget_bytes.store(REPLY_BYTES_MAX, Ordering::Relaxed);
    }

    /// The reply is due from now on.
    fn handed_over(&self) {
        let read_by_us = self.now_us().saturating_add(self.read_us.load(Ordering::Relaxed));
        self.read_by_us.store(read_by_us, Ordering::Relaxed);
    }

    fn now_us(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    fn left(&self, by_us: &AtomicU64, what: &str) -> Result<Duration> {
        match by_us.load(Ordering::Relaxed).saturating_sub(self.now_us()) {
            0 => Err(Error::new(ErrorKind::TimedOut, format!("{what} timed out"))),
            left_us => Ok(Duration::from_micros(left_us)),
        }
    }
}

// === impl Channel ===

impl Channel {
    /// Both halves of a stream.
    pub(crate) fn split(stream: TcpStream) -> Result<(Self, Self, Arc<Limits>)> {
        let limits = Arc::new(Limits::new());
        let writing = Self { stream: stream.try_clone()?, limits: Arc::clone(&limits) };
        Ok((Self { stream, limits: Arc::clone(&limits) }, writing, limits))
    }
}

/// The kernel's word for "time is up" is `WouldBlock`.
fn named(error: Error, what: &str) -> Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            Error::new(ErrorKind::TimedOut, format!("{what} timed out"))
        }
        _ => error,
    }
}

impl Read for Channel {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let left = self.limits.left(&self.limits.read_by_us, "the reply")?;
        self.stream.set_read_timeout(Some(left))?;
        let count = self.stream.read(buffer).map_err(|error| named(error, "the reply"))?;
        let budget = self.limits.budget_bytes.load(Ordering::Relaxed);
        let Some(rest) = budget.checked_sub(count as u64) else {
            return Err(Error::other(format!("a reply of more than {REPLY_BYTES_MAX} bytes")));
        };
        self.limits.budget_bytes.store(rest, Ordering::Relaxed);
        Ok(count)
    }
}

impl Write for Channel {
    fn write(&mut self, buffer: &[u8]) -> Result<usize> {
        let left = self.limits.left(&self.limits.write_by_us, "the request")?;
        self.stream.set_write_timeout(Some(left))?;
        self.stream.write(buffer).map_err(|error| named(error, "the request"))
    }

    fn flush(&mut self) -> Result<()> {
        self.stream.flush()?;
        self.limits.handed_over();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_reply_in_drops_still_has_a_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let server = std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().expect("a connection");
            for _ in 0..100 {
                if peer.write_all(&[1]).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let stream = TcpStream::connect(address).expect("the server listens");
        let (mut reading, writing, limits) = Channel::split(stream).expect("split");
        limits.reset(Duration::from_millis(50), Duration::from_millis(100));
        let began = Instant::now();
        let error = reading.read_exact(&mut [0; 90]).expect_err("the reply is too slow");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        drop((reading, writing));
        server.join().expect("the server ends");
    }
}
