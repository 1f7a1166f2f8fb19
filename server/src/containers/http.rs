//! HTTP/1.1 over a unix socket, as far as engines need it: bounded in bytes and time.

use std::{path::Path, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode, header::HOST};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::{net::UnixStream, task::JoinSet, time::timeout};

use super::error::EngineError;

/// For a connection, and for each answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// An answer: a list of all containers, at about a kilobyte each; of an engine that is
/// not root's.
const LONGEST: usize = 32 << 20;
const LONGEST_OF_USER: usize = 4 << 20;
/// One message of a stream.
const LONGEST_MESSAGE: usize = 1 << 20;
/// Bytes that are looked at for one message, again each time that more of it comes: who
/// sends it in single bytes would take a CPU.
const MOST_LOOKED_AT: usize = 16 << 20;

/// A connection to an engine.
pub(super) struct Http {
    requests: SendRequest<Empty<Bytes>>,
    uid: u32,
    /// Moves the bytes; ends with this.
    _driver: JoinSet<()>,
}

/// A socket that somebody listens at, and the user that does.
pub(super) async fn connect(path: &Path) -> Result<(UnixStream, u32), EngineError> {
    let stream = within("connect", UnixStream::connect(path)).await?;
    let stream = stream.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => EngineError::Absent,
        // Of one that ended, the socket is still there.
        std::io::ErrorKind::ConnectionRefused => EngineError::Absent,
        _ => EngineError::Connect(error),
    })?;
    let credentials = stream.peer_cred().map_err(EngineError::Connect)?;
    Ok((stream, credentials.uid()))
}

/// Bytes that the answer of an engine of this user may have.
pub(super) fn longest(uid: u32) -> usize {
    match uid {
        0 => LONGEST,
        _ => LONGEST_OF_USER,
    }
}

/// The outcome, unless it takes too long.
pub(super) async fn within<T>(
    what: &'static str,
    work: impl Future<Output = T>,
) -> Result<T, EngineError> {
    let outcome = timeout(PATIENCE, work).await;
    outcome.map_err(|_| EngineError::Slow(what, PATIENCE))
}

impl Http {
    /// Connects.
    pub(super) async fn connect(path: &Path) -> Result<Self, EngineError> {
        let (stream, uid) = connect(path).await?;
        let hands = within("connect", handshake(TokioIo::new(stream))).await?;
        let (requests, connection) = hands.map_err(|error| EngineError::Http("connect", error))?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // Whoever asks next is told.
            let _ = connection.await;
        });
        Ok(Self {
            requests,
            uid,
            _driver: driver,
        })
    }

    /// Who is at the other end.
    pub(super) fn uid(&self) -> u32 {
        self.uid
    }

    /// Asks, and reads the answer. `what` is for people.
    pub(super) async fn get<T: DeserializeOwned>(
        &mut self,
        what: &'static str,
        uri: &str,
    ) -> Result<T, EngineError> {
        let answer = async {
            let response = self.send(what, uri).await?;
            let most = longest(self.uid);
            let body = Limited::new(response.into_body(), most).collect().await;
            let body = body.map_err(|_| EngineError::Body(what, most))?;
            serde_json::from_slice(&body.to_bytes()).map_err(|error| EngineError::Json(what, error))
        };
        within(what, answer).await?
    }

    /// Asks for what has no end.
    pub(super) async fn stream(
        mut self,
        what: &'static str,
        uri: &str,
    ) -> Result<Stream, EngineError> {
        let response = within(what, self.send(what, uri)).await??;
        Ok(Stream {
            what,
            body: response.into_body(),
            read: BytesMut::new(),
            looked_at: 0,
            _connection: self,
        })
    }

    async fn send(
        &mut self,
        what: &'static str,
        uri: &str,
    ) -> Result<Response<Incoming>, EngineError> {
        let failed = |error| EngineError::Http(what, error);
        self.requests.ready().await.map_err(failed)?;
        let request = Request::get(uri).header(HOST, "localhost");
        let request = request.body(Empty::new());
        // An address that cannot be one is the engine's own word.
        let request = request.map_err(|_| EngineError::Refused(what, StatusCode::BAD_REQUEST))?;
        let response = self.requests.send_request(request).await.map_err(failed)?;
        match response.status() {
            StatusCode::OK => Ok(response),
            status => Err(EngineError::Refused(what, status)),
        }
    }
}

/// Messages of JSON, one after the other.
pub(super) struct Stream {
    what: &'static str,
    body: Incoming,
    read: BytesMut,
    looked_at: usize,
    _connection: Http,
}

impl Stream {
    /// The next one. May be dropped at any time without a loss.
    pub(super) async fn next<T: DeserializeOwned>(&mut self) -> Result<T, EngineError> {
        loop {
            self.looked_at += self.read.len();
            let mut values = serde_json::Deserializer::from_slice(&self.read).into_iter::<T>();
            match values.next() {
                Some(Ok(value)) => {
                    let length = values.byte_offset();
                    let _ = self.read.split_to(length);
                    self.looked_at = 0;
                    return Ok(value);
                }
                Some(Err(error)) if !error.is_eof() => {
                    return Err(EngineError::Json(self.what, error));
                }
                _ if self.read.len() > LONGEST_MESSAGE || self.looked_at > MOST_LOOKED_AT => {
                    return Err(EngineError::Body(self.what, LONGEST_MESSAGE));
                }
                _ => {}
            }
            let frame = self.body.frame().await.ok_or(EngineError::Ended)?;
            let frame = frame.map_err(|error| EngineError::Http(self.what, error))?;
            if let Some(data) = frame.data_ref() {
                self.read.extend_from_slice(data);
            }
        }
    }
}
