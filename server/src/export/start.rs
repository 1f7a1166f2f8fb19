//! What exporters begin with, and why one cannot.

use std::{io, sync::Arc};

use thiserror::Error;

use super::setting::SettingError;
use crate::tls::TlsError;

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
