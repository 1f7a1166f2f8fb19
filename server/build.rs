//! Compiles the eBPF programs and leaves the object in OUT_DIR for
//! `datapath::loader` to embed. With `AYA_BUILD_SKIP=1` (lints, docs, machines
//! without bpf-linker) the object is empty and the daemon says so.
//!
//! Also writes the Observer's server without GetFlows, whose responses do not
//! pass through tonic, and the FlowService's, whose RecordFlows takes its
//! requests as bytes.
//!
//! Cargo is called directly, since aya-build has no way to choose the
//! instruction set: version 3 has the atomic operations that the flow table
//! needs and 32-bit arithmetic.

use std::{env, fs, path::PathBuf, process::Command};

use anyhow::{Context as _, ensure};
use tonic_build::manual::{Method, MethodBuilder, Service};

const PACKAGE: &str = "sextant-ebpf";
const TARGET: &str = "bpfel-unknown-none";
const SKIP: &str = "AYA_BUILD_SKIP";

fn main() -> anyhow::Result<()> {
    tonic_build::manual::Builder::new()
        .build_client(false)
        .compile(&[observer_service(), flow_service()]);
    ebpf_object()
}

/// The Observer service as in `observer.proto` without GetFlows, which is served
/// on raw bytes by `service::observer::get_flows`.
fn observer_service() -> Service {
    let message = |name, route| method("observer", name, route);
    Service::builder()
        .name("Observer")
        .package("observer")
        .method(
            message("get_agent_events", "GetAgentEvents")
                .server_streaming()
                .build(),
        )
        .method(
            message("get_debug_events", "GetDebugEvents")
                .server_streaming()
                .build(),
        )
        .method(message("get_nodes", "GetNodes").build())
        .method(message("get_namespaces", "GetNamespaces").build())
        .method(message("server_status", "ServerStatus").build())
        .build()
}

/// The service as in `flow_service.proto`. A recorded flow is decoded by
/// `service::flow::sides`, one at a time: all flows of a message at once would be
/// large, and one that is malformed would end the call.
fn flow_service() -> Service {
    let message = |name, route| method("sextant::flow::v1", name, route);
    let record = message("record_flows", "RecordFlows")
        .input_type("bytes::Bytes")
        .codec_path("crate::service::flow::record::RecordCodec")
        .client_streaming();
    Service::builder()
        .name("FlowService")
        .package("sextant.flow.v1")
        .method(record.build())
        .method(message("summarize_flows", "SummarizeFlows").build())
        .method(
            message("watch_flow_summary", "WatchFlowSummary")
                .server_streaming()
                .build(),
        )
        .method(message("list_filter_hints", "ListFilterHints").build())
        .build()
}

/// A method with one request and one response, of a package of `sextant_proto`.
fn method(package: &str, name: &str, route: &str) -> MethodBuilder {
    Method::builder()
        .name(name)
        .route_name(route)
        .input_type(format!("sextant_proto::{package}::{route}Request"))
        .output_type(format!("sextant_proto::{package}::{route}Response"))
        .codec_path("tonic_prost::ProstCodec")
}

fn ebpf_object() -> anyhow::Result<()> {
    println!("cargo:rerun-if-env-changed={SKIP}");
    println!("cargo:rerun-if-changed=../ebpf");
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let object = out.join("sextant.o");
    if env::var_os(SKIP).is_some_and(|skip| skip == "1") {
        return fs::write(&object, []).context("writing the empty object");
    }
    let target_dir = out.join("ebpf-target");
    let arch = env::var("CARGO_CFG_TARGET_ARCH")?;
    let flags = [
        format!("--cfg=bpf_target_arch=\"{arch}\""),
        "-Ctarget-cpu=v3".into(),
        "-Cdebuginfo=2".into(),
        "-Clink-arg=--btf".into(),
    ];
    let status = Command::new(env::var("CARGO")?)
        .args(["build", "--package", PACKAGE, "--bins", "--release"])
        .args(["--features", "kernel", "--target", TARGET])
        .args(["-Z", "build-std=core", "--target-dir"])
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        // The pinned stable tool chain builds `core` for the target.
        .env("RUSTC_BOOTSTRAP", "1")
        // Set by cargo for the host build; they would choose its compiler.
        .env_remove("RUSTC")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .status()
        .context("running cargo for the eBPF programs")?;
    ensure!(
        status.success(),
        "compiling the eBPF programs failed ({status}); `make setup` installs bpf-linker and rust-src"
    );
    let built = target_dir.join(TARGET).join("release").join(PACKAGE);
    fs::copy(&built, &object).with_context(|| format!("copying {}", built.display()))?;
    Ok(())
}
