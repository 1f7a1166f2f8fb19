//! Compiles the eBPF programs and leaves the object in OUT_DIR for
//! `datapath::loader` to embed. With `AYA_BUILD_SKIP=1` (lints, docs, machines
//! without bpf-linker) the object is empty and the daemon says so.
//!
//! Also writes the servers of two services from their descriptors: `sextant_proto`
//! has them too, but not with a call on raw bodies and one that takes bytes.
//!
//! Cargo is called directly, since aya-build has no way to choose the
//! instruction set: version 3 has the atomic operations that the flow table
//! needs and 32-bit arithmetic.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::PathBuf,
    process::Command,
};

use anyhow::{Context as _, ensure};
use heck::ToSnakeCase as _;
use object::{
    build::elf::{Builder, SectionData},
    elf::SHT_STRTAB,
};
use prost::Message as _;
use prost_types::{FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto};
use tonic_build::manual::{Method, Service};

const PACKAGE: &str = "sextant-ebpf";
const TARGET: &str = "bpfel-unknown-none";
const SKIP: &str = "AYA_BUILD_SKIP";
/// What programs and daemon have in common; rebuilt when it changes, as all of `ebpf` is.
const LAYOUT: &str = "../ebpf/common/src";

/// Package and name of the services whose servers are written here.
const SERVED: [(&str, &str); 3] = [
    ("observer", "Observer"),
    ("sextant.flow.v1", "FlowService"),
    (OF_POLICIES, "PolicyService"),
];
/// All of its requests are bounded before they are decoded.
const OF_POLICIES: &str = "sextant.policy.v1";
/// Not in the server: `service::observer::get_flows` serves it on raw bodies.
const ON_RAW_BODIES: &str = "GetFlows";
/// Its requests are bytes, since a recorded flow is decoded by
/// `service::flow::sides`, one at a time: all flows of a message at once would be
/// large, and one that is malformed would end the call.
const WITH_RAW_REQUESTS: &str = "RecordFlows";

/// Their requests are bounded before they are decoded.
const WITH_FILTERS: [&str; 3] = ["SummarizeFlows", "WatchFlowSummary", "ListFilterHints"];

fn main() -> anyhow::Result<()> {
    layout()?;
    services()?;
    ebpf_object()
}

/// Tells maps of one layout from those of another by the sources that say what is in
/// them: a daemon takes over those of its own alone.
fn layout() -> anyhow::Result<()> {
    let mut sources: Vec<PathBuf> = fs::read_dir(LAYOUT)
        .with_context(|| format!("reading {LAYOUT}"))?
        .map(|file| Ok(file?.path()))
        .collect::<anyhow::Result<_>>()?;
    sources.sort();
    let mut hasher = DefaultHasher::new();
    for source in sources.iter().filter(|path| path.is_file()) {
        fs::read(source)?.hash(&mut hasher);
    }
    println!("cargo:rustc-env=SEXTANT_LAYOUT={:016x}", hasher.finish());
    Ok(())
}

/// Writes the server's side of the services in `SERVED`, as their `.proto` files
/// have them: the root package's build script leaves the descriptors.
fn services() -> anyhow::Result<()> {
    let path = env::var("DEP_SEXTANT_PROTO_DESCRIPTORS")
        .context("the root package's build script names no descriptors")?;
    println!("cargo:rerun-if-changed={path}");
    let set = FileDescriptorSet::decode(&*fs::read(&path)?)?;
    let mut services = Vec::new();
    for file in &set.file {
        for service in &file.service {
            if SERVED.contains(&(file.package(), service.name())) {
                services.push(server_of(file.package(), service));
            }
        }
    }
    ensure!(
        services.len() == SERVED.len(),
        "a service is missing in {path}"
    );
    tonic_build::manual::Builder::new()
        .build_client(false)
        .compile(&services);
    Ok(())
}

fn server_of(package: &str, service: &ServiceDescriptorProto) -> Service {
    let methods = service.method.iter();
    let here = methods.filter(|method| method.name() != ON_RAW_BODIES);
    here.fold(
        Service::builder().name(service.name()).package(package),
        |service, method| service.method(method_of(package, method)),
    )
    .build()
}

fn method_of(package: &str, method: &MethodDescriptorProto) -> Method {
    let mut built = Method::builder()
        .name(method.name().to_snake_case())
        .route_name(method.name())
        .output_type(rust_type(method.output_type()));
    built = if WITH_FILTERS.contains(&method.name()) || package == OF_POLICIES {
        built
            .input_type(rust_type(method.input_type()))
            .codec_path("crate::service::bounded::BoundedCodec")
    } else if method.name() == WITH_RAW_REQUESTS {
        built
            .input_type("bytes::Bytes")
            .codec_path("crate::service::flow::record::RecordCodec")
    } else {
        built
            .input_type(rust_type(method.input_type()))
            .codec_path("tonic_prost::ProstCodec")
    };
    if method.client_streaming() {
        built = built.client_streaming();
    }
    if method.server_streaming() {
        built = built.server_streaming();
    }
    built.build()
}

/// `.observer.GetNodesRequest` as `sextant_proto` has it.
fn rust_type(message: &str) -> String {
    format!("sextant_proto{}", message.replace('.', "::"))
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
        // A program of the kernel cannot panic.
        .env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "false")
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
    let linked = fs::read(&built).with_context(|| format!("reading {}", built.display()))?;
    fs::write(&object, without_dwarf(&linked)?).context("writing the object")
}

/// The types of the programs are made from it; the kernel is given those alone.
fn without_dwarf(linked: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut object = Builder::read(linked).context("reading the eBPF object")?;
    for section in &mut object.sections {
        let name = section.name.as_slice();
        section.delete = name.starts_with(b".debug_") || name.starts_with(b".rel.debug_");
    }
    // LLVM has names of sections among those of symbols; here they are apart.
    let names = object.sections.add();
    names.name = b".shstrtab"[..].into();
    names.sh_type = SHT_STRTAB;
    names.data = SectionData::SectionString;
    object.delete_orphans();
    let mut without = Vec::new();
    object
        .write(&mut without)
        .context("writing the eBPF object without DWARF")?;
    Ok(without)
}
