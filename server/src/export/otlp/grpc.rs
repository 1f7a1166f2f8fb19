//! A request by gRPC, with bytes that are encoded already.

use std::{error::Error as _, time::Duration};

use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use prost::Message as _;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use super::{Outcome, partial};
use crate::{
    duration,
    export::{
        post::{PostError, Server, cut},
        setting::Compression,
        signal::Signal,
    },
    tls::cause,
};

/// Largest answer; a larger one would be asked for again and again.
const MAX_ANSWER: usize = 4 << 20;

/// Bytes as they are.
#[derive(Clone, Copy, Default)]
pub(super) struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// Calls `Export` of the signal's service.
pub(super) async fn export(
    server: &mut Server,
    signal: Signal,
    request: Vec<u8>,
) -> Result<Outcome, PostError> {
    let (url, after) = (server.remote().shown(), server.remote().timeout);
    let unreached = |cause: String| PostError::Unreached {
        url: url.clone(),
        cause,
    };
    let origin = url
        .parse()
        .map_err(|_| unreached("it is no address".into()))?;
    let mut grpc = Grpc::with_origin(server.http(), origin).max_decoding_message_size(MAX_ANSWER);
    grpc = match server.remote().compression {
        Compression::None => grpc,
        // A server may answer in the way that it is asked.
        Compression::Gzip => grpc
            .send_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Gzip),
        Compression::Zstd => grpc
            .send_compressed(CompressionEncoding::Zstd)
            .accept_compressed(CompressionEncoding::Zstd),
    };
    let mut call = Request::new(Bytes::from(request));
    call.set_timeout(after);
    for (name, value) in server.headers() {
        let metadata = call.metadata_mut().as_mut();
        metadata.append(name, value);
    }
    let answer = async {
        grpc.ready()
            .await
            .map_err(|error| Status::from_error(error.into()))?;
        grpc.unary(call, PathAndQuery::from_static(path(signal)), Raw)
            .await
    };
    match tokio::time::timeout(after, answer).await {
        Err(_) => {
            server.give_up();
            Err(PostError::Late { url, after })
        }
        Ok(Ok(answer)) => Ok(partial(answer.get_ref())),
        Ok(Err(status)) => judge(&url, &status),
    }
}

fn path(signal: Signal) -> &'static str {
    match signal {
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    }
}

/// Which statuses are asked for again is OTLP's table ("Failures").
fn judge(url: &str, status: &Status) -> Result<Outcome, PostError> {
    let url = url.to_owned();
    if let Some(source) = status.source() {
        let cause = cause(source);
        return Err(PostError::Unreached { url, cause });
    }
    let retry_after = retry_after(status.details());
    let told = format!("{:?}: {}", status.code(), cut(status.message()));
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => {}
        Code::ResourceExhausted if retry_after.is_some() => {}
        Code::ResourceExhausted if told.contains("larger than max") => {
            return Ok(Outcome::TooLarge);
        }
        _ => return Ok(Outcome::Refused(told)),
    }
    Err(PostError::Busy {
        url,
        told,
        retry_after,
    })
}

/// When it wants to be asked again, by the details of its answer (google.rpc.RetryInfo).
fn retry_after(details: &[u8]) -> Option<Duration> {
    let details = tonic_types::pb::Status::decode(details).ok()?.details;
    let mut infos = details.iter();
    let info = infos.find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let info = tonic_types::pb::RetryInfo::decode(&info.value[..]).ok()?;
    duration::of_message(&info.retry_delay?)
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    #[test]
    fn a_time_to_ask_again_counts_unless_it_is_none() {
        let told = |delay| {
            let details = ErrorDetails::with_retry_info(delay);
            let status = Status::with_error_details(Code::Unavailable, "busy", details);
            retry_after(status.details())
        };
        assert_eq!(
            told(Some(Duration::from_secs(7))),
            Some(Duration::from_secs(7))
        );
        assert_eq!(told(None), None);
        let mut details = tonic_types::pb::Status::default();
        for seconds in [-1, i64::MIN] {
            let delay = prost_types::Duration { seconds, nanos: 0 };
            let info = tonic_types::pb::RetryInfo {
                retry_delay: Some(delay),
            };
            details.details = vec![prost_types::Any {
                type_url: "type.googleapis.com/google.rpc.RetryInfo".into(),
                value: info.encode_to_vec(),
            }];
            assert_eq!(retry_after(&details.encode_to_vec()), None, "{seconds}");
        }
        assert_eq!(retry_after(b"no message"), None);
    }
}
