//! The connection to a server: `host:port`, `tcp://host:port` or `unix:///path`,
//! plaintext.

use std::{error::Error as _, time::Duration};

use tonic::transport::{Channel, Endpoint};

use crate::{
    call::root_cause,
    connection::Connection,
    context::{self, ContextError},
};

/// Largest answer that is taken: a full message of `ListFilterHints` or of
/// `SummarizeFlows` is far below.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// No server was chosen.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The address says nothing.
    #[error(
        "`{server}` is no address of a server: {cause}; say HOST:PORT, tcp://HOST:PORT or unix:///PATH"
    )]
    Address { server: String, cause: String },
    /// TLS is asked for.
    #[error(
        "cannot connect to `{server}`: this client speaks no TLS yet; connect to a plaintext port or to unix:///PATH"
    )]
    Tls { server: String },
    /// Nobody answers.
    #[error("cannot connect to {server}: {cause}; {remedy}")]
    Refused {
        server: String,
        cause: String,
        remedy: &'static str,
    },
}

/// A server that answers.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// As the user named it.
    pub(crate) name: String,
    /// The connection.
    pub(crate) channel: Channel,
    /// How long a single answer may take.
    pub(crate) request_timeout: Duration,
}

impl Server {
    /// Connects to the server that is meant for reading.
    pub(crate) async fn reading(connection: &Connection) -> Result<Self, ConnectError> {
        Self::connect(connection, context::DEFAULT_SERVER).await
    }

    /// Connects to the server that is meant for writing.
    pub(crate) async fn writing(connection: &Connection) -> Result<Self, ConnectError> {
        Self::connect(connection, context::DEFAULT_WRITE_SERVER).await
    }

    async fn connect(connection: &Connection, default: &str) -> Result<Self, ConnectError> {
        let name = context::server(connection, default)?;
        let channel = endpoint(&name)?
            .connect_timeout(connection.timeout)
            .connect()
            .await
            .map_err(|error| ConnectError::Refused {
                cause: root_cause(&error),
                remedy: remedy(&name, &error),
                server: name.clone(),
            })?;
        Ok(Self {
            name,
            channel,
            request_timeout: connection.request_timeout,
        })
    }

    /// A request whose answer must come in time.
    pub(crate) fn unary<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(self.request_timeout);
        request
    }
}

/// Sets the bound of a generated client's answers.
macro_rules! client {
    ($kind:ty, $server:expr) => {
        <$kind>::new($server.channel.clone())
            .max_decoding_message_size(crate::connect::max_message_bytes())
    };
}
pub(crate) use client;

/// The largest answer that is taken, in bytes.
pub(crate) const fn max_message_bytes() -> usize {
    MAX_MESSAGE_BYTES
}

fn endpoint(server: &str) -> Result<Endpoint, ConnectError> {
    let wrong = |cause: String| ConnectError::Address {
        server: server.into(),
        cause,
    };
    if server.starts_with("tls://") || server.starts_with("https://") {
        return Err(ConnectError::Tls {
            server: server.into(),
        });
    }
    if server.starts_with("unix:") {
        if !server.starts_with("unix:///") {
            return Err(wrong("the path must be absolute".into()));
        }
        return Endpoint::from_shared(server.to_owned()).map_err(|error| wrong(root_cause(&error)));
    }
    let address = server
        .strip_prefix("tcp://")
        .or_else(|| server.strip_prefix("http://"))
        .unwrap_or(server);
    let port = address.rsplit_once(':').map(|(_, port)| port);
    match port.map(str::parse::<u16>) {
        Some(Ok(_)) => {}
        Some(Err(_)) => return Err(wrong("the port is no number from 0 to 65535".into())),
        None => return Err(wrong("it has no port".into())),
    }
    Endpoint::from_shared(format!("http://{address}")).map_err(|error| wrong(root_cause(&error)))
}

fn remedy(server: &str, error: &tonic::transport::Error) -> &'static str {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<std::io::Error>()
            && error.kind() == std::io::ErrorKind::PermissionDenied
        {
            return "run as root or as a member of the socket's group";
        }
        cause = inner.source();
    }
    match server.starts_with("unix:") {
        true => {
            "is sextantd running, with this socket among its listeners? Name another server with --server or SEXTANT_SERVER"
        }
        false => {
            "is sextantd running and listening there? Name another server with --server or SEXTANT_SERVER"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port_or_a_path() {
        for server in [
            "localhost:4245",
            "tcp://10.0.0.1:1",
            "[::1]:4245",
            "unix:///a/b",
        ] {
            assert!(endpoint(server).is_ok(), "{server}");
        }
        for (server, text) in [
            ("localhost", "has no port"),
            ("localhost:http", "no number"),
            ("unix://a", "absolute"),
            ("a b:1", "no address"),
            ("tls://a:1", "no TLS"),
        ] {
            let error = endpoint(server).unwrap_err().to_string();
            assert!(error.contains(text), "{server}: {error}");
        }
    }
}
