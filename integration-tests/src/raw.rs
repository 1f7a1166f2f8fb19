//! A client that does what good ones do not: half messages, silence, answers
//! that nobody reads, from any local address.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::{
    SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request};
use tokio::{net::TcpSocket, task::JoinHandle};

/// A connection; closed when dropped.
#[derive(Debug)]
pub struct Raw {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<()>,
}

/// A call under way; reset when dropped.
#[derive(Debug)]
pub struct Call {
    /// To send more.
    pub request: SendStream<Bytes>,
    response: ResponseFuture,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// As in `grpc-status`.
    pub code: u16,
    /// As in `grpc-message`, percent-encoded.
    pub message: String,
    /// What came before.
    pub body: Bytes,
}

impl Raw {
    /// Connects from this address, which is one of the host.
    ///
    /// # Errors
    ///
    /// As the system has them.
    pub async fn connect(server: &str, source: IpAddr) -> io::Result<Self> {
        let server: SocketAddr = server.parse().map_err(io::Error::other)?;
        let socket = match source {
            IpAddr::V4(_) => TcpSocket::new_v4()?,
            IpAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.bind((source, 0).into())?;
        let stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        let handshake = h2::client::handshake(stream).await;
        let (requests, connection) = handshake.map_err(io::Error::other)?;
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self {
            requests,
            connection,
        })
    }

    /// Whether the other side, or the network, ended it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.connection.is_finished()
    }

    /// Begins a call with these headers beside the usual ones; `body` is sent, and
    /// is all where it says so.
    ///
    /// # Errors
    ///
    /// When the connection is over.
    pub async fn call(
        &mut self,
        path: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
        is_all: bool,
    ) -> Result<Call, h2::Error> {
        let mut request = Request::post(format!("http://127.0.0.1{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(()).unwrap();
        self.requests = self.requests.clone().ready().await?;
        let (response, mut stream) = self.requests.send_request(request, false)?;
        if !body.is_empty() || is_all {
            // Waits in the client until there is room for it. A call that was answered
            // already takes none.
            let _ = stream.send_data(body, is_all);
        }
        Ok(Call {
            request: stream,
            response,
        })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Call {
    /// Waits for the headers of the answer, and reads nothing of it.
    ///
    /// # Errors
    ///
    /// When the call or the connection was ended.
    pub async fn begin(&mut self) -> Result<http::Response<h2::RecvStream>, h2::Error> {
        (&mut self.response).await
    }

    /// Reads the answer to its end.
    ///
    /// # Errors
    ///
    /// When the call or the connection was ended without a status.
    pub async fn end(mut self) -> Result<End, h2::Error> {
        let response = self.begin().await?;
        let headers = response.headers().clone();
        let mut answer = response.into_body();
        let mut body = BytesMut::new();
        while let Some(data) = answer.data().await {
            let data = data?;
            answer.flow_control().release_capacity(data.len())?;
            body.put(data);
        }
        let trailers = answer.trailers().await?.unwrap_or(headers);
        let text = |name: &str| text(&trailers, name);
        Ok(End {
            code: text("grpc-status").parse().unwrap_or(u16::MAX),
            message: text("grpc-message"),
            body: body.freeze(),
        })
    }
}

fn text(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

/// A message of gRPC that says it has `length` bytes and has these.
#[must_use]
pub fn message_of(length: usize, bytes: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(5 + bytes.len());
    message.put_u8(0);
    message.put_u32(length as u32);
    message.put(bytes);
    message.freeze()
}

/// A whole message.
#[must_use]
pub fn message(bytes: &[u8]) -> Bytes {
    message_of(bytes.len(), bytes)
}
