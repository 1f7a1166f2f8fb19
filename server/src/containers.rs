//! Names, images and labels of containers, as their engines tell them.
//!
//! Nothing waits for an engine: who asks gets what is known by then. An engine that
//! is not there yet, is started again, hangs or lies costs no more than names: each is
//! asked by a task of its own, with time-outs and bounds, and what was known of it
//! stays until it says otherwise. The rule for names is `docs/who.md`.
//!
//! Not here: which container a process is in, which the path of its cgroup says
//! (`process::cgroup`).
//!
//! Bound: `directory::MOST` containers of each socket, `follow::MOST` sockets.

mod bounded;
mod containerd;
mod cri;
mod directory;
mod docker;
mod error;
mod follow;
mod grpc;
mod http;
mod images;
mod named;
mod ports;
mod probe;

#[cfg(test)]
mod tests;

pub use directory::{Containers, EngineState, EngineStatus};
pub use follow::follow;
pub use named::{Named, Published};
pub use probe::probe;
