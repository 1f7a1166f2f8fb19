//! Who is behind addresses, as the API server of a Kubernetes cluster tells it: pods,
//! services and nodes. Off unless it is configured; the rule for names is
//! `docs/kubernetes.md`.
//!
//! Nothing waits for the API server: who asks gets what is known by then. Each kind is
//! watched by a task of its own, which goes on where it was after an error, and later
//! each time. What was known stays until the API server says otherwise.
//!
//! Not here: which container a process is in (`containers`, `process::cgroup`), and the
//! merging with other providers (`identity`).
//!
//! Bound: `table::MOST` objects of each kind and `table::ROOM` bytes; those beyond are
//! counted.

mod directory;
mod error;
mod follow;
mod known;
mod labels;
mod objects;
mod probe;
mod table;
mod workload;

#[cfg(test)]
mod tests;

pub use directory::{KindStatus, Kubernetes, WatchState};
pub use follow::follow;
pub use probe::probe;
