//! Policies in the daemon: the set that is kept, its changes, and what puts it in force.
//!
//! ```text
//! request ─► change ─► rulebook, guard ─► Enforce::check ─► database ─► Enforce::activate
//! ```
//!
//! Changes are made one after the other (`policies`); readers have the set of the last
//! one (`state`) and never wait. What policies mean is in `sextant_policy`.

pub mod change;
pub mod database;
pub mod ends;
pub mod enforce;
pub mod enforcer;
pub mod entry;
pub mod guard;
mod owners;
pub mod policies;
pub mod rulebook;
pub mod state;
pub mod verdicts;

#[cfg(test)]
pub(crate) mod testing;
