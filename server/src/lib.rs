//! Library of the Sextant daemon.
pub mod app;
pub mod config;
pub mod datapath;
pub mod decode;
pub mod filter;
pub mod flow;
pub mod identity;
pub mod metrics;
pub mod pipeline;
pub mod replay;
pub mod service;
pub mod store;
