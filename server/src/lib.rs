//! Library of the Sextant daemon.
pub mod flow;
pub mod store;
