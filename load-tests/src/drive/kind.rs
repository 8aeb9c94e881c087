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
    /// Sensors: a form with base64 of gzip, as its mini program SDK posts it
    Sensors,
    /// DataRangers: a list of packets, as its mini program SDK posts it
    #[value(name = "datarangers")]
    #[serde(rename = "datarangers")]
    DataRangers,
    /// CloudEvents: a batch in JSON
    #[value(name = "cloudevents")]
    #[serde(rename = "cloudevents")]
    CloudEvents,
    /// Segment: a batch of calls
    Segment,
    /// OpenTelemetry logs, HTTP/1.1, JSON
    OtlpJson,
    /// OpenTelemetry logs, HTTP/1.1, protobuf
    OtlpProtobuf,
    /// OpenTelemetry logs, gRPC, one call a batch
    OtlpGrpc,
}

// === impl Kind ===

impl Kind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Json,
        Self::JsonGzip,
        Self::Protobuf,
        Self::Grpc,
        Self::GrpcStream,
        Self::Sensors,
        Self::DataRangers,
        Self::CloudEvents,
        Self::Segment,
        Self::OtlpJson,
        Self::OtlpProtobuf,
        Self::OtlpGrpc,
    ];

    /// Its word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::JsonGzip => "json-gzip",
            Self::Protobuf => "protobuf",
            Self::Grpc => "grpc",
            Self::GrpcStream => "grpc-stream",
            Self::Sensors => "sensors",
            Self::DataRangers => "datarangers",
            Self::CloudEvents => "cloudevents",
            Self::Segment => "segment",
            Self::OtlpJson => "otlp-json",
            Self::OtlpProtobuf => "otlp-protobuf",
            Self::OtlpGrpc => "otlp-grpc",
        }
    }

    /// Where it is posted, or which method is called.
    pub fn path(self) -> &'static str {
        match self {
            Self::Json | Self::JsonGzip | Self::Protobuf => "/v1/events",
            Self::Grpc => "/sluice.v1.Collector/Collect",
            Self::GrpcStream => "/sluice.v1.Collector/CollectStream",
            Self::Sensors => "/sa",
            Self::DataRangers => "/list/",
            Self::CloudEvents => "/cloudevents",
            Self::Segment => "/v1/batch",
            Self::OtlpJson | Self::OtlpProtobuf => "/v1/logs",
            Self::OtlpGrpc => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        }
    }

    /// `content-type`, as the SDKs of its protocol label it.
    pub fn media(self) -> &'static str {
        match self {
            Self::Json | Self::JsonGzip => "application/json",
            Self::DataRangers | Self::Segment | Self::OtlpJson => "application/json",
            Self::Protobuf | Self::OtlpProtobuf => "application/x-protobuf",
            Self::Grpc | Self::GrpcStream | Self::OtlpGrpc => "application/grpc",
            Self::Sensors => "text/plain",
            Self::CloudEvents => "application/cloudevents-batch+json",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_listed_and_has_one_word_everywhere() {
        assert_eq!(Kind::ALL, *Kind::value_variants());
        for kind in Kind::ALL {
            let value = kind.to_possible_value().expect("can be asked for");
            assert_eq!(value.get_name(), kind.name());
            assert_eq!(serde_json::to_value(kind).expect("JSON"), kind.name());
        }
    }
}
