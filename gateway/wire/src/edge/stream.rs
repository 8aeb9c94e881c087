//! `CollectStream`: batch after batch on one call, each answered when its fate
//! is known.
//!
//! Bounded: so many batches in work at a time; no more is read until an answer
//! has gone out, so that a client that does not read its answers stops itself.
//! A refused batch is answered with `error` and the stream goes on; what breaks
//! the framing, comes too slowly or is too large ends it, as nothing after it
//! can be read.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use sluice_event::{Collector, Grant, Reason, Receipt, Refusal};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Duration, Instant};
use tracing::Instrument;

use super::hand_over::{Handed, Parcel, hand_over};
use super::{Edge, body};
use crate::dialects::grpc::frame::{self, PREFIX_BYTES};
use crate::dialects::grpc::{message_encoding, reply};
use crate::dialects::native::proto;
use crate::dialects::{Action, Dialect};
use crate::head::Head;
use crate::inflate::Encoding;
use crate::reply::{Body, BoxError};

type Answers = mpsc::Sender<Result<Frame<Bytes>, BoxError>>;

/// The messages of a call, one by one.
struct Messages {
    incoming: Incoming,
    buffer: BytesMut,
}

struct Call<C> {
    edge: Arc<Edge<C>>,
    dialect: &'static dyn Dialect,
    head: Head,
    grant: Grant,
    encoding: Encoding,
}

/// Begins a stream, or refuses it by its head.
pub(crate) fn serve<C: Collector>(
    edge: Arc<Edge<C>>,
    dialect: &'static dyn Dialect,
    head: Head,
    incoming: Incoming,
) -> Response<Body> {
    let begun = begin(&edge, dialect, &head);
    let (grant, encoding) = match begun {
        Ok(begun) => begun,
        Err(refusal) => {
            edge.collector.refused(None, dialect.kind(), &refusal);
            return reply::unary("", Err(&refusal));
        }
    };
    let in_flight_max = edge.config.stream_batches_in_flight_max;
    let (answers, mut pieces) = mpsc::channel(in_flight_max);
    let handed = edge.handed.clone();
    let call = Call { edge, dialect, head, grant, encoding };
    let messages = Messages { incoming, buffer: BytesMut::new() };
    handed.spawn(call.run(messages, answers, in_flight_max).in_current_span());
    let pieces = futures::stream::poll_fn(move |context| pieces.poll_recv(context));
    reply::streaming(StreamBody::new(pieces).boxed_unsync())
}

fn begin<C: Collector>(
    edge: &Edge<C>,
    dialect: &dyn Dialect,
    head: &Head,
) -> Result<(Grant, Encoding), Refusal> {
    if let Some(refusal) = edge.collector.unready() {
        return Err(refusal);
    }
    dialect.check_head(head)?;
    let grant = edge.collector.authenticate(&dialect.presented(head))?;
    Ok((grant, message_encoding(head)?))
}

// === impl Call ===

impl<C: Collector> Call<C> {
    async fn run(self, messages: Messages, answers: Answers, in_flight_max: usize) {
        self.edge.metrics.streams_open.inc();
        let in_flight = Arc::new(Semaphore::new(in_flight_max));
        let ended = self.read_on(messages, &answers, &in_flight).await;
        // Every batch that was read is answered before the call ends.
        let all = in_flight_max.try_into().unwrap_or(u32::MAX);
        let answered = in_flight.acquire_many(all).await;
        let trailers = match &ended {
            Ok(()) => reply::trailers_ok(),
            Err(refusal) => {
                let app_id = Some(&*self.grant.app_id);
                self.edge.collector.refused(app_id, self.dialect.kind(), refusal);
                reply::trailers(refusal)
            }
        };
        drop(answered);
        answers.send(Ok(Frame::trailers(trailers))).await.ok();
        self.edge.metrics.streams_open.dec();
    }

    async fn read_on(
        &self,
        mut messages: Messages,
        answers: &Answers,
        in_flight: &Arc<Semaphore>,
    ) -> Result<(), Refusal> {
        let draining = || Refusal::new(Reason::Draining, "the gateway is shutting down; reconnect");
        loop {
            let room = Arc::clone(in_flight).acquire_owned().await.map_err(|_| draining())?;
            let message = tokio::select! {
                biased;
                () = self.edge.draining.cancelled() => return Err(draining()),
                // The client is gone: nobody is left to answer.
                () = answers.closed() => return Ok(()),
                message = messages.next(self) => message?,
            };
            let Some((compressed, message)) = message else {
                return Ok(());
            };
            let handed = self.hand_over(compressed, &message);
            let named =
                if compressed { String::new() } else { proto::batch_id(&message).to_owned() };
            drop(message);
            if let Err(refusal) = &handed {
                let app_id = Some(&*self.grant.app_id);
                self.edge.collector.refused(app_id, self.dialect.kind(), refusal);
            }
            let answers = answers.clone();
            self.edge.handed.spawn(async move {
                let (batch_id, outcome) = settle(handed, named).await;
                let answer = reply::batch_reply(&batch_id, outcome.as_ref());
                answers.send(Ok(Frame::data(frame::encode(&answer)))).await.ok();
                drop(room);
            });
        }
    }

