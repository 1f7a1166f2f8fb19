//! Certificates, keys and tokens in files, each of at most 1 MiB.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, ConfigBuilder, InconsistentKeys,
    client::WantsClientCert,
    crypto::CryptoProvider,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
    sign::CertifiedKey,
};

use crate::settings::Settings;

/// Largest file; the system's own bundle of all CAs has a quarter of it.
const MAX_BYTES: u64 = 1 << 20;
/// Largest token: what HTTP servers commonly take as a header.
const MAX_TOKEN_BYTES: usize = 8 << 10;

/// Why TLS, or a token, cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// A file is missing, or not for us.
    #[error("cannot read {path}, the {what}; {remedy}")]
    Read {
        path: PathBuf,
        what: &'static str,
        source: io::Error,
        remedy: &'static str,
    },
    /// A file is there, and has something else.
    #[error("{path} has no {what}: {cause}")]
    Content {
        path: PathBuf,
        what: &'static str,
        cause: String,
    },
    /// A certificate is damaged.
    #[error("a certificate in {path} cannot be used; make it anew")]
    Certificate {
        path: PathBuf,
        source: rustls::Error,
    },
    /// A key is of a kind that nobody can use here, or damaged.
    #[error(
        "the private key in {path} cannot be used; make one of kind ECDSA P-256, P-384, Ed25519 or RSA with 2048 bits or more"
    )]
    Key {
        path: PathBuf,
        source: rustls::Error,
    },
    /// Key and certificate are of two pairs.
    #[error(
        "the private key in {key} does not fit the certificate in {certificate}: name the key that the certificate was made for; compare `openssl pkey -pubout -in KEY` and `openssl x509 -noout -pubkey -in CERTIFICATE`"
    )]
    Mismatch { key: PathBuf, certificate: PathBuf },
    /// Half of a pair.
    #[error("{there} is given and {missing} is not: a client certificate needs both")]
    HalfPair {
        there: &'static str,
        missing: &'static str,
    },
    /// Nothing to trust.
    #[error(
        "this system has no CA certificates{cause}; install the package ca-certificates, or name the server's CA with --tls-ca-cert-files"
    )]
    NoSystemRoots { cause: String },
    /// No certificate can have this name.
    #[error(
        "`{name}` is no name of a server: say a DNS name or an IP address with --tls-server-name"
    )]
    ServerName { name: String },
    /// The library speaks no TLS.
    #[error("cannot set up TLS: {0}; this is a fault of sextant")]
    Versions(rustls::Error),
    /// Nothing can be checked with these.
    #[error("--tls-ca-cert-files cannot be used: {0}; name certificates of CAs")]
    Verifier(rustls::client::VerifierBuilderError),
}

/// A client's certificate with those that vouch for it, and its key.
pub(super) struct Pair {
    certificate: (PathBuf, Vec<CertificateDer<'static>>),
    key: (PathBuf, PrivateKeyDer<'static>),
}

impl Pair {
    /// A configuration that shows the certificate to servers that ask.
    pub(super) fn add_to(
        self,
        builder: ConfigBuilder<ClientConfig, WantsClientCert>,
        provider: &CryptoProvider,
    ) -> Result<ClientConfig, FileError> {
        let (path, chain) = self.certificate;
        let (key_path, key) = self.key;
        let wrong_key = |source| FileError::Key {
            path: key_path.clone(),
            source,
        };
        let key = provider.key_provider.load_private_key(key);
        let pair = CertifiedKey::new(chain, key.map_err(wrong_key)?);
        match pair.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                let (key, certificate) = (key_path, path);
                return Err(FileError::Mismatch { key, certificate });
            }
            Err(source) => return Err(FileError::Certificate { path, source }),
        }
        let shown = rustls::sign::SingleCertAndKey::from(pair);
        Ok(builder.with_client_cert_resolver(Arc::new(shown)))
    }
}

/// The client's pair, if the settings have one.
pub(super) fn client_pair(settings: &Settings) -> Result<Option<Pair>, FileError> {
    let (certificate, key) = ("--tls-client-cert-file", "--tls-client-key-file");
    let half = |there, missing| Err(FileError::HalfPair { there, missing });
    match (
        &settings.tls_client_cert_file,
        &settings.tls_client_key_file,
    ) {
        (None, None) => Ok(None),
        (Some(_), None) => half(certificate, key),
        (None, Some(_)) => half(key, certificate),
        (Some(certificate), Some(key)) => Ok(Some(Pair {
            certificate: (certificate.clone(), certificates(certificate)?),
            key: (key.clone(), private_key(key)?),
        })),
    }
}

/// All certificates of a PEM file: one at least.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    const WHAT: &str = "certificate";
    let text = read(path, WHAT)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let wrong = |cause| FileError::Content {
        path: path.into(),
        what: WHAT,
        cause,
    };
    let all = all.map_err(|error| wrong(damaged(&error)))?;
    match all.is_empty() {
        true => Err(wrong(nothing(&text, "-----BEGIN CERTIFICATE-----"))),
        false => Ok(all),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, FileError> {
    const WHAT: &str = "private key";
    let text = read(path, WHAT)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| FileError::Content {
        path: path.into(),
        what: WHAT,
        cause: match error {
            pem::Error::NoItemsFound if is_encrypted(&text) => {
                "it is encrypted, and nobody is asked for a passphrase; take that off with `openssl pkey -in FILE -out OTHER`".into()
            }
            pem::Error::NoItemsFound => nothing(&text, "-----BEGIN PRIVATE KEY-----"),
            error => damaged(&error),
        },
    })
}

/// The bearer token of a file, without space around it.
pub(crate) fn token(path: &Path) -> Result<String, FileError> {
    const WHAT: &str = "bearer token";
    let text = read(path, WHAT)?;
    let wrong = |cause: &str| FileError::Content {
        path: path.into(),
        what: WHAT,
        cause: cause.into(),
    };
    let text = text.trim_ascii();
    match std::str::from_utf8(text) {
        Ok("") => Err(wrong("it is empty; write the token into it")),
        _ if text.len() > MAX_TOKEN_BYTES => Err(wrong("it is larger than 8 KiB")),
        Ok(token) if text.iter().all(u8::is_ascii_graphic) => Ok(token.into()),
        _ => Err(wrong(
            "a token is one line of visible ASCII characters; write only the token into it",
        )),
    }
}

fn is_encrypted(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
}

fn damaged(error: &pem::Error) -> String {
    format!("the PEM text is damaged ({error}); copy it again")
}

/// What a file has that should have a section of PEM.
fn nothing(text: &[u8], wanted: &str) -> String {
    match text {
        [] => "it is empty".into(),
        // A SEQUENCE of DER (X.690) with a length of two bytes, as certificates have.
        [0x30, 0x82, ..] => format!(
            "it is DER, and must be PEM, with `{wanted}`; convert it with `openssl x509 -inform der` or `openssl pkey -inform der`"
        ),
        _ => format!("nothing in it begins with `{wanted}`; is it the right file?"),
    }
}

fn read(path: &Path, what: &'static str) -> Result<Vec<u8>, FileError> {
    let mut text = Vec::new();
    let done = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut text));
    let done = done.and_then(|size| match size as u64 > MAX_BYTES {
        true => Err(io::Error::other("it is larger than 1 MiB")),
        false => Ok(text),
    });
    done.map_err(|source| FileError::Read {
        path: path.into(),
        what,
        remedy: match source.kind() {
            io::ErrorKind::PermissionDenied => "run as its owner, or make it readable for you",
            io::ErrorKind::NotFound => "name the file that has it",
            _ => "name a file in PEM",
        },
        source,
    })
}
