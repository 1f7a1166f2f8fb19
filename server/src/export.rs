//! Exporters: what the store gets goes on to others, as Hubble's JSON (files, HTTP) or as
//! OpenTelemetry has it (OTLP).
//!
//! Each is a reader of the store with a cursor, on a thread of its own: nothing is queued
//! for it and nobody waits for it. One that is too slow is overtaken, and counts what it
//! missed. Spans of the daemon's own work, which are in no store, wait in a queue
//! (`crate::spans`). Not what serves: nobody asks an exporter for anything. Bound: `MAX_EXPORTERS`,
//! each with a batch of 1 MiB at most and an event.

mod batch;
mod counts;
mod dynamic;
mod encoder;
mod exporter;
mod file;
mod flow_logs;
mod groups;
mod http;
mod lines;
mod order;
mod otlp;
mod outlet;
mod periodic;
mod post;
mod queue;
mod reader;
mod set;
mod setting;
mod signal;
mod sink;
mod spool;
mod spooled;
mod start;
mod written;

pub use counts::{Damage, Dropped, SpoolState, State};
pub use dynamic::{Change, Dynamic, DynamicState};
pub use flow_logs::{FlowLogs, FlowLogsError, try_exports};
pub use lines::Lines;
pub use set::{Deaths, Exporters};
pub use setting::{
    Aggregation, COUNTED_FOR, Compression, Exports, FileTarget, HttpFormat, HttpTarget, OtlpTarget,
    Protocol, Remote, Selected, Setting, SettingError, SpoolSetting, Target, check,
};
pub(crate) use setting::{filters, name, shown, target, try_files};
pub use signal::{Signal, SpansOf};
pub use start::{Page, Source, StartError};

/// Most exporters at one time: each is a thread.
pub const MAX_EXPORTERS: usize = 32;
