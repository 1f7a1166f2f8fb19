//! Compiles `proto/` with protox (no protoc needed) to message types, a
//! descriptor set for reflection and, with the feature `grpc`, stubs.

use std::{env, fs, path::PathBuf};

use prost::Message as _;

/// `struct.proto` is what flows carry in `extensions`; reflection must know it.
const FILES: [&str; 9] = [
    "flow/flow.proto",
    "observer/observer.proto",
    "peer/peer.proto",
    "relay/relay.proto",
    "sextant/audit/v1/audit_service.proto",
    "sextant/flow/v1/flow_service.proto",
    "sextant/policy/v1/policy_service.proto",
    "sextant/status/v1/status_service.proto",
    "google/protobuf/struct.proto",
];

fn main() -> anyhow::Result<()> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let path = out.join("descriptors.bin");
    fs::write(&path, descriptors.encode_to_vec())?;
    // For the build scripts of packages that depend on this one.
    println!("cargo:descriptors={}", path.display());
    let stubs = env::var_os("CARGO_FEATURE_GRPC").is_some();
    tonic_prost_build::configure()
        .build_client(stubs)
        .build_server(stubs)
        .compile_fds(descriptors)?;
    Ok(())
}
