//! Clients that are slow on purpose: heads and bodies byte by byte, and
//! connections that say nothing.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::Target;
use crate::raw::{self, Answer, request};

/// The time-outs that the gateway is started with.
pub const HEADER_TIMEOUT_MS: u64 = 6_000;
/// See [`HEADER_TIMEOUT_MS`].
pub const BODY_TIMEOUT_MS: u64 = 6_000;
/// See [`HEADER_TIMEOUT_MS`].
pub const BODY_GRACE_MS: u64 = 1_000;
/// A busy machine may be this much later than a time-out says.
const SLACK: Duration = Duration::from_secs(4);
/// Slow clients at the same time, of each kind.
const CLIENTS: usize = 100;
/// Bytes arrive this far apart.
const DRIP: Duration = Duration::from_millis(250);

pub async fn run(target: &Target<'_>) {
    let header = Duration::from_millis(HEADER_TIMEOUT_MS);
    let grace = Duration::from_millis(BODY_GRACE_MS);
    let whole = Duration::from_millis(BODY_TIMEOUT_MS);
    let key = ("authorization", "Bearer demo-write-key");
    let head = request("POST", "/v1/events", &[key, ("content-length", "1000")], b"");
    let steady = request("POST", "/v1/events", &[key, ("content-length", "1000000")], b"");
    let (silent, heads, bodies, trickle) = tokio::join!(
        all(target, b"", 0),
        all(target, b"POST /v1/events HTTP/1.1\r\nx-a: ", 1),
        all(target, &head, 1),
        // Above the minimum rate, so that only the deadline ends it.
        all(target, &steady, 2_000),
    );
    for (answer, took) in silent.iter().chain(&heads) {
        assert!([0, 408].contains(&answer.status), "{answer:?}");
        assert!(*took < header + SLACK, "{took:?}");
    }
    for (answer, took) in &bodies {
        too_slow(answer);
        assert!(*took >= grace && *took < grace + SLACK, "{took:?}");
    }
    for (answer, took) in &trickle {
        too_slow(answer);
        assert!(*took >= whole - DRIP && *took < whole + SLACK, "{took:?}");
    }
}

fn too_slow(answer: &Answer) {
    let reply = answer.json();
    assert_eq!((answer.status, reply["error"]["reason"].as_str()), (408, Some("body_too_slow")));
    assert_eq!(answer.headers["retry-after"], "1");
    let detail = reply["error"]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("resend"), "{reply}");
}

/// Many clients that send a start, then `step` bytes at a time.
async fn all(target: &Target<'_>, start: &[u8], step: usize) -> Vec<(Answer, Duration)> {
    let clients = (0..CLIENTS).map(|_| drip(&target.address, start, step));
    futures::future::join_all(clients).await
}

async fn drip(address: &str, start: &[u8], step: usize) -> (Answer, Duration) {
    let begun = Instant::now();
    let (mut reader, mut writer) =
        TcpStream::connect(address).await.expect("connects").into_split();
    let bytes = vec![b'a'; step];
    let write = async {
        // A closed connection ends the writing; the reader tells how it ended.
        if writer.write_all(start).await.is_ok() {
            while step > 0 && writer.write_all(&bytes).await.is_ok() {
                tokio::time::sleep(DRIP).await;
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = raw::read(&mut reader) => (answer, begun.elapsed()),
        () = write => unreachable!("never ends"),
    }
}
