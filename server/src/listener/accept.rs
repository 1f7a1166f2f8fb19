//! Takes connections of one listener, as many as there are places.
//!
//! Never fails and never spins: what goes wrong with one connection is that
//! connection's, and where the system has no descriptor or memory left it rests.

use std::{io, time::Duration};

use futures::Stream;
use nix::errno::Errno;
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    task::JoinSet,
    time::Instant,
};

use super::{
    Caller, Origin, Refusals, Security,
    connection::{Connection, Stream as Io},
    handshake::handshake,
    local_users::LocalUsers,
    places::Places,
    socket::SocketFile,
    unix::UnixConnection,
};
use crate::{config::Roles, tls::Tls};

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
    tls: Option<(Tls, Refusals)>,
    /// The most that anybody may do there.
    most: Roles,
    places: Places,
    /// None where the kernel does not tell.
    users: Option<LocalUsers>,
    /// As many as there are places for silent connections.
    handshakes: JoinSet<Option<Connection>>,
    warned: Option<Instant>,
}

impl Accept {
    pub(super) fn new(
        name: String,
        socket: Socket,
        tls: Option<(Tls, Refusals)>,
        most: Roles,
        places: Places,
    ) -> Self {
        let address = match &socket {
            Socket::Tcp(listener) => listener.local_addr().ok(),
            Socket::Unix { .. } => None,
        };
        Self {
            name,
            users: address.and_then(LocalUsers::of),
            socket,
            tls,
            most,
            places,
            handshakes: JoinSet::new(),
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
            let accepted = tokio::select! {
                accepted = accept(&self.socket) => accepted,
                Some(shaken) = self.handshakes.join_next() => match shaken {
                    Ok(Some(connection)) => return connection,
                    _ => continue,
                },
            };
            match accepted {
                Ok((io, origin)) => {
                    if let Some(connection) = self.begin(io, origin) {
                        return connection;
                    }
                }
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

    /// A connection that can be read at once; nothing where there is no place for
    /// it, or its handshake is to come.
    fn begin(&mut self, io: Accepted, origin: Origin) -> Option<Connection> {
        let local_user = self.local_user(&io, &origin);
        let share = origin.share(local_user);
        let Some(place) = self.places.take(share, origin.is_root()) else {
            self.warn(format_args!(
                "no place for a connection of {share}; raise server.max_connections or server.max_connections_per_peer",
            ));
            return None;
        };
        let most = self.most;
        let caller = move |security| Caller::from_local(origin, local_user, security, most);
        let io = match (io, &self.tls) {
            (Accepted::Tcp(stream), Some((tls, refusals))) => {
                let (tls, refusals) = (tls.clone(), Refusals::clone(refusals));
                let handshake = handshake(tls, stream, share, caller, place, refusals);
                self.handshakes.spawn(handshake);
                return None;
            }
            (Accepted::Tcp(stream), None) => Io::Tcp(stream),
            (Accepted::Unix(stream), _) => Io::Unix(UnixConnection::new(stream)),
        };
        Some(Connection::new(io, caller(Security::Plaintext), place))
    }

    fn local_user(&mut self, io: &Accepted, origin: &Origin) -> Option<u32> {
        match (io, origin) {
            (Accepted::Tcp(stream), Origin::Tcp(peer)) => {
                self.users.as_mut()?.user(*peer, stream.local_addr().ok()?)
            }
            _ => None,
        }
    }

    fn warn(&mut self, text: std::fmt::Arguments<'_>) {
        if self.warned.is_none_or(|warned| warned.elapsed() >= WARNING) {
            self.warned = Some(Instant::now());
            tracing::warn!(listener = self.name, "{text}");
        }
    }
}

enum Accepted {
    Tcp(TcpStream),
    Unix(UnixStream),
}

async fn accept(socket: &Socket) -> io::Result<(Accepted, Origin)> {
    match socket {
        Socket::Tcp(listener) => {
            let (stream, address) = listener.accept().await?;
            // An answer is several small writes: none may wait for the client's
            // acknowledgement of the one before.
            stream.set_nodelay(true)?;
            // Clients of HTTP/1 answer no pings.
            let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
            socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
            Ok((Accepted::Tcp(stream), Origin::Tcp(address)))
        }
        Socket::Unix { listener, .. } => {
            let (stream, _) = listener.accept().await?;
            let origin = Origin::of_unix(&stream);
            Ok((Accepted::Unix(stream), origin))
        }
    }
}

pub(super) fn is_exhausted(error: &io::Error) -> bool {
    let exhausted = [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM];
    let number = error.raw_os_error().map(Errno::from_raw);
    number.is_some_and(|number| exhausted.contains(&number))
}
