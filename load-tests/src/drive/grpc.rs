//! One gRPC connection: calls one at a time, or one stream of batches.

use std::marker::PhantomData;

use bytes::{Buf, BufMut, Bytes};
use futures::Stream;
use http::uri::PathAndQuery;
use prost::Message;
use sluice_proto::v1::BatchReply;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

use super::Target;
use super::answer::Answer;
use super::answer::exported::Exported;
use super::forge::Made;
use super::http::ANSWER_MAX;
use super::kind::Kind;

/// Sends messages that are encoded already.
#[derive(Default)]
struct Encoded<T>(PhantomData<T>);

/// A connection that is made when it is needed.
pub struct GrpcLine {
    target: Target,
    open: Option<Grpc<Channel>>,
}

// === impl Encoded ===

impl<T: Message + Default + Send + 'static> Codec for Encoded<T> {
    type Encode = Bytes;
    type Decode = T;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(PhantomData)
    }

    fn decoder(&mut self) -> Self {
        Self(PhantomData)
    }
}

impl<T> Encoder for Encoded<T> {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl<T: Message + Default> Decoder for Encoded<T> {
    type Item = T;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<T>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        T::decode(bytes).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

// === impl GrpcLine ===

impl GrpcLine {
    /// Not yet connected.
    pub fn new(target: Target) -> Self {
        Self { target, open: None }
    }

    /// One call.
    pub async fn call(&mut self, kind: Kind, made: &Made) -> Answer {
        let answered = timeout(ANSWER_MAX, self.try_call(kind, made)).await;
        let answer = match answered {
            Ok(Ok(answer)) => answer,
            Ok(Err(status)) if of_the_gateway(&status) => {
                let wait = status.details().windows(9).any(|at| at == b"RetryInfo");
                Answer::Refused { code: status.code() as u32, wait }
            }
            Ok(Err(status)) => Answer::Lost(status.to_string()),
            Err(_) => Answer::Lost(format!("no answer within {ANSWER_MAX:?}")),
        };
        if matches!(answer, Answer::Lost(_)) {
            self.open = None;
        }
        answer
    }

    async fn try_call(&mut self, kind: Kind, made: &Made) -> Result<Answer, Status> {
        let path = PathAndQuery::from_static(kind.path());
        let body = made.body.clone();
        Ok(match kind {
            Kind::OtlpGrpc => {
                Answer::of_exported(&self.unary::<Exported>(path, body).await?, &made.bad)
            }
            _ => Answer::of_grpc(&self.unary::<BatchReply>(path, body).await?),
        })
    }

    /// Errors of ours have no details.
    async fn unary<T>(&mut self, path: PathAndQuery, body: Bytes) -> Result<T, Status>
    where
        T: Message + Default + Send + Sync + 'static,
    {
        let request = self.request(body).map_err(Status::invalid_argument)?;
        let client = self.connected().await.map_err(Status::unavailable)?;
        let reply = client.unary(request, path, Encoded::<T>::default()).await?;
        Ok(reply.into_inner())
    }

    /// Opens a stream that sends what `batches` yields.
    ///
    /// # Errors
    /// Why it could not be opened.
    pub async fn stream(
        &mut self,
        batches: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Streaming<BatchReply>, String> {
        let request = self.request(batches)?;
        let client = self.connected().await?;
        let path = PathAndQuery::from_static(Kind::GrpcStream.path());
        let opened = client.streaming(request, path, Encoded::<BatchReply>::default()).await;
        opened.map(tonic::Response::into_inner).map_err(|status| status.to_string())
    }

    fn request<T>(&self, message: T) -> Result<Request<T>, String> {
        let mut request = Request::new(message);
        let key = MetadataValue::try_from(format!("Bearer {}", self.target.key));
        let key = key.map_err(|_| "--key: not a header value".to_owned())?;
        request.metadata_mut().insert("authorization", key);
        Ok(request)
    }

    async fn connected(&mut self) -> Result<&mut Grpc<Channel>, String> {
        if self.open.is_none() {
            let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", self.target);
            let endpoint = Endpoint::from_shared(self.target.to_string());
            let endpoint = endpoint.map_err(|error| failed(&error))?.tcp_nodelay(true);
            let channel = endpoint.connect().await.map_err(|error| failed(&error))?;
            self.open = Some(Grpc::new(channel));
        }
        let client = self.open.as_mut().ok_or("not connected")?;
        client.ready().await.map_err(|error| error.to_string())?;
        Ok(client)
    }
}

/// The gateway's refusals carry details; a broken connection does not.
fn of_the_gateway(status: &Status) -> bool {
    !status.details().is_empty()
}
