//! What can go wrong with an engine; all of it ends a session, and another is tried.

use std::{io, time::Duration};

/// Why a session with an engine ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    /// Its socket is not there: it is not installed, or not running.
    #[error("is not there")]
    Absent,
    /// The socket is there and cannot be used.
    #[error(
        "cannot be reached: {0}; sextantd needs the right to connect (root, or the socket's group)"
    )]
    Connect(#[source] io::Error),
    /// It does not answer.
    #[error("did not answer {0} within {1:?}")]
    Slow(&'static str, Duration),
    /// The connection broke, or what came is no HTTP.
    #[error("{0}: {1}")]
    Http(&'static str, #[source] hyper::Error),
    /// It refused.
    #[error("answered {0} with {1}")]
    Refused(&'static str, http::StatusCode),
    /// More than is read.
    #[error("answered {0} with more than {1} bytes, or not to the end")]
    Body(&'static str, usize),
    /// Not what its API says.
    #[error("answered {0} with what is not understood: {1}")]
    Json(&'static str, #[source] serde_json::Error),
    /// A call failed.
    #[error("{0}: {1}")]
    Call(&'static str, #[source] Box<tonic::Status>),
    /// No connection for calls.
    #[error("cannot be called: {0}")]
    Transport(#[source] tonic::transport::Error),
    /// It ended, or was started again.
    #[error("ended its stream of events")]
    Ended,
}
