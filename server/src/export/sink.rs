//! Where an exporter writes: one of the kinds, and how an attempt went.

use std::time::Duration;

use thiserror::Error;

use super::{
    batch::Batch,
    counts::Counts,
    file::{self, FileSink},
    http::{HttpSink, MAX_BODY},
    otlp::OtlpSink,
    post::PostError,
    setting::Target,
    written::Written,
};
use crate::tls::TlsError;

/// Events that come soon after others are written to a file together with them.
const FILE_PACE: Duration = Duration::from_millis(10);
/// Bytes that are written to a file together, about.
const FILE_BATCH: usize = 256 << 10;

/// Why events are not written.
#[derive(Debug, Error)]
pub(super) enum SinkError {
    /// Not to the file.
    #[error(transparent)]
    File(#[from] file::SinkError),
    /// Not to the server.
    #[error(transparent)]
    Post(#[from] PostError),
}

impl SinkError {
    /// How long the other side asks to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::File(_) => None,
            Self::Post(error) => error.retry_after(),
        }
    }
}

/// One of the kinds.
#[derive(Debug)]
pub(super) enum Sink {
    File(FileSink),
    Http(Box<HttpSink>),
    Otlp(Box<OtlpSink>),
}

impl Sink {
    pub(super) fn new(target: &Target, counts: &Counts) -> Result<Self, TlsError> {
        Ok(match target {
            Target::File(file) => Self::File(FileSink::new(file, counts.clone())),
            Target::Http(http) => Self::Http(Box::new(HttpSink::new(http, counts.clone())?)),
            Target::Otlp(otlp) => Self::Otlp(Box::new(OtlpSink::new(otlp, counts.clone())?)),
        })
    }

    /// Writes to this, which is of the same kind, from now on.
    pub(super) fn change(&mut self, target: &Target, counts: &Counts) -> Result<(), TlsError> {
        match (&mut *self, target) {
            (Self::File(sink), Target::File(file)) => sink.change(file),
            _ => *self = Self::new(target, counts)?,
        }
        Ok(())
    }

    /// Opens what there is to open, so that what is wrong with it is known.
    pub(super) fn prepare(&mut self) -> Result<(), SinkError> {
        match self {
            Self::File(sink) => Ok(sink.prepare()?),
            Self::Http(_) | Self::Otlp(_) => Ok(()),
        }
    }

    /// Writes what it can of a batch.
    pub(super) async fn write(&mut self, batch: &Batch) -> Written<SinkError> {
        match self {
            Self::File(sink) => sink.write(batch).with(),
            Self::Http(sink) => sink.write(batch).await.with(),
            Self::Otlp(sink) => sink.write(batch).await.with(),
        }
    }

    /// Bytes from which on a batch is written, however young it is.
    pub(super) fn most_bytes(&self) -> usize {
        match self {
            Self::File(_) => FILE_BATCH,
            Self::Http(_) | Self::Otlp(_) => MAX_BODY,
        }
    }

    /// How long events wait for others to go with them.
    pub(super) fn pace(&self) -> Duration {
        match self {
            Self::File(_) => FILE_PACE,
            Self::Http(sink) => sink.pace(),
            Self::Otlp(sink) => sink.pace(),
        }
    }

    /// Lets it go; what was written lasts then.
    pub(super) fn close(&mut self) -> Result<(), SinkError> {
        match self {
            Self::File(sink) => Ok(sink.close()?),
            Self::Http(_) | Self::Otlp(_) => Ok(()),
        }
    }
}
