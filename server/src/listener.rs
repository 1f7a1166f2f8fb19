//! Where clients connect: addresses, connections, and who is at their other end.
//!
//! Knows nothing of what is served. Bound: `Places` connections.

mod accept;
mod authority;
mod browser;
mod caller;
mod connection;
mod http;
mod huffman;
mod places;
mod socket;
mod unix;

use std::{fmt, io, net::SocketAddr, path::PathBuf};

use futures::{Stream, StreamExt as _};
use tokio::net::TcpListener;

use crate::config::Listen;

use accept::{Accept, Socket, is_exhausted};
pub use browser::Hosts;
pub use caller::{Caller, Origin, Process, Share};
pub use connection::Connection;
pub use http::serve_http;
pub use places::Places;
pub use socket::SocketFile;

/// The address cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; {remedy}")]
pub struct ListenError {
    /// As configured.
    address: String,
    /// Why.
    source: io::Error,
    /// What to do.
    remedy: &'static str,
}

/// An address that is listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// TCP.
    Tcp(SocketAddr),
    /// Unix socket.
    Unix(PathBuf),
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
pub struct Listeners(Vec<(Bound, Socket)>);

impl Listeners {
    /// Binds all addresses, or none. Sockets' files are given to the group `gid`.
    ///
    /// # Errors
    ///
    /// The first address that cannot be used.
    pub async fn bind(addresses: &[Listen], gid: Option<u32>) -> Result<Self, ListenError> {
        let mut listeners = Self::default();
        for address in addresses {
            let bound = match address {
                Listen::Tcp(address) => bind_tcp(address).await,
                Listen::Unix(path) => socket::bind(path, gid).await.map(|(listener, file)| {
                    let bound = Bound::Unix(path.clone());
                    (bound, Socket::Unix { file, listener })
                }),
            };
            listeners
                .0
                .push(bound.map_err(|source| refused(address.to_string(), source))?);
        }
        Ok(listeners)
    }

    /// The addresses, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> Vec<Bound> {
        self.0.iter().map(|(bound, _)| bound.clone()).collect()
    }

    /// The files of unix sockets: each goes as soon as one holder lets it go.
    #[must_use]
    pub fn files(&self) -> Vec<SocketFile> {
        let files = self.0.iter().map(|(_, socket)| match socket {
            Socket::Tcp(_) => None,
            Socket::Unix { file, .. } => Some(file.clone()),
        });
        files.flatten().collect()
    }

    /// All connections of all listeners, without an end.
    pub fn connections(
        self,
        places: &Places,
    ) -> impl Stream<Item = io::Result<Connection>> + Send + use<> {
        let each = self.0.into_iter().map(|(bound, socket)| {
            Accept::new(bound.to_string(), socket, places.clone())
                .connections()
                .boxed()
        });
        futures::stream::select_all(each)
    }
}

async fn bind_tcp(address: &str) -> io::Result<(Bound, Socket)> {
    let listener = TcpListener::bind(address).await?;
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
    ListenError {
        address,
        source,
        remedy,
    }
}
