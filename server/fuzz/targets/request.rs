//! Requests of any bytes to each RPC of the daemon: the first byte says which.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use sextant_fuzz::{Daemon, bounded};

thread_local! {
    static DAEMON: Daemon = Daemon::default();
}

/// Those of services that are not ours.
const FOREIGN: [&str; 4] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// All, sorted.
static PATHS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let set = FileDescriptorSet::decode(sextant_proto::DESCRIPTORS).expect("descriptors");
    let mut paths = FOREIGN.map(str::to_owned).to_vec();
    for file in &set.file {
        for service in &file.service {
            let name = format!("/{}.{}", file.package(), service.name());
            let methods = service.method.iter();
            paths.extend(methods.map(|method| format!("{name}/{}", method.name())));
        }
    }
    paths.sort_unstable();
    paths
});

fuzz_target!(|input: &[u8]| {
    let Some((which, message)) = input.split_first() else {
        return;
    };
    let path = &PATHS[usize::from(*which) % PATHS.len()];
    DAEMON.with(|daemon| bounded(path, || daemon.call(path, message)));
});
