//! The connection to a server: `host:port`, `tcp://host:port`, `tls://host:port` or
//! `unix:///path`, in plaintext or TLS.

use std::{error::Error as _, path::PathBuf, sync::Arc, time::Duration};

use tonic::{
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{self, Endpoint},
};

use crate::{
    connection::Connection,
    context::{self, ContextError},
    refusal::{Shown, root_cause},
    settings::Settings,
    tls::{self, FileError, Tls, Trouble},
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
        "`{server}` is no address of a server: {cause}; say HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT or unix:///PATH"
    )]
    Address { server: String, cause: String },
    /// Certificates, keys or tokens are not there.
    #[error("cannot connect to {server}")]
    Files { server: String, source: FileError },
    /// Whoever listens in between would have the token.
    #[error(
        "the token in {path} is not sent to {server} in plaintext; speak TLS to it with --tls or tls://HOST:PORT, or name a unix socket"
    )]
    PlaintextToken { path: PathBuf, server: String },
    /// Nobody answers.
    #[error("cannot connect to {server}: {cause}; {remedy}")]
    Refused {
        server: String,
        cause: String,
        remedy: String,
    },
}

/// A connection on which each request says who asks.
pub(crate) type Channel = InterceptedService<transport::Channel, Bearer>;

/// Adds `authorization: Bearer TOKEN` (RFC 6750), if there is a token.
#[derive(Debug, Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(
        &mut self,
        mut request: tonic::Request<()>,
    ) -> Result<tonic::Request<()>, tonic::Status> {
        if let Some(value) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
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
    /// What tells the server who asks.
    pub(crate) shown: Shown,
    tls: Option<Arc<Tls>>,
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
        let settings = context::settings(connection, default)?;
        let name = settings.server.clone().unwrap_or_else(|| default.into());
        let endpoint = endpoint(&name)?.connect_timeout(connection.timeout);
        let wrong = |source| ConnectError::Files {
            server: name.clone(),
            source,
        };
        let bearer = bearer(&settings, &name)?;
        let tls = match settings.is_tls() {
            true => Some(Tls::new(&settings, host(&endpoint)).map_err(wrong)?),
            false => None,
        };
        let connected = match &tls {
            None => endpoint.connect().await,
            Some(tls) => over_tls(endpoint, tls, &name).await,
        };
        let channel = connected.map_err(|error| refused(&name, tls.as_deref(), &error))?;
        Ok(Self {
            shown: Shown::of(&settings, &name),
            name,
            channel: InterceptedService::new(channel, bearer),
            request_timeout: connection.request_timeout,
            tls,
        })
    }

    /// A server of a test, which nobody has connected to yet.
    #[cfg(test)]
    pub(crate) fn plaintext(name: &str, address: &str) -> Self {
        let endpoint = Endpoint::from_shared(address.to_owned()).unwrap();
        Self {
            name: name.into(),
            channel: InterceptedService::new(endpoint.connect_lazy(), Bearer(None)),
            request_timeout: Duration::from_secs(60),
            shown: Shown::Plaintext,
            tls: None,
        }
    }

    /// How TLS to the server broke, if it did.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.tls.as_ref()?.trouble()
    }

    /// A port that is spoken to in plaintext: one of TLS hangs up then.
    pub(crate) fn may_want_tls(&self) -> bool {
        self.tls.is_none() && !self.name.starts_with("unix:")
    }

    /// A request whose answer must come in time.
    pub(crate) fn unary<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(self.request_timeout);
        request
    }
}

/// Who we are by the token, which nobody else must read.
fn bearer(settings: &Settings, server: &str) -> Result<Bearer, ConnectError> {
    let Some(path) = &settings.token_file else {
        return Ok(Bearer(None));
    };
    if !settings.is_tls() && !server.starts_with("unix:") {
        return Err(ConnectError::PlaintextToken {
            path: path.clone(),
            server: server.into(),
        });
    }
    let wrong = |source| ConnectError::Files {
        server: server.into(),
        source,
    };
    let token = tls::token(path).map_err(wrong)?;
    let value = MetadataValue::try_from(format!("Bearer {token}"));
    // A token is of visible ASCII: it can be a header.
    let value = value.ok().map(|mut value| {
        value.set_sensitive(true);
        value
    });
    Ok(Bearer(value))
}

async fn over_tls(
    endpoint: Endpoint,
    tls: &Arc<Tls>,
    server: &str,
) -> Result<transport::Channel, transport::Error> {
    let host = endpoint
        .uri()
        .authority()
        .map(|host| host.as_str().to_owned());
    let authority = tls.authority().map(str::to_owned).or(host);
    let origin = authority.and_then(|host| format!("https://{host}").parse().ok());
    let endpoint = match origin {
        Some(origin) => endpoint.origin(origin),
        None => endpoint,
    };
    let socket = server.strip_prefix("unix://").map(PathBuf::from);
    let connector = tls::connector(Arc::clone(tls), socket);
    endpoint.connect_with_connector(connector).await
}

fn refused(server: &str, tls: Option<&Tls>, error: &transport::Error) -> ConnectError {
    let trouble = tls.and_then(Tls::trouble).unwrap_or_else(|| Trouble {
        cause: root_cause(error),
        remedy: remedy(server, error).into(),
    });
    ConnectError::Refused {
        server: server.into(),
        cause: trouble.cause,
        remedy: trouble.remedy,
    }
}

/// The name or address of the server's host; local sockets are of this one.
fn host(endpoint: &Endpoint) -> &str {
    let host = endpoint.uri().host().unwrap_or("localhost");
    host.trim_start_matches('[').trim_end_matches(']')
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
    if server.starts_with("unix:") {
        if !server.starts_with("unix:///") {
            return Err(wrong("the path must be absolute".into()));
        }
        return Endpoint::from_shared(server.to_owned()).map_err(|error| wrong(root_cause(&error)));
    }
    let address = ["tcp://", "tls://", "http://", "https://"]
        .iter()
        .find_map(|scheme| server.strip_prefix(scheme))
        .unwrap_or(server);
    let port = address.rsplit_once(':').map(|(_, port)| port);
    match port.map(str::parse::<u16>) {
        Some(Ok(_)) => {}
        Some(Err(_)) => return Err(wrong("the port is no number from 0 to 65535".into())),
        None => return Err(wrong("it has no port".into())),
    }
    Endpoint::from_shared(format!("http://{address}")).map_err(|error| wrong(root_cause(&error)))
}

fn remedy(server: &str, error: &transport::Error) -> &'static str {
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
            "tls://a.test:1",
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
            ("tls://a", "has no port"),
        ] {
            let error = endpoint(server).unwrap_err().to_string();
            assert!(error.contains(text), "{server}: {error}");
        }
    }
}