    fn hand_over(&self, compressed: bool, message: &[u8]) -> Result<Handed, Refusal> {
        let Self { edge, dialect, head, grant, encoding } = self;
        if let Some(refusal) = edge.collector.unready() {
            return Err(refusal);
        }
        edge.metrics.wire_bytes.inc_by(message.len() as u64);
        let presented = dialect.presented(head);
        let permit = edge.collector.admit_bytes(grant, &presented, message)?;
        let encoding = match encoding {
            Encoding::Identity if compressed => {
                let detail = "a compressed message, but no grpc-encoding";
                return Err(Refusal::new(Reason::EncodingInvalid, detail));
            }
            encoding if compressed => *encoding,
            _ => Encoding::Identity,
        };
        // Unframed already, hence past the unary dialect's unwrapping.
        let dialect: &dyn Dialect = &Unframed;
        let action = Action::Collect;
        hand_over(edge, &Parcel { dialect, action, head, grant, encoding, body: message }, permit)
    }
}

async fn settle(
    handed: Result<Handed, Refusal>,
    named: String,
) -> (String, Result<Receipt, Refusal>) {
    match handed {
        Ok(handed) => (handed.batch_id.clone(), handed.receipt().await),
        Err(refusal) => (named, Err(refusal)),
    }
}

// === impl Messages ===

impl Messages {
    /// The next message: it may be long in coming, but once begun it must keep
    /// the pace of a body.
    async fn next<C: Collector>(
        &mut self,
        call: &Call<C>,
    ) -> Result<Option<(bool, Bytes)>, Refusal> {
        let config = &call.edge.config;
        let limits = &call.grant.limits;
        if self.buffer.is_empty() {
            let idle = Instant::now() + Duration::from_millis(config.stream_idle_ms);
            match body::next(&mut self.incoming, idle).await? {
                Some(piece) => self.buffer.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
        let start = Instant::now();
        let pace = config.pace();
        loop {
            if let Some(head) = self.buffer.first_chunk::<PREFIX_BYTES>() {
                let (compressed, length) = frame::prefix(*head)?;
                if length > limits.inflated_bytes_max {
                    return Err(body::too_large(limits.inflated_bytes_max));
                }
                if self.buffer.len() >= PREFIX_BYTES + length {
                    self.buffer.advance(PREFIX_BYTES);
                    return Ok(Some((compressed, self.buffer.split_to(length).freeze())));
                }
            }
            let by = start + pace.allowed(self.buffer.len());
            match body::next(&mut self.incoming, by).await? {
                Some(piece) => self.buffer.extend_from_slice(&piece),
                None if self.buffer.is_empty() => return Ok(None),
                None => {
                    let detail = "the stream ended within a message";
                    return Err(Refusal::new(Reason::BodyInvalid, detail));
                }
            }
        }
    }
}

/// gRPC without its frames.
struct Unframed;

impl Dialect for Unframed {
    fn kind(&self) -> sluice_event::Dialect {
        sluice_event::Dialect::Grpc
    }

    fn routes(&self) -> &'static [crate::dialects::Route] {
        &[]
    }

    fn check_head(&self, _head: &Head) -> Result<(), Refusal> {
        Ok(())
    }

    fn unwrap<'b>(
        &self,
        _head: &Head,
        body: &'b [u8],
        _limits: &sluice_event::Limits,
        _inflater: &mut crate::inflate::Inflater,
    ) -> Result<std::borrow::Cow<'b, [u8]>, Refusal> {
        Ok(std::borrow::Cow::Borrowed(body))
    }

    fn decode<'b>(
        &self,
        _head: &Head,
        payload: &'b [u8],
        limits: &sluice_event::Limits,
    ) -> Result<sluice_event::Batch<'b>, Refusal> {
        proto::decode(payload, limits)
    }

    fn answer(
        &self,
        _head: &Head,
        batch_id: &str,
        outcome: Result<&Receipt, &Refusal>,
    ) -> crate::dialects::Answer {
        crate::dialects::Answer::Reply(reply::unary(batch_id, outcome))
    }
}
