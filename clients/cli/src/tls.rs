//! TLS to a server: what is trusted, who we are, which name the server must have, and
//! what went wrong, in words.
//!
//! TLS 1.2 and 1.3, as `hubble`; HTTP/2 is agreed upon by ALPN. Files are read once for
//! each connection that is made anew, so that replaced ones count.

mod connector;
mod fault;
mod files;
mod verifier;

use std::sync::{Arc, Mutex, PoisonError};

use rustls::{
    ClientConfig, RootCertStore,
    client::WebPkiServerVerifier,
    crypto::{CryptoProvider, ring},
    pki_types::ServerName,
};

use crate::settings::Settings;
pub(crate) use connector::connector;
use fault::Fault;
pub(crate) use fault::Trouble;
pub(crate) use files::{FileError, token};
use verifier::{Trusted, Verifier};

/// TLS, ready to connect; shared by the connection and those who ask why it broke.
#[derive(Debug)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    settings: Settings,
    fault: Mutex<Option<Fault>>,
}

impl Tls {
    /// For a server at `host`, which is its name unless the settings have another.
    pub(crate) fn new(settings: &Settings, host: &str) -> Result<Arc<Self>, FileError> {
        let name = settings.tls_server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| FileError::ServerName { name: name.into() })?;
        Ok(Arc::new(Self {
            config: Arc::new(config(settings)?),
            name,
            settings: settings.clone(),
            fault: Mutex::new(None),
        }))
    }

    /// The authority that requests name: with another server name that name, as gRPC's
    /// other clients do.
    pub(crate) fn authority(&self) -> Option<&str> {
        self.settings.tls_server_name.as_deref()
    }

    /// What went wrong last, if it was TLS; a server that talks makes it good.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        fault.as_ref().map(|fault| fault.trouble(&self.settings))
    }

    fn tell(&self, fault: Option<Fault>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

fn config(settings: &Settings) -> Result<ClientConfig, FileError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(FileError::Versions)?;
    let by = |trusted| Arc::new(Verifier::new(&provider, trusted));
    let builder = match settings.tls_allow_insecure {
        Some(true) => builder
            .dangerous()
            .with_custom_certificate_verifier(by(None)),
        _ if settings.tls_ca_cert_files.is_empty() => {
            builder.with_root_certificates(system_roots()?)
        }
        _ => builder
            .dangerous()
            .with_custom_certificate_verifier(by(Some(trusted(settings, &provider)?))),
    };
    let mut config = match files::client_pair(settings)? {
        None => builder.with_no_client_auth(),
        Some(pair) => pair.add_to(builder, &provider)?,
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn system_roots() -> Result<RootCertStore, FileError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    match roots.is_empty() {
        true => Err(FileError::NoSystemRoots {
            cause: match found.errors.first() {
                Some(error) => format!(": {error}"),
                None => String::new(),
            },
        }),
        false => Ok(roots),
    }
}

/// Trusts the named files.
fn trusted(settings: &Settings, provider: &Arc<CryptoProvider>) -> Result<Trusted, FileError> {
    let mut roots = RootCertStore::empty();
    let mut named = Vec::new();
    for path in &settings.tls_ca_cert_files {
        for certificate in files::certificates(path)? {
            named.push(certificate.clone());
            roots
                .add(certificate)
                .map_err(|source| FileError::Certificate {
                    path: path.clone(),
                    source,
                })?;
        }
    }
    let builder =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let webpki = builder.build().map_err(FileError::Verifier)?;
    Ok(Trusted { webpki, named })
}
