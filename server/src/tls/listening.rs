//! TLS of a listener: certificates of clients where they are asked for.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier},
    sign::SingleCertAndKey,
    version::TLS13,
};

use super::{
    TlsError,
    chains::ShortChains,
    files::{Content, Pair, authorities},
};
use crate::{
    config::{self, ClientCertificate},
    reloaded::{Reloaded, Source},
};

/// What Go's gRPC insists on, and what browsers speak.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// TLS with the files' latest good content; clones are the same.
pub type Tls = Reloaded<Listening>;

/// The files of a listener.
#[derive(Debug)]
pub struct Listening(config::Tls);

/// The files as they were read.
#[derive(PartialEq, Eq)]
pub struct Contents {
    pair: Pair,
    client_ca: Vec<Content>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// Which of them is wrong, and how.
    pub fn of(files: &config::Tls) -> Result<Self, TlsError> {
        Self::load(Listening(files.clone()))
    }
}

impl Source for Listening {
    type Contents = Contents;
    type Made = ServerConfig;
    type Error = TlsError;

    const WHAT: &'static str = "certificates of a listener";

    fn read(&self) -> Result<Contents, TlsError> {
        Ok(Contents {
            pair: Pair::read(&self.0.certificate, &self.0.key)?,
            client_ca: Content::read_all("client_ca", &self.0.client_ca)?,
        })
    }

    fn make(&self, contents: &Contents) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let pair = contents.pair.certified(&provider)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Library)?;
        let builder = match self.0.client {
            ClientCertificate::None => builder.with_no_client_auth(),
            _ => {
                let roots = Arc::new(authorities("client_ca", &contents.client_ca)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let verifier = match self.0.client {
                    ClientCertificate::Optional => verifier.allow_unauthenticated(),
                    _ => verifier,
                };
                let wrong = |error: VerifierBuilderError| TlsError::Authorities {
                    setting: "client_ca",
                    cause: error.to_string(),
                };
                let verifier = verifier.build().map_err(wrong)?;
                builder.with_client_cert_verifier(Arc::new(ShortChains(verifier)))
            }
        };
        let shown = Arc::new(SingleCertAndKey::from(pair));
        let mut config = builder.with_cert_resolver(shown);
        // A session that goes on would not be asked for its certificate again, also
        // after that has expired.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        Ok(config)
    }
}
