//! Listeners and the gRPC server on them.

mod authority;
mod huffman;
mod socket;
mod unix;

use std::{fmt, io, net::SocketAddr, path::PathBuf, time::Duration};

use tokio::{
    net::{TcpListener, UnixListener},
    sync::watch,
    task::JoinSet,
};
use tokio_stream::{StreamExt as _, wrappers::UnixListenerStream};
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};

use super::WriteGroup;
use crate::config::Listen;

use socket::SocketFile;
use unix::UnixConnection;

/// A client that answers no ping for so long is gone.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Cannot listen or serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be used.
    #[error("cannot listen on {address}: {source}; {remedy}")]
    Listen {
        /// As configured.
        address: String,
        /// Why.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// The transport failed.
    #[error("gRPC server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// Descriptors for reflection do not fit together.
    #[error("gRPC reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
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
pub struct Listeners {
    tcp: Vec<TcpListener>,
    unix: Vec<(SocketFile, UnixListener)>,
}

impl Listeners {
    /// Binds all addresses, or none. Sockets' files are given to `group`.
    ///
    /// # Errors
    ///
    /// The first address that cannot be used.
    pub async fn bind(
        addresses: &[Listen],
        group: Option<&WriteGroup>,
    ) -> Result<Self, ServeError> {
        let mut listeners = Self::default();
        for address in addresses {
            match address {
                Listen::Tcp(address) => {
                    let listener = TcpListener::bind(address)
                        .await
                        .map_err(|source| refused(format!("tcp://{address}"), source))?;
                    listeners.tcp.push(listener);
                }
                Listen::Unix(path) => {
                    let (listener, file) = socket::bind(path, group)
                        .await
                        .map_err(|source| refused(format!("unix://{}", path.display()), source))?;
                    listeners.unix.push((file, listener));
                }
            }
        }
        Ok(listeners)
    }

    /// The addresses, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> Vec<Bound> {
        let tcp = self.tcp.iter().filter_map(|tcp| tcp.local_addr().ok());
        let unix = self.unix.iter().map(|(file, _)| file.path().to_owned());
        tcp.map(Bound::Tcp).chain(unix.map(Bound::Unix)).collect()
    }

    /// Serves until `draining`, then lets open streams end. Sockets' files go.
    ///
    /// # Errors
    ///
    /// When the transport fails.
    pub async fn serve(
        self,
        routes: Routes,
        max_streams_per_connection: u32,
        draining: watch::Receiver<bool>,
    ) -> Result<(), ServeError> {
        let server = Server::builder()
            .accept_http1(true)
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .max_concurrent_streams(max_streams_per_connection)
            .layer(tonic_web::GrpcWebLayer::new());
        let mut tasks = JoinSet::new();
        for tcp in self.tcp {
            let router = server.clone().add_routes(routes.clone());
            let stop = drained(draining.clone());
            // An answer is several small writes: none may wait for the client's
            // acknowledgement of the one before. Clients of HTTP/1 answer no pings.
            let incoming = TcpIncoming::from(tcp)
                .with_nodelay(Some(true))
                .with_keepalive(Some(KEEPALIVE));
            tasks.spawn(router.serve_with_incoming_shutdown(incoming, stop));
        }
        for (file, unix) in self.unix {
            let router = server.clone().add_routes(routes.clone());
            let stop = drained(draining.clone());
            // The file goes before the listener does, however this ends.
            let stop = async move {
                let _file = file;
                stop.await;
            };
            let incoming =
                UnixListenerStream::new(unix).map(|accepted| accepted.map(UnixConnection::new));
            tasks.spawn(router.serve_with_incoming_shutdown(incoming, stop));
        }
        let mut result = Ok(());
        while let Some(ended) = tasks.join_next().await {
            if let Ok(Err(error)) = ended {
                result = Err(error.into());
            }
        }
        result
    }
}

async fn drained(mut draining: watch::Receiver<bool>) {
    let _ = draining.wait_for(|draining| *draining).await;
}

fn refused(address: String, source: io::Error) -> ServeError {
    let remedy = match source.kind() {
        io::ErrorKind::AddrInUse => {
            "is another sextantd running? choose another address by --listen"
        }
        io::ErrorKind::PermissionDenied => "run as root or choose another address by --listen",
        _ => "choose another address by --listen",
    };
    ServeError::Listen {
        address,
        source,
        remedy,
    }
}

/// The services with reflection in both versions.
///
/// # Errors
///
/// When the descriptors do not fit together.
pub fn with_reflection(routes: Routes) -> Result<Routes, ServeError> {
    let builder = || {
        // All of them in both, since clients ask for each service that is listed.
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(sextant_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // Details of errors, which no service names.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(
                tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
            )
    };
    Ok(routes
        .add_service(builder().build_v1()?)
        .add_service(builder().build_v1alpha()?))
}
