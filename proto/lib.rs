//! Message types, client stubs and server traits of the gRPC APIs that Sextant
//! speaks: Hubble's packages as they are on the wire, and Sextant's own.
//!
//! All of it is generated from the `.proto` files beside this file by the
//! root `build.rs`; nothing here is written by hand but the module tree.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated code; the .proto files carry the documentation"
)]

/// Flows, filters and events (Hubble's package `flow`).
pub mod flow {
    tonic::include_proto!("flow");
}

/// The Observer service (Hubble's package `observer`).
pub mod observer {
    tonic::include_proto!("observer");
}

/// The Peer service (Hubble's package `peer`).
pub mod peer {
    tonic::include_proto!("peer");
}

/// Node status events (Hubble's package `relay`).
pub mod relay {
    tonic::include_proto!("relay");
}

/// Sextant's own API.
pub mod sextant {
    /// Recording, summaries and filter hints (package `sextant.flow.v1`).
    pub mod flow {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("sextant.flow.v1");
        }
    }
    /// The daemon's own state (package `sextant.status.v1`).
    pub mod status {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("sextant.status.v1");
        }
    }
}

/// Serialised `FileDescriptorSet` of all files and their imports.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
