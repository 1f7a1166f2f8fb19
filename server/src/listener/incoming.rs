//! A bound socket, and the connections that wait at it.
//!
//! To be woken for a connection costs more than to take it. Where many are held that
//! say nothing, and one came, further ones are left to the kernel for `PAUSE` and taken
//! together: who makes them by the thousand cannot make the daemon busy by that. Where
//! none came in a pause, the next one wakes it. Bound: the kernel's queue, whose length
//! is the listener's.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdTcpListener},
    os::unix::net::UnixListener as StdUnixListener,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    time::{Instant, sleep_until},
};

use super::{Origin, silent::Accepted, socket::SocketFile};

/// How long new connections wait in a crowd.
const PAUSE: Duration = Duration::from_millis(5);

/// A bound socket; calls do not block.
#[derive(Debug)]
pub(super) enum Socket {
    /// TCP.
    Tcp(StdTcpListener),
    /// Unix. The file goes before the listener does, however this ends.
    Unix {
        file: SocketFile,
        listener: StdUnixListener,
    },
}

/// Takes its connections.
pub(super) struct Incoming {
    /// While a new connection is to wake us.
    watch: Option<Watch>,
    /// Until when they are left to the kernel.
    rest: Option<Instant>,
    /// Whether one came since the last rest.
    came: bool,
    socket: Socket,
}

/// The same socket, watched by the runtime.
enum Watch {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Incoming {
    pub(super) fn new(socket: Socket) -> Self {
        Self {
            watch: None,
            rest: None,
            came: false,
            socket,
        }
    }

    pub(super) fn local_address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().ok(),
            Socket::Unix { .. } => None,
        }
    }

    /// The next one. None is lost when it is not waited for to its end.
    pub(super) async fn next(&mut self, is_crowded: bool) -> io::Result<(Accepted, Origin)> {
        loop {
            // Others have their turn however many come.
            tokio::task::consume_budget().await;
            if let Some(rest) = self.rest {
                sleep_until(rest).await;
                self.rest = None;
                self.came = false;
            }
            match self.socket.accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                accepted => {
                    self.came = true;
                    return accepted;
                }
            }
            if is_crowded && self.came {
                self.watch = None;
            } else if self.watch.is_none() {
                self.watch = self.socket.watch().ok();
            }
            let Some(watch) = &self.watch else {
                // Or no descriptor is left to watch it by.
                self.rest = Some(Instant::now() + PAUSE);
                continue;
            };
            let accepted = watch.accept().await;
            self.came = true;
            return accepted;
        }
    }
}

impl Socket {
    fn watch(&self) -> io::Result<Watch> {
        Ok(match self {
            Self::Tcp(listener) => Watch::Tcp(TcpListener::from_std(listener.try_clone()?)?),
            Self::Unix { listener, .. } => {
                Watch::Unix(UnixListener::from_std(listener.try_clone()?)?)
            }
        })
    }

    fn accept(&self) -> io::Result<(Accepted, Origin)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(tcp(TcpStream::from_std(stream)?, address))
            }
            Self::Unix { listener, .. } => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(unix(UnixStream::from_std(stream)?))
            }
        }
    }
}

impl Watch {
    async fn accept(&self) -> io::Result<(Accepted, Origin)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok(tcp(stream, address))
            }
            Self::Unix(listener) => Ok(unix(listener.accept().await?.0)),
        }
    }
}

fn tcp(stream: TcpStream, address: SocketAddr) -> (Accepted, Origin) {
    (Accepted::Tcp(stream), Origin::Tcp(address))
}

fn unix(stream: UnixStream) -> (Accepted, Origin) {
    let origin = Origin::of_unix(&stream);
    (Accepted::Unix(stream), origin)
}
