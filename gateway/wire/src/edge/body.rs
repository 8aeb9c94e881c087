//! Reading a body: a cap, a deadline and a minimum rate, and what to do with
//! the rest of one that was refused.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Version;
use http::header::EXPECT;
use http::request::Parts;
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use sluice_event::{Reason, Refusal};
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::Pace;

/// At most this much is read only to be thrown away.
const LINGER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// At most this long.
const LINGER: Duration = Duration::from_secs(2);
/// Room made ahead for a body whose length the client claims.
const CLAIM_BYTES_MAX: u64 = 64 * 1024;

const TOO_SLOW: &str = "the body came too slowly; resend it, in smaller batches on a slow network";

/// Reads a whole body of at most `bytes_max`.
///
/// A claimed length over the cap is refused before anything is read. A body in
/// one piece is not copied.
pub(crate) async fn read(
    body: &mut Incoming,
    bytes_max: usize,
    pace: Pace,
) -> Result<Bytes, Refusal> {
    let claimed = body.size_hint().lower();
    if claimed > bytes_max as u64 {
        return Err(too_large(bytes_max));
    }
    let start = Instant::now();
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let bytes = first.len() + rest.len();
        let Some(piece) = next(body, start + pace.allowed(bytes)).await? else {
            break;
        };
        if bytes + piece.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        if bytes == 0 {
            first = piece;
            continue;
        }
        if rest.is_empty() {
            let all = claimed.min(CLAIM_BYTES_MAX) as usize;
            rest.reserve(all.max(first.len() + piece.len()));
            rest.extend_from_slice(&std::mem::take(&mut first));
        }
        rest.extend_from_slice(&piece);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// The next piece of data, or `None` at the end.
pub(crate) async fn next(body: &mut Incoming, by: Instant) -> Result<Option<Bytes>, Refusal> {
    loop {
        match timeout_at(by, body.frame()).await {
            Err(_) => return Err(Refusal::new(Reason::BodyTooSlow, TOO_SLOW)),
            Ok(None) => return Ok(None),
            Ok(Some(Err(broken))) => {
                tracing::debug!(%broken, "body broke off");
                return Err(Refusal::new(Reason::BodyInvalid, "the body broke off"));
            }
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

pub(crate) fn too_large(bytes_max: usize) -> Refusal {
    let detail = format!("a body may have {bytes_max} bytes at most; halve the batch");
    Refusal::new(Reason::BodyTooLarge, detail).limit(bytes_max as u64)
}

/// Reads on and throws away, within bounds, after an answer that did not wait
/// for the body's end. Closing at once would make the client's kernel discard
/// the answer it has not read yet. HTTP/2 needs none of this, nor does a client
/// that waits to be told to continue.
pub(crate) fn linger(head: &Parts, mut body: Incoming) {
    if head.version >= Version::HTTP_2 || head.headers.contains_key(EXPECT) || body.is_end_stream()
    {
        return;
    }
    tokio::spawn(async move {
        let discard = async {
            let mut bytes = 0;
            while let Some(Ok(frame)) = body.frame().await {
                bytes += frame.data_ref().map_or(0, Bytes::len);
                if bytes > LINGER_BYTES_MAX {
                    break;
                }
            }
        };
        timeout(LINGER, discard).await.ok();
    });
}
