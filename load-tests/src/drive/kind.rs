//! In which forms events are handed in.

use clap::ValueEnum;
use serde::Serialize;

/// One form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// HTTP/1.1, JSON
    Json,
    /// HTTP/1.1, JSON through gzip
    JsonGzip,
    /// HTTP/1.1, protobuf
    Protobuf,
    /// gRPC, one call a batch
    Grpc,
    /// gRPC, one stream a connection
    GrpcStream,
}

// === impl Kind ===

impl Kind {
    /// Its word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::JsonGzip => "json-gzip",
            Self::Protobuf => "protobuf",
            Self::Grpc => "grpc",
            Self::GrpcStream => "grpc-stream",
        }
    }

    /// Whether events stand in JSON.
    pub fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::JsonGzip)
    }

    /// `content-type` of a post.
    pub fn media(self) -> &'static str {
        if self.is_json() { "application/json" } else { "application/x-protobuf" }
    }
}
