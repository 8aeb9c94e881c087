//! Generates the Rust types and the gRPC service from `sluice/v1/*.proto`.
//!
//! protox compiles the files, so that no installed `protoc` is needed. The
//! descriptor set is kept for gRPC server reflection.

use std::path::PathBuf;
use std::{env, error::Error, fs};

use prost::Message;

const FILES: [&str; 3] =
    ["sluice/v1/event.proto", "sluice/v1/collector.proto", "sluice/v1/record.proto"];

#[allow(clippy::disallowed_methods)] // a build script is told everything by its environment
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=sluice");
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".sluice.v1.Event.properties")
        .bytes(".sluice.v1.RecordEvent.key")
        .compile_fds(descriptors)?;
    Ok(())
}
