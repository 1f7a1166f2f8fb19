//! Connects, makes the handshake, and remembers how TLS broke: HTTP/2 on top of it only
//! passes texts on, and a server of TLS 1.3 refuses a client's certificate after it.

use std::{
    io,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::Uri;
use tower::{BoxError, Service, service_fn};

use super::{Fault, Tls};

/// A connection below TLS.
pub(crate) trait Plain: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Plain for T {}

/// Connects to the socket at the path, or else to host and port of the address.
pub(crate) fn connector(
    tls: Arc<Tls>,
    socket: Option<PathBuf>,
) -> impl Service<Uri, Response = TokioIo<Watched>, Error = BoxError, Future: Send> {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    service_fn(move |address: Uri| {
        let (tls, socket, mut tcp) = (Arc::clone(&tls), socket.clone(), tcp.clone());
        async move {
            let plain: Box<dyn Plain> = match socket {
                Some(path) => Box::new(UnixStream::connect(path).await?),
                None => Box::new(tcp.call(address).await?.into_inner()),
            };
            Ok(TokioIo::new(handshake(tls, plain).await?))
        }
    })
}

async fn handshake(tls: Arc<Tls>, plain: Box<dyn Plain>) -> io::Result<Watched> {
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    let inner = match connector.connect(tls.name.clone(), plain).await {
        Ok(stream) => stream,
        Err(error) => {
            tls.tell(Some(fault(&error).unwrap_or(Fault::Closed)));
            return Err(error);
        }
    };
    if inner.get_ref().1.alpn_protocol() != Some(b"h2") {
        tls.tell(Some(Fault::NoHttp2));
        return Err(io::Error::other("no HTTP/2"));
    }
    Ok(Watched {
        inner,
        tls,
        is_silent: true,
    })
}

fn fault(error: &io::Error) -> Option<Fault> {
    let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(Fault::Tls(inner.clone()))
}

/// A stream that tells how it broke.
pub(crate) struct Watched {
    inner: TlsStream<Box<dyn Plain>>,
    tls: Arc<Tls>,
    /// The server has said nothing yet: it may still refuse us.
    is_silent: bool,
}

impl Watched {
    fn watch<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &polled
            && let Some(fault) = fault(error)
        {
            self.tls.tell(Some(fault));
        }
        polled
    }

    /// A server that hangs up says why before: what it said may be here, unread, when
    /// writing fails. The socket is at its end then, so there is little to wait for.
    fn watch_write<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        let mut scratch = [0; 1024];
        while self.is_silent && matches!(&polled, Poll::Ready(Err(_))) {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = Pin::new(&mut self.inner).poll_read(cx, &mut buffer);
            let read = ready!(self.watch(read));
            self.is_silent = read.is_ok() && !buffer.filled().is_empty();
        }
        self.watch(polled)
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if self.is_silent && buffer.filled().len() > before {
            self.is_silent = false;
            self.tls.tell(None);
        }
        self.watch(read)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.watch_write(written, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.watch_write(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
