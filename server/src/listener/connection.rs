//! A connection as the server reads it, of whatever transport.
//!
//! It has to say soon what it speaks: the preface of HTTP/2, or anything that
//! is none. Until then it is as good as silent, and ends with its `Opening`; later
//! time-outs are those of HTTP. Nothing is buffered here.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::{
    Caller, authority::PREFACE, head::Head, places::Place, silent::Opening, unix::UnixConnection,
};

/// What carries the bytes.
#[derive(Debug)]
pub(super) enum Stream {
    /// As they are.
    Tcp(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
    /// A local process.
    Unix(UnixConnection),
}

/// An accepted connection.
pub struct Connection {
    stream: Stream,
    caller: Caller,
    place: Place,
    /// Until it told what it speaks.
    opening: Option<Opening>,
    /// Bytes of the preface that came meanwhile.
    matched: usize,
    /// Of the request that is read, where it speaks HTTP/1.
    head: Option<Head>,
}

impl Connection {
    pub(super) fn new(stream: Stream, caller: Caller, place: Place, opening: Opening) -> Self {
        Self {
            stream,
            caller,
            place,
            opening: Some(opening),
            matched: 0,
            head: Some(Head::default()),
        }
    }

    /// Looks at the first bytes.
    fn open(&mut self, read: &[u8]) -> io::Result<()> {
        let rest = &PREFACE[self.matched..];
        let seen = read.len().min(rest.len());
        self.matched += seen;
        let is_other = read[..seen] != rest[..seen];
        let is_open = self.matched == PREFACE.len() || is_other;
        if is_open && !is_other {
            self.head = None;
        }
        if is_open || read.is_empty() {
            self.opening = None;
            if !self.place.speak() {
                return Err(silent());
            }
        }
        Ok(())
    }

    fn answering(&mut self) -> &mut Stream {
        if let Some(head) = &mut self.head {
            head.answered();
        }
        &mut self.stream
    }
}

fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "nothing was said on it")
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = match &mut this.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if let Some(opening) = &mut this.opening {
            if read.is_pending() {
                ready!(Pin::new(opening).poll(cx));
                return Poll::Ready(Err(silent()));
            }
            if matches!(read, Poll::Ready(Ok(()))) {
                this.open(&buf.filled()[before..])?;
            }
        }
        if let Some(head) = &mut this.head {
            head.read(&buf.filled()[before..])?;
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut().answering() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut().answering() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Tcp(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
            Stream::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// What each request of it has in its extensions.
impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}
