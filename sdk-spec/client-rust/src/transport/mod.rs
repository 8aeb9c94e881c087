//! How a batch gets to the gateway and its answer back.

#[cfg(feature = "grpc")]
mod grpc;
mod http;

use std::time::Duration;

use bytes::Bytes;

use crate::clock::Clock;
use crate::error::BuildError;
use crate::verdict::Verdict;

/// How batches are handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// `POST /v1/events`, JSON.
    #[default]
    Json,
    /// `POST /v1/events`, protobuf.
    #[cfg(feature = "grpc")]
    Protobuf,
    /// gRPC `sluice.v1.Collector/Collect`.
    #[cfg(feature = "grpc")]
    Grpc,
}

/// Where to, and as whom. `Debug` shows no secret.
#[derive(Clone)]
pub(crate) struct Target {
    /// Without a slash at the end.
    pub(crate) url: String,
    pub(crate) key: String,
    /// The key's secret, where it demands signatures.
    pub(crate) secret: Option<String>,
    /// For one request (SDK-RETRY-8).
    pub(crate) timeout: Duration,
    pub(crate) clock: Clock,
}

/// The connections to one gateway.
pub(crate) struct Link {
    http: http::Http,
    #[cfg(feature = "grpc")]
    grpc: Option<grpc::Grpc>,
    timeout: Duration,
    transport: Transport,
}

/// An answer to the question for the settings: status, `ETag`, body.
pub(crate) type SettingsAnswer = (u16, Option<String>, Bytes);

// === impl Link ===

impl Link {
    /// Connects with the first request.
    pub(crate) fn new(target: &Target, transport: Transport) -> Result<Self, BuildError> {
        Ok(Self {
            http: http::Http::new(target)?,
            #[cfg(feature = "grpc")]
            grpc: match transport {
                Transport::Grpc => Some(grpc::Grpc::new(target)?),
                _ => None,
            },
            timeout: target.timeout,
            transport,
        })
    }

    /// Sends a batch once. No answer within the time-out is no answer (SDK-RETRY-8).
    pub(crate) async fn send(&self, body: Bytes) -> Verdict {
        let sent = async {
            match self.transport {
                Transport::Json => self.http.send("application/json", body).await,
                #[cfg(feature = "grpc")]
                Transport::Protobuf => self.http.send("application/x-protobuf", body).await,
                #[cfg(feature = "grpc")]
                Transport::Grpc => match &self.grpc {
                    Some(grpc) => grpc.send(body).await,
                    None => Verdict::NO_ANSWER,
                },
            }
        };
        tokio::time::timeout(self.timeout, sent).await.unwrap_or(Verdict::NO_ANSWER)
    }

    /// Asks for the settings once; `None`: no answer.
    pub(crate) async fn settings(&self, etag: Option<&str>) -> Option<SettingsAnswer> {
        tokio::time::timeout(self.timeout, self.http.settings(etag)).await.ok()?
    }
}

/// The signature's headers for a body of these parts, where the key demands one.
pub(crate) fn signature(target: &Target, body: &[&[u8]]) -> Option<(String, String)> {
    let secret = target.secret.as_deref()?;
    let timestamp = target.clock.now_ms().to_string();
    let signature = crate::sign::sign(secret, &timestamp, body);
    Some((timestamp, signature))
}
