//! The Sextant daemon as a library.
//!
//! ```text
//! datapath (eBPF, rings, sweeps) ─► pipeline (enrich) ─► store (ring) ─► service (GetFlows ...)
//! replay (JSON lines, captures) ──────────┘ ▲                 ├──► metrics
//!                                           │                 └──► export (files)
//!                         identity, links ──┘
//! ```
//!
//! One direction, no way back: nothing downstream calls upstream. What holds:
//!
//! - `app` alone knows all parts and starts long tasks.
//! - `unsafe` is in `datapath` only; protobuf appears in `flow::proto`, `filter`,
//!   `record`, `summary`, `service` and the cold part of a flow.
//! - The flow type, filters, summaries and the reading of files are the crate
//!   `sextant-flows`, which knows no runtime, transport or eBPF; it and
//!   `identity::Snapshot` never await, lock, log or touch the system.
//! - Nothing is queued for a reader of the store; each place that can lose
//!   something counts it.
//! - There is no static mutable state.

pub mod app;
mod appended;
pub mod audit;
pub mod community;
pub mod config;
pub mod containers;
#[allow(
    unsafe_code,
    reason = "system calls and maps of the kernel; each says why it is sound"
)]
pub mod datapath;
pub mod descriptors;
mod duration;
mod envelope;
pub mod export;
pub mod identity;
mod judge;
pub mod kubernetes;
pub mod ledger;
pub mod listener;
pub mod log;
pub mod mask;
pub mod memory;
pub mod metrics;
pub mod overhead;
pub mod percent;
pub mod pipeline;
pub mod policy;
pub mod process;
pub mod record;
pub mod reloaded;
pub mod rlimits;
pub mod service;
pub mod services;
pub mod small_file;
pub mod spans;
pub mod state;
pub mod store;
pub mod tls;
pub mod traceparent;

pub use sextant_flows::{
    decode, dns, field, filter, flow, generations, names, replay, selection, sni, summary,
};
