//! Network policies without a daemon: documents as known from Cilium and Kubernetes,
//! the model that they become, and the verdict on a connection.
//!
//! ```text
//! YAML, JSON ─► document ─► policy ─► set ─┬► judge ─► judgement
//!                      flows ─► traffic ───┴► simulation, suggestion
//!                  who is where, set ─► compile ─► tables of the kernel
//! ```
//!
//! The meaning is Cilium's: who is selected by a policy in a direction denies by
//! default there, denying rules beat allowing ones. What is here is pure: nothing
//! awaits, locks, logs or touches the system. Replies are not judged: they belong to
//! the connection that was.

pub mod compile;
pub mod document;
pub mod endpoint;
pub mod exempt;
pub mod explanation;
pub mod judge;
pub mod judgement;
pub mod label;
pub mod policy;
pub mod ports;
pub mod remembered;
pub mod selector;
pub mod set;
pub mod simulation;
pub mod suggestion;
pub mod traffic;
