//! `sluice.v1`: the wire and log contract, generated from `sluice/v1/*.proto`.
//!
//! Nothing here decides anything: limits, reasons and outcomes live in
//! `sluice-event`.

/// Package `sluice.v1`.
#[allow(missing_docs, clippy::all, rustdoc::all)] // generated from the comments of the .proto files
pub mod v1 {
    tonic::include_proto!("sluice.v1");
}

/// The encoded `FileDescriptorSet`, for gRPC server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
