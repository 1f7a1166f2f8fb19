//! JSON by POST to a server: lines or arrays, as the file has them.

use std::{borrow::Cow, io::Write as _, time::Duration};

use bytes::Bytes;
use flate2::write::GzEncoder;
use http::{HeaderValue, StatusCode, header};

use super::{
    batch::Batch,
    counts::Counts,
    post::{Answer, PostError, Server, Version},
    setting::{Compression, HttpFormat, HttpTarget, shown},
    written::Written,
};
use crate::tls::TlsError;

/// Bytes of a body before it is compressed, at most, but for one longer event.
pub(super) const MAX_BODY: usize = 1 << 20;

/// Where lines are posted.
#[derive(Debug)]
pub(super) struct HttpSink {
    server: Server,
    format: HttpFormat,
    counts: Counts,
}

impl HttpSink {
    pub(super) fn new(target: &HttpTarget, counts: Counts) -> Result<Self, TlsError> {
        Ok(Self {
            server: Server::new(&target.remote, Version::Http1)?,
            format: target.format,
            counts,
        })
    }

    pub(super) fn pace(&self) -> Duration {
        self.server.remote().interval
    }

    /// Posts the first events of a batch.
    pub(super) async fn write(&mut self, batch: &Batch) -> Written<PostError> {
        let (events, lines) = batch.first(self.server.most(), MAX_BODY);
        let compression = self.server.remote().compression;
        let (kind, body) = match self.format {
            HttpFormat::Lines => ("application/x-ndjson", Cow::Borrowed(lines)),
            HttpFormat::Array => ("application/json", Cow::Owned(array(lines))),
        };
        let body = match compressed(compression, body) {
            Ok(body) => body,
            Err(error) => return Written::failed(0, error),
        };
        let mut about = vec![(header::CONTENT_TYPE, HeaderValue::from_static(kind))];
        about.extend(compression.header());
        let url = self.server.remote().url.clone();
        match self.server.post(&url, &about, body).await {
            Ok(answer) => self.judge(&shown(&url), events, &answer),
            Err(error) => Written::failed(0, error),
        }
    }

    fn judge(&mut self, url: &str, events: usize, answer: &Answer) -> Written<PostError> {
        match answer.status {
            status if status.is_success() => {
                self.server.grow();
                Written::all(events)
            }
            StatusCode::PAYLOAD_TOO_LARGE if events > 1 => {
                self.server.shrink(events);
                Written::all(0)
            }
            status if is_passing(status) => {
                let busy = PostError::Busy {
                    url: url.to_owned(),
                    told: answer.told(),
                    retry_after: answer.retry_after,
                };
                Written::failed(0, busy)
            }
            _ => {
                let told = answer.told();
                self.counts
                    .complain(format!("{url} refuses what it is sent: {told}"));
                Written::refused(events, events)
            }
        }
    }
}

/// Whether the same request may be taken later.
fn is_passing(status: StatusCode) -> bool {
    let passing = [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    status.is_server_error() || passing.contains(&status)
}

/// The lines as an array.
fn array(lines: &[u8]) -> Vec<u8> {
    let lines = lines.trim_ascii_end();
    let mut array = Vec::with_capacity(lines.len() + 2);
    array.push(b'[');
    // A newline is nowhere else in a line.
    array.extend(lines.iter().map(|byte| match byte {
        b'\n' => b',',
        byte => *byte,
    }));
    array.push(b']');
    array
}

impl Compression {
    /// The header that tells of it.
    pub(super) fn header(self) -> Option<(header::HeaderName, HeaderValue)> {
        let name = match self {
            Self::None => return None,
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        };
        Some((header::CONTENT_ENCODING, HeaderValue::from_static(name)))
    }
}

/// The body as it is sent.
pub(super) fn compressed(
    compression: Compression,
    body: Cow<'_, [u8]>,
) -> Result<Bytes, PostError> {
    let compressed = match compression {
        Compression::None => return Ok(body.into_owned().into()),
        Compression::Gzip => {
            let room = Vec::with_capacity(body.len() / 4);
            let mut gzip = GzEncoder::new(room, flate2::Compression::fast());
            gzip.write_all(&body).and_then(|()| gzip.finish())
        }
        Compression::Zstd => zstd::bulk::compress(&body, zstd::DEFAULT_COMPRESSION_LEVEL),
    };
    compressed.map(Bytes::from).map_err(PostError::Compress)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_has_each_line_once() {
        assert_eq!(array(b"{\"a\":1}\n{\"b\":2}\n"), b"[{\"a\":1},{\"b\":2}]");
        assert_eq!(array(b"{}\n"), b"[{}]");
    }

    #[test]
    fn what_is_compressed_comes_out_again() {
        let body = b"{\"flow\":{}}\n".repeat(1000);
        let gzip = compressed(Compression::Gzip, body.as_slice().into()).unwrap();
        let mut out = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&gzip[..]), &mut out).unwrap();
        assert_eq!(out, body);
        let zstd = compressed(Compression::Zstd, body.as_slice().into()).unwrap();
        assert_eq!(zstd::bulk::decompress(&zstd, body.len()).unwrap(), body);
    }
}
