//! Flows without a daemon: the flow type with its protobuf form and its bytes on
//! the wire, filters, who may see what of them, summaries, and the reading of files (JSON lines, captures).
//!
//! ```text
//! files ─► replay (decode) ─► event (flow) ─► filter ─► summary, wire
//! ```
//!
//! Used by `sextantd` and by `sextant --input-file`, so it knows no runtime, no
//! transport and no eBPF. What is here is pure: but for `replay`, which reads
//! the file it is given, nothing awaits, locks, logs or touches the system.

#[cfg(test)]
mod cost;
pub mod decode;
pub mod descriptors;
pub mod dns;
pub mod event;
pub mod extensions;
pub mod field;
pub mod filter;
pub mod flow;
pub mod generations;
pub mod json;
pub mod names;
pub mod parts;
pub mod printable;
pub mod replay;
pub mod selection;
pub mod shape;
pub mod sni;
pub mod summary;
pub mod view;
