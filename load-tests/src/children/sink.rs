//! `load-tests sink`: the least that a server of batches can do. It reads each
//! body to its end and answers as many bytes as a gateway would; over gRPC it
//! answers each message of a stream.

use std::convert::Infallible;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use clap::Args;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use prost::Message;
use sluice_proto::v1::BatchReply;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

/// What stands before each message of gRPC: a flag and the length.
const PREFIX_BYTES: usize = 5;
/// Field 10 of `Batch`, its id, as a tag of protobuf.
const BATCH_ID_TAG: u8 = (10 << 3) | 2;

const RECEIPT: &str = "{\"accepted\":50,\"duplicates\":0,\"rejected\":0,\"retry\":0,\
                       \"results\":[],\"server_time\":1793491200000}";

/// A bare server for a measurement.
#[derive(Debug, Args)]
pub struct SinkArgs {
    /// Keep to this core
    #[arg(long)]
    pub core: Option<usize>,
}

// === impl SinkArgs ===

impl SinkArgs {
    /// Serves until it is killed; the first line on stdout says where.
    ///
    /// # Errors
    /// Where it cannot listen.
    pub async fn run(self) -> Result<(), String> {
        let failed = |error: std::io::Error| error.to_string();
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        println!("http://{}", listener.local_addr().map_err(failed)?);
        loop {
            let (stream, _) = listener.accept().await.map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            tokio::spawn(async move {
                let connection = Builder::new(TokioExecutor::new());
                // A client that went away is no error.
                let _ = connection.serve_connection(TokioIo::new(stream), service_fn(serve)).await;
            });
        }
    }
}

async fn serve(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let media = request.headers().get(CONTENT_TYPE);
    if media.is_some_and(|media| media.as_bytes().starts_with(b"application/grpc")) {
        return Ok(grpc(request.into_body()));
    }
    let mut body = request.into_body();
    // What is cut off is not answered: hyper closes.
    while let Some(Ok(frame)) = body.frame().await {
        drop(frame);
    }
    let mut response =
        Response::new(Full::new(Bytes::from_static(RECEIPT.as_bytes())).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn grpc(mut body: Incoming) -> Response<Body> {
    let (answers, pieces) = mpsc::channel(16);
    tokio::spawn(async move {
        let mut buffer = BytesMut::new();
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            buffer.put(data);
            while let Some(message) = message(&mut buffer) {
                if answers.send(Frame::data(reply(&message))).await.is_err() {
                    return;
                }
            }
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        // The client may not wait for it.
        let _ = answers.send(Frame::trailers(trailers)).await;
    });
    let pieces = ReceiverStream::new(pieces).map(Ok);
    let mut response = Response::new(StreamBody::new(pieces).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// The next whole message, where there is one.
fn message(buffer: &mut BytesMut) -> Option<Bytes> {
    let bytes = buffer.get(1..PREFIX_BYTES)?.try_into().ok()?;
    let length = u32::from_be_bytes(bytes) as usize;
    if buffer.len() < PREFIX_BYTES + length {
        return None;
    }
    buffer.advance(PREFIX_BYTES);
    Some(buffer.split_to(length).freeze())
}

/// An answer with the id of the batch, which stands among its first fields.
fn reply(message: &[u8]) -> Bytes {
    let at = message.iter().position(|byte| *byte == BATCH_ID_TAG);
    let id = at.and_then(|at| {
        let length = usize::from(*message.get(at + 1)?);
        std::str::from_utf8(message.get(at + 2..at + 2 + length)?).ok()
    });
    let batch_id = id.unwrap_or_default().to_owned();
    let reply = BatchReply { batch_id, accepted: 50, ..BatchReply::default() };
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + reply.encoded_len());
    framed.put_u8(0);
    framed.put_u32(reply.encoded_len() as u32);
    // There is room for it.
    let _ = reply.encode(&mut framed);
    framed.freeze()
}
