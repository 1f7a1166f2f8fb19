//! Where clients connect: addresses, connections, and who is at their other end.
//!
//! Knows nothing of what is served. Bound: `Places` connections.

mod accept;
mod authority;
mod browser;
mod caller;
mod certificate;
mod connection;
mod handshake;
mod head;
mod http;
mod huffman;
mod incoming;
mod local_users;
mod places;
mod silent;
mod socket;
mod unix;

use std::{fmt, io, net::SocketAddr, path::PathBuf, time::Duration};

use futures::{Stream, StreamExt as _};
use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    config::{Listen, Listener, Role, Roles},
    tls::{Tls, TlsError},
};

use accept::{Accept, is_exhausted};
pub use browser::{Foreign, Hosts};
pub use caller::{Caller, Origin, Process, Security, Share};
pub use certificate::Certificate;
pub use connection::Connection;
pub use handshake::Refusals;
pub use http::serve_http;
use incoming::Socket;
pub use places::Places;
pub use socket::SocketFile;

/// A peer that is gone without a word is noticed.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Connections that wait to be accepted, if the system allows as many
/// (net.core.somaxconn): one that finds no room is tried again after a second.
const BACKLOG: i32 = 4096;

/// A listener cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be used.
    #[error("cannot listen on {address}: {source}; {remedy}")]
    Address {
        /// As configured.
        address: String,
        /// Why.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// Its TLS cannot be.
    #[error("cannot listen on {address}: {source}")]
    Tls {
        /// As configured.
        address: String,
        /// Why.
        source: TlsError,
    },
}

/// An address that is listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// TCP.
    Tcp(SocketAddr),
    /// Unix socket.
    Unix(PathBuf),
}

impl Bound {
    /// The port of TCP.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(address) => Some(address.port()),
            Self::Unix(_) => None,
        }
    }
}

/// As `hubble --server` takes it.
impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// Bound sockets, not yet served.
#[derive(Debug, Default)]
pub struct Listeners(Vec<Open>);

#[derive(Debug)]
struct Open {
    bound: Bound,
    socket: Socket,
    tls: Option<Tls>,
    most: Roles,
}

impl Listeners {
    /// Binds all addresses, or none. Sockets' files are given to the group `gid`.
    ///
    /// # Errors
    ///
    /// The first address that cannot be used, the first wrong file of TLS.
    pub async fn bind(listeners: &[Listener], gid: Option<u32>) -> Result<Self, ListenError> {
        let mut open = Vec::new();
        for listener in listeners {
            let address = listener.address.to_string();
            let tls = listener.tls.as_ref().map(Tls::of).transpose();
            let tls = tls.map_err(|source| ListenError::Tls {
                address: address.clone(),
                source,
            })?;
            let bound = match &listener.address {
                Listen::Tcp(address) => bind_tcp(address).await,
                Listen::Unix(path) => socket::bind(path, gid).await.map(|(listener, file)| {
                    let bound = Bound::Unix(path.clone());
                    (bound, Socket::Unix { file, listener })
                }),
            };
            let (bound, socket) = bound.map_err(|source| refused(address, source))?;
            open.push(Open {
                bound,
                socket,
                most: most(listener),
                tls,
            });
        }
        Ok(Self(open))
    }

    /// The addresses, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> Vec<Bound> {
        self.0.iter().map(|open| open.bound.clone()).collect()
    }

    /// The files of unix sockets: each goes as soon as one holder lets it go.
    #[must_use]
    pub fn files(&self) -> Vec<SocketFile> {
        let files = self.0.iter().map(|open| match &open.socket {
            Socket::Tcp(_) => None,
            Socket::Unix { file, .. } => Some(file.clone()),
        });
        files.flatten().collect()
    }

    /// What reads certificates again; clones are the same.
    #[must_use]
    pub fn tls(&self) -> Vec<Tls> {
        self.0.iter().filter_map(|open| open.tls.clone()).collect()
    }

    /// All connections of all listeners, without an end. Certificates are read
    /// again meanwhile, and clients that are refused told.
    pub fn connections(
        self,
        places: &Places,
        refusals: &Refusals,
    ) -> impl Stream<Item = io::Result<Connection>> + Send + use<> {
        let mut watched = JoinSet::new();
        let each = self.0.into_iter().map(|open| {
            if let Some(tls) = &open.tls {
                watched.spawn(tls.clone().watch());
            }
            let name = open.bound.to_string();
            let tls = open.tls.map(|tls| (tls, Refusals::clone(refusals)));
            Accept::new(name, open.socket, tls, open.most, places.clone())
                .connections()
                .boxed()
        });
        let all = futures::stream::select_all(each);
        all.map(move |connection| {
            let _ends_with_this = &watched;
            connection
        })
    }
}

/// Plaintext over a network may read, and no more.
fn most(listener: &Listener) -> Roles {
    let transport = match (&listener.address, &listener.tls) {
        (Listen::Tcp(_), None) => Roles::from_iter([Role::Viewer]),
        _ => Roles::ALL,
    };
    listener
        .roles
        .map_or(transport, |roles| roles.within(transport))
}

/// Connections have their options of the listener (Linux): none is set on each.
async fn bind_tcp(address: &str) -> io::Result<(Bound, Socket)> {
    let listener = TcpListener::bind(address).await?;
    let options = SockRef::from(&listener);
    // An answer is several small writes: none may wait for the client's
    // acknowledgement of the one before.
    options.set_tcp_nodelay(true)?;
    // Clients of HTTP/1 answer no pings.
    options.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    // Again, with another length.
    options.listen(BACKLOG)?;
    let listener = listener.into_std()?;
    Ok((Bound::Tcp(listener.local_addr()?), Socket::Tcp(listener)))
}

fn refused(address: String, source: io::Error) -> ListenError {
    let remedy = match source.kind() {
        io::ErrorKind::AddrInUse => {
            "is another sextantd running? choose another address by --listen"
        }
        _ if is_exhausted(&source) => "raise the limit of open files (LimitNOFILE)",
        io::ErrorKind::PermissionDenied => "run as root or choose another address by --listen",
        _ => "choose another address by --listen",
    };
    ListenError::Address {
        address,
        source,
        remedy,
    }
}
