//! Message types of the gRPC APIs that Sextant speaks: Hubble's packages as they
//! are on the wire, and Sextant's own. With the feature `grpc` also client stubs
//! and server traits; without it nothing here knows a transport.
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
    include!(concat!(env!("OUT_DIR"), "/flow.rs"));
}

/// The Observer service (Hubble's package `observer`).
pub mod observer {
    include!(concat!(env!("OUT_DIR"), "/observer.rs"));
}

/// The Peer service (Hubble's package `peer`).
pub mod peer {
    include!(concat!(env!("OUT_DIR"), "/peer.rs"));
}

/// Node status events (Hubble's package `relay`).
pub mod relay {
    include!(concat!(env!("OUT_DIR"), "/relay.rs"));
}

/// Sextant's own API.
pub mod sextant {
    /// The audit log (package `sextant.audit.v1`).
    pub mod audit {
        /// Version 1.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/sextant.audit.v1.rs"));
        }
    }
    /// Recording, summaries and filter hints (package `sextant.flow.v1`).
    pub mod flow {
        /// Version 1.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/sextant.flow.v1.rs"));
        }
    }
    /// Network policies (package `sextant.policy.v1`).
    pub mod policy {
        /// Version 1.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/sextant.policy.v1.rs"));
        }
    }
    /// The daemon's own state (package `sextant.status.v1`).
    pub mod status {
        /// Version 1.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/sextant.status.v1.rs"));
        }
    }
}

/// Serialised `FileDescriptorSet` of all files and their imports.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
