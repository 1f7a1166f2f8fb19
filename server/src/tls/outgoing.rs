//! TLS to other servers: whose certificates are right, and what is shown to those
//! that ask who we are.

use std::{error::Error, io, sync::Arc};

use rustls::{
    AlertDescription as Alert, CertificateError as Bad, ClientConfig, ConfigBuilder,
    InvalidMessage, RootCertStore, client::WantsClientCert, pki_types::ServerName,
    sign::SingleCertAndKey, version::TLS13,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::metadata::{Ascii, MetadataValue};

use super::{
    TlsError,
    files::{Content, Pair, authorities},
};
use crate::{
    config,
    reloaded::{Reloaded, Source},
    small_file,
};

/// The way to other servers, with the files' latest good content.
pub type Outgoing = Reloaded<Files>;

/// The files for a way to other servers.
#[derive(Debug)]
pub struct Files {
    files: config::Outgoing,
    is_tls: bool,
}

/// The files as they were read.
#[derive(PartialEq, Eq)]
pub struct Contents {
    ca: Vec<Content>,
    pair: Option<Pair>,
    token: Option<Content>,
}

/// How to speak to other servers.
pub struct Way {
    tls: Option<Arc<ClientConfig>>,
    /// For the header `authorization`.
    pub(crate) bearer: Option<MetadataValue<Ascii>>,
}

impl Outgoing {
    /// Reads the files; without TLS those of the token alone.
    ///
    /// # Errors
    ///
    /// Which of them is wrong, and how.
    pub fn of(files: &config::Outgoing, is_tls: bool) -> Result<Self, TlsError> {
        Self::load(Files {
            files: files.clone(),
            is_tls,
        })
    }
}

impl Source for Files {
    type Contents = Contents;
    type Made = Way;
    type Error = TlsError;

    const WHAT: &'static str = "certificates for other servers";

    fn read(&self) -> Result<Contents, TlsError> {
        let pair = self.files.pair.as_ref().filter(|_| self.is_tls);
        let token = self.files.token_file.as_deref();
        Ok(Contents {
            ca: match self.is_tls {
                true => Content::read_all("ca", &self.files.ca)?,
                false => Vec::new(),
            },
            pair: pair
                .map(|(certificate, key)| Pair::read(certificate, key))
                .transpose()?,
            token: token
                .map(|path| Content::read("token_file", path))
                .transpose()?,
        })
    }

    fn make(&self, contents: &Contents) -> Result<Way, TlsError> {
        let tls = self.is_tls.then(|| client_config(contents)).transpose()?;
        Ok(Way {
            tls: tls.map(Arc::new),
            bearer: contents.token.as_ref().map(bearer).transpose()?,
        })
    }
}

impl Way {
    /// For clients that choose the protocol themselves. Without TLS it trusts nobody.
    pub(crate) fn client_config(&self) -> Result<ClientConfig, TlsError> {
        let mut config = match &self.tls {
            Some(config) => config.as_ref().clone(),
            None => trusting(RootCertStore::empty())?.with_no_client_auth(),
        };
        config.alpn_protocols.clear();
        Ok(config)
    }

    /// Connects to a server of this name; to speak HTTP/2, as its clients do.
    pub(crate) async fn connect(
        &self,
        address: &str,
        name: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        let config = self.tls.as_ref();
        let config = config.ok_or_else(|| io::Error::other("there is no TLS for it"))?;
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector.connect(name, stream).await?;
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Ok(stream),
            _ => Err(io::Error::other(
                "it speaks TLS, but not HTTP/2; name a gRPC port in `address`",
            )),
        }
    }
}

fn trusting(
    roots: RootCertStore,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Library)?;
    Ok(builder.with_root_certificates(roots))
}

fn client_config(contents: &Contents) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = match contents.ca.is_empty() {
        true => system_roots(),
        false => authorities("ca", &contents.ca)?,
    };
    let builder = trusting(roots)?;
    let mut config = match &contents.pair {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let shown = SingleCertAndKey::from(pair.certified(&provider)?);
            builder.with_client_cert_resolver(Arc::new(shown))
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// None on a system without them: then no server is right, which is told as it is
/// asked.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        tracing::warn!(
            "this system has no authorities to trust; name those of other servers in `ca` of [outgoing] or [[peer]]"
        );
    }
    roots
}

fn bearer(token: &Content) -> Result<MetadataValue<Ascii>, TlsError> {
    let wrong = |cause: &str| TlsError::Token {
        path: token.path().to_owned(),
        cause: cause.into(),
    };
    let text = token.bytes().trim_ascii();
    if text.is_empty() {
        return Err(wrong("it is empty"));
    }
    if !text.iter().all(u8::is_ascii_graphic) {
        return Err(wrong("it has more than one word, or other characters"));
    }
    small_file::warn_if_open("the token", token.path());
    let value = format!("Bearer {}", String::from_utf8_lossy(text));
    let mut value =
        MetadataValue::try_from(value).map_err(|_| wrong("it cannot be sent in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Why a server was not reached, or broke off, and which setting may mend it.
#[must_use]
pub fn cause(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    let mut next = Some(error);
    while let Some(this) = next {
        if let Some(error) = tls_error(this) {
            let (cause, remedy) = told(error);
            return format!("{cause}; {remedy}");
        }
        innermost = this;
        next = this.source();
    }
    innermost.to_string()
}

fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let inner = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    let inner = inner.and_then(|inner| inner.downcast_ref());
    inner.or_else(|| error.downcast_ref())
}

fn told(error: &rustls::Error) -> (String, &'static str) {
    match error {
        rustls::Error::InvalidCertificate(bad) => {
            let remedy = match bad {
                Bad::UnknownIssuer | Bad::BadSignature => "name who issued it in `ca`",
                Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                    "say one of its names in `tls_server_name`"
                }
                _ => "it needs a new one",
            };
            (format!("its certificate is refused: {bad}"), remedy)
        }
        rustls::Error::AlertReceived(
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnknownCA
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::UnsupportedCertificate
            | Alert::AccessDenied
            | Alert::HandshakeFailure
            | Alert::DecryptError,
        ) => (
            format!("it refuses this server's certificate, or that there is none: {error}"),
            "name one that its `client_ca` issued in `certificate` and `key`",
        ),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => (
            "it does not speak TLS there".into(),
            "leave out `tls` and `tls_server_name` if it is a plaintext port",
        ),
        error => (
            format!("TLS failed: {error}"),
            "is it a gRPC server of TLS 1.3?",
        ),
    }
}
