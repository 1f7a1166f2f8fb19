//! Takes connections of one listener, as many as there are places.
//!
//! Never fails and never spins: what goes wrong with one connection is that
//! connection's, and where the system has no descriptor or memory left it rests.

use std::{io, time::Duration};

use futures::{Stream, StreamExt as _};
use nix::errno::Errno;
use tokio::{task::JoinSet, time::Instant};

use super::{
    Caller, Origin, Refusals, Security,
    connection::{Connection, Stream as Io},
    handshake::handshake,
    incoming::{Incoming, Socket},
    local_users::LocalUsers,
    places::Places,
    silent::{Accepted, Opening, Silent, Waiting},
    unix::UnixConnection,
};
use crate::{config::Roles, tls::Tls};

/// Rest after the system had nothing left.
const REST: Duration = Duration::from_millis(200);
/// A warning of one kind at most this often.
const WARNING: Duration = Duration::from_secs(10);

/// So many silent connections of one listener are a crowd: more than clients in
/// earnest leave so, which speak first.
const CROWD: usize = 256;

/// One listener's connections to come.
pub(super) struct Accept {
    /// For people.
    name: String,
    incoming: Incoming,
    tls: Option<(Tls, Refusals)>,
    /// The most that anybody may do there.
    most: Roles,
    places: Places,
    /// None where the kernel does not tell.
    users: Option<LocalUsers>,
    /// As many of both together as there are places for connections that have not
    /// told what they speak.
    silent: Waiting,
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
        let incoming = Incoming::new(socket);
        Self {
            name,
            users: incoming.local_address().and_then(LocalUsers::of),
            incoming,
            tls,
            most,
            places,
            silent: Waiting::new(),
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
            let is_crowded = self.silent.len() >= CROWD;
            let accepted = tokio::select! {
                // Those that are over first: they give a descriptor back.
                biased;
                Some(heard) = self.silent.next() => {
                    match heard.and_then(|heard| self.begin(heard)) {
                        Some(connection) => return connection,
                        None => continue,
                    }
                }
                Some(shaken) = self.handshakes.join_next() => match shaken {
                    Ok(Some(connection)) => return connection,
                    _ => continue,
                },
                accepted = self.incoming.next(is_crowded) => accepted,
            };
            match accepted {
                Ok((io, origin)) => self.wait_for(io, origin),
                Err(error) if is_exhausted(&error) => {
                    self.warn(format_args!(
                        "no connection can be accepted: {error}; raise the limit of open files (LimitNOFILE)"
                    ));
                    match self.places.evict() {
                        // It may be another listener's, which closes it then.
                        true => tokio::task::yield_now().await,
                        false => tokio::time::sleep(REST).await,
                    }
                }
                // The connection was over before it was taken.
                Err(error) => tracing::debug!(listener = self.name, %error, "not accepted"),
            }
        }
    }

    /// Keeps a new connection until something is said on it, if there is a place.
    fn wait_for(&mut self, io: Accepted, origin: Origin) {
        let local_user = self.local_user(&io, &origin);
        let share = origin.share(local_user);
        let Some(place) = self.places.take(share, origin.is_root()) else {
            self.warn(format_args!(
                "no place for a connection of {share}; raise server.max_connections or server.max_connections_per_peer",
            ));
            return;
        };
        let silent = Silent {
            io,
            origin,
            local_user,
            opening: Opening::of(&place),
            place,
        };
        self.silent.push(Box::pin(silent.heard()));
    }

    /// A connection that can be read; nothing where its handshake is to come.
    fn begin(&mut self, heard: Silent) -> Option<Connection> {
        let (most, local_user, origin) = (self.most, heard.local_user, heard.origin);
        let share = origin.share(local_user);
        let local = match &heard.io {
            Accepted::Tcp(stream) => stream.local_addr().ok(),
            Accepted::Unix(_) => None,
        };
        let caller =
            move |security| Caller::from_local(origin, local_user, security, most).at(local);
        let io = match (heard.io, &self.tls) {
            (Accepted::Tcp(stream), Some((tls, refusals))) => {
                let (tls, refusals) = (tls.clone(), Refusals::clone(refusals));
                let handshake = handshake(tls, stream, share, caller, heard.place, refusals);
                self.handshakes.spawn(handshake);
                return None;
            }
            (Accepted::Tcp(stream), None) => Io::Tcp(stream),
            (Accepted::Unix(stream), _) => Io::Unix(UnixConnection::new(stream)),
        };
        let caller = caller(Security::Plaintext);
        Some(Connection::new(io, caller, heard.place, heard.opening))
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

pub(super) fn is_exhausted(error: &io::Error) -> bool {
    let exhausted = [
        Errno::EMFILE,
        Errno::ENFILE,
        Errno::ENOBUFS,
        Errno::ENOMEM,
        // Of what one user may watch (fs.epoll.max_user_watches).
        Errno::ENOSPC,
    ];
    let number = error.raw_os_error().map(Errno::from_raw);
    number.is_some_and(|number| exhausted.contains(&number))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
        time::timeout,
    };
    use tonic::transport::server::Connected as _;

    use super::*;

    async fn listener() -> (String, Accept, Places) {
        listener_for(50).await
    }

    async fn listener_for(one: usize) -> (String, Accept, Places) {
        let (bound, socket) = super::super::bind_tcp("127.0.0.1:0").await.unwrap();
        let places = Places::new(2 * one, one);
        let name = bound.to_string();
        let accept = Accept::new(name.clone(), socket, None, Roles::ALL, places.clone());
        (name, accept, places)
    }

    #[tokio::test]
    async fn a_connection_is_handed_on_when_something_is_said_on_it() {
        let (address, mut accept, places) = listener().await;
        let _silent = TcpStream::connect(&address).await.unwrap();
        let mut speaks = TcpStream::connect(&address).await.unwrap();
        let early = timeout(Duration::from_millis(300), accept.next()).await;
        assert!(early.is_err(), "nothing was said");
        assert_eq!(places.open().0, 2);
        speaks.write_all(b"G").await.unwrap();
        let mut connection = accept.next().await;
        assert_eq!(accept.silent.len(), 1);
        // Nothing of it was taken away.
        assert_eq!(connection.read_u8().await.unwrap(), b'G');
        // The guard against being locked out asks for both ends.
        let caller = connection.connect_info();
        assert_eq!(caller.local(), Some(speaks.peer_addr().unwrap()));
        assert_eq!(caller.origin(), &Origin::Tcp(speaks.local_addr().unwrap()));
    }

    #[tokio::test]
    async fn who_speaks_is_handed_on_out_of_a_crowd_of_silent_ones() {
        let (address, mut accept, places) = listener_for(2 * CROWD).await;
        let mut crowd = Vec::new();
        for _ in 0..CROWD + 10 {
            crowd.push(TcpStream::connect(&address).await.unwrap());
        }
        crowd[3].write_all(b"G").await.unwrap();
        let mut connection = accept.next().await;
        assert_eq!(connection.read_u8().await.unwrap(), b'G');
        // All are there now, and one comes while the socket is not watched.
        let handed_on = timeout(Duration::from_millis(300), accept.next()).await;
        assert!(handed_on.is_err());
        assert_eq!(
            (accept.silent.len(), places.open().0),
            (CROWD + 9, CROWD + 10)
        );
        let late = async {
            let mut late = TcpStream::connect(&address).await.unwrap();
            late.write_all(b"L").await.unwrap();
            late
        };
        let (mut connection, _late) = tokio::join!(accept.next(), late);
        assert_eq!(connection.read_u8().await.unwrap(), b'L');
    }

    #[tokio::test]
    async fn one_that_ends_without_a_word_is_not_handed_on_and_leaves_its_place() {
        let (address, mut accept, places) = listener().await;
        drop(TcpStream::connect(&address).await.unwrap());
        let handed_on = timeout(Duration::from_millis(300), accept.next()).await;
        assert!(handed_on.is_err());
        assert_eq!((accept.silent.len(), places.open().0), (0, 0));
    }

    #[tokio::test]
    async fn one_whose_place_is_needed_is_reset() {
        let (address, mut accept, places) = listener().await;
        let mut first = TcpStream::connect(&address).await.unwrap();
        let mut others = Vec::new();
        for _ in 0..50 {
            others.push(TcpStream::connect(&address).await.unwrap());
        }
        let handed_on = timeout(Duration::from_millis(300), accept.next()).await;
        assert!(handed_on.is_err());
        assert_eq!((places.open().0, places.refused()), (50, (0, 1)));
        let end = first.read_u8().await.unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn connections_send_at_once_and_notice_that_a_peer_is_gone() {
        let (address, mut accept, _) = listener().await;
        let _client = TcpStream::connect(&address).await.unwrap();
        let (accepted, _) = accept.incoming.next(false).await.unwrap();
        let Accepted::Tcp(stream) = accepted else {
            panic!("a connection of TCP");
        };
        let options = socket2::SockRef::from(&stream);
        assert!(options.tcp_nodelay().unwrap() && options.keepalive().unwrap());
        let idle = options.tcp_keepalive_time().unwrap();
        assert_eq!(idle, super::super::KEEPALIVE);
    }
}
