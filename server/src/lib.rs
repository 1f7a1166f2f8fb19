//! The Sextant daemon as a library.
//!
//! ```text
//! datapath (eBPF, rings, sweeps) ─► pipeline (enrich) ─► store (ring) ─► service (GetFlows ...)
//! replay (JSON lines, captures) ──────────┘ ▲                 └──► metrics
//!                         identity, links ──┘
//! ```
//!
//! One direction, no way back: nothing downstream calls upstream. What holds:
//!
//! - `app` alone knows all parts and starts long tasks.
//! - `unsafe` is in `datapath` only; protobuf appears in `flow::proto`, `filter`,
//!   `record`, `summary`, `service` and the cold part of a flow.
//! - `decode`, `flow`, `filter` and `identity::Snapshot` never await, lock, log
//!   or touch the system.
//! - Nothing is queued for a reader of the store; each place that can lose
//!   something counts it.
//! - There is no static mutable state.

pub mod app;
pub mod config;
pub mod datapath;
pub mod decode;
pub mod filter;
pub mod flow;
pub mod identity;
pub mod ledger;
pub mod metrics;
pub mod overhead;
pub mod pipeline;
pub mod record;
pub mod replay;
pub mod service;
pub mod store;
pub mod summary;
