//! PEM files, each named by its setting.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    InconsistentKeys, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
    sign::CertifiedKey,
};
use x509_parser::{parse_x509_certificate, time::ASN1Time};

use crate::small_file;

/// A chain of certificates is some kilobytes, the bundle of a system's authorities
/// a quarter of this.
const MAX_BYTES: u64 = 1 << 20;

/// TLS cannot be as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{setting}: cannot read {path}: {source}; name a PEM file that sextantd may read")]
    Read {
        /// The key in the configuration.
        setting: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{setting}: {path} holds no {wanted}: {cause}; it must be PEM")]
    Content {
        /// The key in the configuration.
        setting: &'static str,
        /// Which.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
        /// What is wrong.
        cause: String,
    },
    /// Certificate and key are of two pairs, or of no use.
    #[error("certificate, key: {certificate} and {key} do not make an identity: {cause}")]
    Pair {
        /// The chain.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        cause: String,
    },
    /// Authorities are of no use.
    #[error("{setting}: {cause}; name certificates of authorities")]
    Authorities {
        /// The key in the configuration.
        setting: &'static str,
        /// Why.
        cause: String,
    },
    /// A server cannot have this name.
    #[error("tls_server_name: `{0}` is no name of a server; write one as in its certificate")]
    Name(String),
    /// A bearer token is of no use.
    #[error("token_file: {path}: {cause}; put the token into it, one line of visible ASCII")]
    Token {
        /// Its file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The library has not what it takes.
    #[error("cannot set up TLS: {0}; this is a fault of sextantd")]
    Library(rustls::Error),
}

/// A file as it was read, with its setting.
#[derive(PartialEq, Eq)]
pub(super) struct Content {
    setting: &'static str,
    path: PathBuf,
    bytes: Vec<u8>,
}

/// A certificate and its key.
#[derive(PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) certificate: Content,
    pub(super) key: Content,
}

impl Content {
    pub(super) fn read(setting: &'static str, path: &Path) -> Result<Self, TlsError> {
        let bytes = small_file::read(path, MAX_BYTES).map_err(|source| TlsError::Read {
            setting,
            path: path.into(),
            source,
        })?;
        Ok(Self {
            setting,
            path: path.into(),
            bytes,
        })
    }

    pub(super) fn read_all(
        setting: &'static str,
        paths: &[PathBuf],
    ) -> Result<Vec<Self>, TlsError> {
        paths.iter().map(|path| Self::read(setting, path)).collect()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        let all = all.map_err(|error| self.holds_no("certificate", damaged(&error)))?;
        match all.is_empty() {
            true => Err(self.holds_no("certificate", self.nothing())),
            false => Ok(all),
        }
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|error| {
            let cause = match error {
                pem::Error::NoItemsFound if self.is_encrypted() => "it is encrypted, and nobody is asked for a passphrase: take that off with `openssl pkey -in FILE -out OTHER`".into(),
                pem::Error::NoItemsFound => self.nothing(),
                error => damaged(&error),
            };
            self.holds_no("private key", cause)
        })
    }

    fn is_encrypted(&self) -> bool {
        let text = String::from_utf8_lossy(&self.bytes);
        text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
    }

    fn nothing(&self) -> String {
        match self.bytes.is_empty() {
            true => "it is empty".into(),
            false => "there is none in it".into(),
        }
    }

    fn holds_no(&self, wanted: &'static str, cause: String) -> TlsError {
        TlsError::Content {
            setting: self.setting,
            path: self.path.clone(),
            wanted,
            cause,
        }
    }
}

impl Pair {
    pub(super) fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: Content::read("certificate", certificate)?,
            key: Content::read("key", key)?,
        })
    }

    /// The chain with its key, which fits it.
    pub(super) fn certified(
        &self,
        provider: &CryptoProvider,
    ) -> Result<Arc<CertifiedKey>, TlsError> {
        let chain = self.certificate.certificates()?;
        let key = self.key.private_key()?;
        small_file::warn_if_open("the private key", &self.key.path);
        warn_of_time(&self.certificate.path, &chain);
        let wrong = |cause: String| TlsError::Pair {
            certificate: self.certificate.path.clone(),
            key: self.key.path.clone(),
            cause,
        };
        let key = provider.key_provider.load_private_key(key);
        let pair = CertifiedKey::new(chain, key.map_err(|error| wrong(error.to_string()))?);
        match pair.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Arc::new(pair))
            }
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(wrong(
                    "the key is of another certificate; name the one that this was made for".into(),
                ))
            }
            Err(error) if error.to_string().contains("UnsupportedCertVersion") => Err(wrong(
                "the certificate is X.509 version 1, which has no names: make it with subjectAltName (with openssl: -extfile)".into(),
            )),
            Err(error) => Err(wrong(error.to_string())),
        }
    }
}

/// The authorities of all files.
pub(super) fn authorities(
    setting: &'static str,
    files: &[Content],
) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for file in files {
        for certificate in file.certificates()? {
            roots
                .add(certificate)
                .map_err(|error| TlsError::Authorities {
                    setting,
                    cause: format!("{}: {error}", file.path.display()),
                })?;
        }
    }
    Ok(roots)
}

/// A certificate of a wrong time is no reason not to start: it may be renewed, or
/// the clock set, meanwhile.
fn warn_of_time(path: &Path, chain: &[CertificateDer<'_>]) {
    let first = chain.first().map(|first| parse_x509_certificate(first));
    let Some(Ok((_, certificate))) = first else {
        return;
    };
    let validity = certificate.validity();
    let (from, until) = (validity.not_before, validity.not_after);
    // Those of hours are renewed each hour.
    let soon = (until - from).map(|life| life / 10);
    match validity.time_to_expiration() {
        left @ Some(_) if left < soon => {
            tracing::warn!(
                ?path,
                "the certificate expires at {until}; put a new one there"
            );
        }
        Some(_) => {}
        None if from > ASN1Time::now() => tracing::warn!(
            ?path,
            "the certificate is not valid before {from}: is this host's clock right?"
        ),
        None => tracing::warn!(
            ?path,
            "the certificate expired at {until}, and others refuse it; put a new one there"
        ),
    }
}

fn damaged(error: &pem::Error) -> String {
    format!("the text is damaged ({error})")
}
