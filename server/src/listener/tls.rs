//! TLS of a listener: 1.3 alone, certificates of clients where they are asked
//! for, and files that are read again when they change.
//!
//! Connections go on with what they began with; a new one has what the files
//! held last. Files that do not fit together change nothing and are told. Not who
//! may do what. Bound: files of `MAX_BYTES`, looked at each `INTERVAL`.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
    version::TLS13,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    config::{self, ClientCertificate},
    small_file,
};

/// Between two looks at the files.
const INTERVAL: Duration = Duration::from_secs(5);
/// A chain of certificates is some kilobytes.
const MAX_BYTES: u64 = 1 << 20;
/// What Go's gRPC insists on, and what browsers speak.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A listener cannot speak TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}; name a PEM file that sextantd may read")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} holds no {wanted}: {cause}; it must be PEM")]
    Content {
        /// Which.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
        /// What is wrong.
        cause: String,
    },
    /// Certificate and key are of two pairs, or of no use.
    #[error("{certificate} and {key} do not make a server's identity: {source}")]
    Pair {
        /// The chain.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The authorities of clients are of no use.
    #[error("client_ca: {0}; name certificates of authorities")]
    Authorities(String),
}

/// TLS with the files' latest good content; clones are the same.
#[derive(Clone, Debug)]
pub struct Tls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: config::Tls,
    current: ArcSwap<ServerConfig>,
    /// What was last looked at, good or not.
    seen: Mutex<Contents>,
}

/// The files as they were read.
#[derive(Debug, PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Vec<Vec<u8>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// Which of them is wrong, and how.
    pub fn load(files: &config::Tls) -> Result<Self, TlsError> {
        let contents = read(files)?;
        let current = ArcSwap::from_pointee(server_config(files, &contents)?);
        Ok(Self(Arc::new(Inner {
            files: files.clone(),
            current,
            seen: Mutex::new(contents),
        })))
    }

    /// For a new connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.current.load_full())
    }

    /// Looks at the files again; whether new connections have other ones now.
    ///
    /// # Errors
    ///
    /// Which of them is wrong, and how; all stays as it was.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let contents = read(&self.0.files)?;
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == contents {
            return Ok(false);
        }
        let config = server_config(&self.0.files, &contents);
        // What is wrong is told once.
        *seen = contents;
        self.0.current.store(Arc::new(config?));
        Ok(true)
    }

    /// Looks at the files for ever. A file that is away for a moment, as while
    /// another takes its place, is not told.
    pub(super) async fn watch(self) {
        let mut was_unread = false;
        loop {
            tokio::time::sleep(INTERVAL).await;
            let certificate = &self.0.files.certificate;
            match self.reload() {
                Ok(true) => tracing::info!(?certificate, "certificates read again"),
                Ok(false) => was_unread = false,
                Err(TlsError::Read { .. }) if !was_unread => was_unread = true,
                Err(error @ TlsError::Read { .. }) => {
                    tracing::debug!(%error, "certificates not read again, as before");
                }
                Err(error) => tracing::warn!(%error, "certificates not read again, as before"),
            }
        }
    }
}

fn read(files: &config::Tls) -> Result<Contents, TlsError> {
    Ok(Contents {
        certificate: read_file(&files.certificate)?,
        key: read_file(&files.key)?,
        client_ca: files
            .client_ca
            .iter()
            .map(|path| read_file(path))
            .collect::<Result<_, _>>()?,
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    small_file::read(path, MAX_BYTES).map_err(|source| TlsError::Read {
        path: path.into(),
        source,
    })
}

fn server_config(files: &config::Tls, contents: &Contents) -> Result<ServerConfig, TlsError> {
    let chain = certificates(&files.certificate, &contents.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|error| TlsError::Content {
        path: files.key.clone(),
        wanted: "private key",
        cause: error.to_string(),
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let pair = |source| TlsError::Pair {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source,
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(pair)?;
    let builder = match files.client {
        ClientCertificate::None => builder.with_no_client_auth(),
        _ => {
            let roots = Arc::new(roots(&files.client_ca, &contents.client_ca)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            let verifier = match files.client {
                ClientCertificate::Optional => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            let verifier = verifier.build();
            let wrong = |error: rustls::server::VerifierBuilderError| {
                TlsError::Authorities(error.to_string())
            };
            builder.with_client_cert_verifier(verifier.map_err(wrong)?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(pair)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    Ok(config)
}

fn roots(paths: &[PathBuf], contents: &[Vec<u8>]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for (path, content) in paths.iter().zip(contents) {
        for certificate in certificates(path, content)? {
            roots
                .add(certificate)
                .map_err(|error| TlsError::Authorities(format!("{}: {error}", path.display())))?;
        }
    }
    Ok(roots)
}

fn certificates(path: &Path, content: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |cause: String| TlsError::Content {
        path: path.into(),
        wanted: "certificate",
        cause,
    };
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(content).collect();
    let all = all.map_err(|error| wrong(error.to_string()))?;
    match all.is_empty() {
        true => Err(wrong("there is none in it".into())),
        false => Ok(all),
    }
}
