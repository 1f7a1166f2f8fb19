//! Takes connections of one listener, as many as there are places.
//!
//! Never fails and never spins: what goes wrong with one connection is that
//! connection's, and where the system has no descriptor or memory left it rests.

use std::{io, time::Duration};

use futures::Stream;
use nix::errno::Errno;
use tokio::{
    net::{TcpListener, UnixListener},
    time::Instant,
};

use super::{
    Caller,
    connection::{Connection, Stream as Io},
    places::Places,
    socket::SocketFile,
    unix::UnixConnection,
};

/// Rest after the system had nothing left.
const REST: Duration = Duration::from_millis(200);
/// A warning of one kind at most this often.
const WARNING: Duration = Duration::from_secs(10);
/// A peer that is gone without a word is noticed.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A bound socket.
#[derive(Debug)]
pub(super) enum Socket {
    /// TCP.
    Tcp(TcpListener),
    /// Unix. The file goes before the listener does, however this ends.
    Unix {
        file: SocketFile,
        listener: UnixListener,
    },
}

/// One listener's connections to come.
pub(super) struct Accept {
    /// For people.
    name: String,
    socket: Socket,
    places: Places,
    warned: Option<Instant>,
}

impl Accept {
    pub(super) fn new(name: String, socket: Socket, places: Places) -> Self {
        Self {
            name,
            socket,
            places,
            warned: None,
        }
    }

    /// All connections, without an end.
    pub(super) fn connections(self) -> impl Stream<Item = io::Result<Connection>> + Send {
        futures::stream::unfold(self, |mut accept| async move {
            let connection = accept.next().await;
            Some((Ok(connection), accept))
        })
    }

    async fn next(&mut self) -> Connection {
        loop {
            match self.accept().await {
                Ok((stream, caller)) => match self.places.take(&caller) {
                    Some(place) => return Connection::new(stream, caller, place),
                    None => self.warn(format_args!(
                        "no place for a connection of {}; raise server.max_connections or server.max_connections_per_peer",
                        caller.share()
                    )),
                },
                Err(error) if is_exhausted(&error) => {
                    self.warn(format_args!(
                        "no connection can be accepted: {error}; raise the limit of open files (LimitNOFILE)"
                    ));
                    tokio::time::sleep(REST).await;
                }
                // The connection was over before it was taken.
                Err(error) => tracing::debug!(listener = self.name, %error, "not accepted"),
            }
        }
    }

    async fn accept(&self) -> io::Result<(Io, Caller)> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // An answer is several small writes: none may wait for the client's
                // acknowledgement of the one before.
                stream.set_nodelay(true)?;
                // Clients of HTTP/1 answer no pings.
                let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
                socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
                let caller = Caller::tcp(&stream);
                Ok((Io::Tcp(stream), caller))
            }
            Socket::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                let caller = Caller::unix(&stream);
                Ok((Io::Unix(UnixConnection::new(stream)), caller))
            }
        }
    }

    fn warn(&mut self, text: std::fmt::Arguments<'_>) {
        if self.warned.is_none_or(|warned| warned.elapsed() >= WARNING) {
            self.warned = Some(Instant::now());
            tracing::warn!(listener = self.name, "{text}");
        }
    }
}

pub(super) fn is_exhausted(error: &io::Error) -> bool {
    let exhausted = [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM];
    let number = error.raw_os_error().map(Errno::from_raw);
    number.is_some_and(|number| exhausted.contains(&number))
}
