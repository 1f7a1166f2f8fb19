//! For a collector of OpenTelemetry: flows as log events and spans, and metrics, by gRPC or
//! HTTP (OTLP 1.x, protobuf).
//!
//! An answer that takes a part refuses the rest, which is counted; an answer that may be
//! another later is asked for again, after the time that the collector says. Bound: a
//! request at a time.

mod any;
mod attributes;
mod frame;
mod grpc;
mod joined;
mod metrics;
mod record;
mod resource;
mod span;
mod starts;

#[cfg(test)]
mod tests;

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message as _;
use sextant_flows::flow::wire::put;

use super::{
    batch::Batch,
    counts::Counts,
    http::{MAX_BODY, compressed},
    post::{Answer, PostError, Server, Version, cut},
    setting::{OtlpTarget, Protocol},
    signal::Signal,
    written::Written,
};
use crate::tls::TlsError;
pub(super) use attributes::Ends;
use frame::{Frame, ITEM};
pub(super) use joined::Joined;
pub(super) use record::{nanos, put as put_record, put_group};
pub(super) use span::{ends_connection, put as put_span};
pub(super) use starts::Starts;

/// Adds all metrics of a page that is made now, each as an event of the batch; how many
/// points each has. Nanoseconds since 1970.
pub(super) fn put_metrics(
    page: &str,
    starts: &mut Starts,
    now: u64,
    batch: &mut Batch,
) -> Vec<u64> {
    let mut points = Vec::new();
    let mut metrics = metrics::of_page(page, now);
    starts.set(&mut metrics, now);
    for metric in metrics {
        points.push(metrics::points(&metric));
        let Ok(()) = batch.add(|out| {
            put::set_bytes(ITEM, &metric.encode_to_vec(), out);
            Ok::<_, Infallible>(())
        });
    }
    points
}

/// Adds a span of the daemon's own work, which is encoded.
pub(super) fn put_own_span(span: &[u8], out: &mut Vec<u8>) {
    put::set_bytes(ITEM, span, out);
}

/// What came of a request.
enum Outcome {
    /// All was taken; what it says nevertheless.
    Taken(Option<String>),
    /// So many were not, and why.
    Partly(u64, String),
    /// Nothing was, and why.
    Refused(String),
    /// Too large.
    TooLarge,
}

/// A collector.
#[derive(Debug)]
pub(super) struct OtlpSink {
    server: Server,
    signal: Signal,
    protocol: Protocol,
    frame: Frame,
    counts: Counts,
}

impl OtlpSink {
    pub(super) fn new(target: &OtlpTarget, counts: Counts) -> Result<Self, TlsError> {
        let version = match target.protocol {
            Protocol::Grpc => Version::Http2,
            Protocol::Http => Version::Http1,
        };
        Ok(Self {
            server: Server::new(&target.remote, version)?,
            signal: target.signal,
            protocol: target.protocol,
            frame: Frame::new(&resource::detect(&target.resource)),
            counts,
        })
    }

    pub(super) fn pace(&self) -> Duration {
        self.server.remote().interval
    }

    /// Sends the first events of a batch.
    pub(super) async fn write(&mut self, batch: &Batch) -> Written<PostError> {
        let (events, items) = batch.first(self.server.most(), MAX_BODY);
        let request = self.frame.around(items);
        let outcome = match self.protocol {
            Protocol::Grpc => grpc::export(&mut self.server, self.signal, request).await,
            Protocol::Http => self.post(request).await,
        };
        let (mut refused_parts, mut refused) = (0, 0);
        let why = match outcome {
            Err(error) => return Written::failed(0, error),
            Ok(Outcome::Taken(told)) => {
                self.server.grow();
                if let Some(told) = told {
                    let url = self.server.remote().shown();
                    self.counts.complain(format!("{url} says: {told}"));
                }
                return Written::all(events);
            }
            Ok(Outcome::TooLarge) if events > 1 => {
                self.server.shrink(events);
                return Written::all(0);
            }
            Ok(Outcome::TooLarge) => {
                refused = events;
                "it is too large".into()
            }
            // An event here is a metric, which has points.
            Ok(Outcome::Partly(points, why)) if self.signal == Signal::Metrics => {
                refused_parts = points;
                why
            }
            Ok(Outcome::Partly(some, why)) => {
                refused = usize::try_from(some).unwrap_or(events).min(events);
                why
            }
            Ok(Outcome::Refused(why)) => {
                refused = events;
                why
            }
        };
        let url = self.server.remote().shown();
        self.counts
            .complain(format!("{url} refuses what it is sent: {why}"));
        Written {
            refused_parts,
            ..Written::refused(events, refused)
        }
    }

    async fn post(&mut self, request: Vec<u8>) -> Result<Outcome, PostError> {
        let compression = self.server.remote().compression;
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        let mut about = vec![(header::CONTENT_TYPE, protobuf)];
        about.extend(compression.header());
        let url = self.server.remote().url.clone();
        let body = compressed(compression, request.into())?;
        let answer = self.server.post(&url, &about, body).await?;
        match answer.status {
            status if status.is_success() => Ok(partial(&answer.body)),
            StatusCode::PAYLOAD_TOO_LARGE => Ok(Outcome::TooLarge),
            // The ones that OTLP names; others are not to be asked for again.
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Err(PostError::Busy {
                url: self.server.remote().shown(),
                told: told(&answer),
                retry_after: answer.retry_after,
            }),
            _ => Ok(Outcome::Refused(told(&answer))),
        }
    }
}

/// Of a success. The answers for all signals are of one shape.
fn partial(answer: &Bytes) -> Outcome {
    let answer = ExportLogsServiceResponse::decode(answer.as_ref());
    let partial = answer.ok().and_then(|answer| answer.partial_success);
    match partial {
        Some(partial) if partial.rejected_log_records > 0 => {
            let refused = partial.rejected_log_records.unsigned_abs();
            Outcome::Partly(refused, cut(&partial.error_message))
        }
        Some(partial) if !partial.error_message.is_empty() => {
            Outcome::Taken(Some(cut(&partial.error_message)))
        }
        _ => Outcome::Taken(None),
    }
}

/// What an answer by HTTP says: a `google.rpc.Status`.
fn told(answer: &Answer) -> String {
    let is_protobuf =
        std::str::from_utf8(&answer.body).is_err() || answer.body.iter().any(u8::is_ascii_control);
    let status = tonic_types::Status::decode(answer.body.as_ref());
    match status {
        Ok(status) if is_protobuf && !status.message.is_empty() => {
            format!("{}: {}", answer.status, cut(&status.message))
        }
        _ => answer.told(),
    }
}
