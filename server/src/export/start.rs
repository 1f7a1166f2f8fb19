//! What exporters begin with, and why one cannot.

use std::{io, sync::Arc};

use thiserror::Error;

use super::{lines::Lines, setting::SettingError};
use crate::{spans::Spans, store::Ring, tls::TlsError};

/// What is exported, and from where.
#[derive(Clone, Debug)]
pub struct Source {
    /// Flows and other events.
    pub ring: Ring,
    /// The node that they are of.
    pub node_name: String,
    /// Of the daemon's own work.
    pub spans: Spans,
    /// What exporters made of them.
    pub lines: Lines,
}

/// Makes a page of all metrics, OpenMetrics text.
pub type Page = Arc<dyn Fn() -> String + Send + Sync>;

/// Why an exporter cannot begin.
#[derive(Debug, Error)]
pub enum StartError {
    /// What it is told is of no use.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A certificate, key or token that it shows or trusts.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no thread for it.
    #[error("cannot start a thread that exports: {0}; raise the limit of processes")]
    Thread(io::Error),
}
