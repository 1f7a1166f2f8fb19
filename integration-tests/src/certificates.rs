//! A folder with certificates for tests: an authority, and what it signed.
//!
//! `NAME.pem` and `NAME-key.pem` (mode 0600), in PEM as `hubble`, `hubble-relay`,
//! `sextant` and `sextantd` read them. Nothing here outlives the test.

use std::{fs, io::Write as _, net::IpAddr, os::unix::fs::OpenOptionsExt as _, path::PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use tempfile::TempDir;

/// What Cilium's chart puts into the certificate of each node.
pub const NODES: &str = "*.default.hubble-grpc.cilium.io";
/// Where a test's own servers are.
pub const HERE: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Whom a certificate is for, and how good it is.
#[derive(Clone, Debug)]
pub struct Subject {
    common_name: String,
    names: Vec<String>,
    usage: ExtendedKeyUsagePurpose,
    /// Years in which it is good, the last one not.
    years: (i32, i32),
    is_strange: bool,
    is_authority: bool,
}

impl Subject {
    /// A server under these names: addresses, `scheme://` (URI), or DNS names.
    #[must_use]
    pub fn server(names: &[&str]) -> Self {
        Self::new("server", names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client with a common name and further names, such as `spiffe://a.test/b`.
    #[must_use]
    pub fn client(common_name: &str, names: &[&str]) -> Self {
        Self::new(common_name, names, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn new(common_name: &str, names: &[&str], usage: ExtendedKeyUsagePurpose) -> Self {
        Self {
            common_name: common_name.into(),
            names: names.iter().copied().map(Into::into).collect(),
            usage,
            years: (2020, 2200),
            is_strange: false,
            is_authority: false,
        }
    }

    /// Was good in the year 2020.
    #[must_use]
    pub fn expired(mut self) -> Self {
        self.years = (2020, 2021);
        self
    }

    /// Will be good from the year 2190 on.
    #[must_use]
    pub fn early(mut self) -> Self {
        self.years = (2190, 2200);
        self
    }

    /// Signed by the other authority, whose certificate is `stranger.pem`.
    #[must_use]
    pub fn by_stranger(mut self) -> Self {
        self.is_strange = true;
        self
    }

    /// Signed by itself and an authority at once, as `openssl req -x509` makes them.
    #[must_use]
    pub fn by_itself(mut self) -> Self {
        self.is_authority = true;
        self
    }

    fn params(&self) -> CertificateParams {
        let mut params = named(&self.common_name);
        params.subject_alt_names = self.names.iter().map(|name| san(name)).collect();
        params.extended_key_usages = vec![self.usage.clone()];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if self.is_authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params.use_authority_key_identifier_extension = true;
        params.not_before = date_time_ymd(self.years.0, 1, 1);
        params.not_after = date_time_ymd(self.years.1, 1, 1);
        params
    }
}

/// The folder; removed when dropped.
pub struct Certificates {
    folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
    stranger: CertifiedIssuer<'static, KeyPair>,
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}

impl Certificates {
    /// With `ca.pem`, the authority that all trust, and `stranger.pem`, which none does.
    #[must_use]
    pub fn new() -> Self {
        let made = Self {
            folder: tempfile::tempdir().unwrap(),
            authority: authority("Authority of the test"),
            stranger: authority("Stranger"),
        };
        made.write("ca.pem", &made.authority.pem());
        made.write("stranger.pem", &made.stranger.pem());
        made
    }

    /// The path of a file, there or not.
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// The same as text.
    #[must_use]
    pub fn text(&self, file: &str) -> String {
        self.path(file).display().to_string()
    }

    /// Makes `NAME.pem` and `NAME-key.pem`, or puts new ones in their places, each in one
    /// step as certificate managers do.
    pub fn issue(&self, name: &str, subject: &Subject) {
        let key = KeyPair::generate().unwrap();
        let issuer = match subject.is_strange {
            true => &self.stranger,
            false => &self.authority,
        };
        let params = subject.params();
        let certificate = match subject.is_authority {
            true => params.self_signed(&key),
            false => params.signed_by(&key, issuer),
        };
        let certificate = certificate.unwrap();
        self.write(&format!("{name}-key.pem"), &key.serialize_pem());
        self.write(&format!("{name}.pem"), &certificate.pem());
    }

    /// Puts a file there, in one step.
    pub fn write(&self, file: &str, text: &str) {
        let (path, new) = (self.path(file), self.path(&format!("{file}.new")));
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut out = options.open(&new).unwrap();
        out.write_all(text.as_bytes()).unwrap();
        fs::rename(new, path).unwrap();
    }
}

fn authority(common_name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = named(common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after = date_time_ymd(2200, 1, 1);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params
}

fn san(name: &str) -> SanType {
    match name.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) if name.contains("://") => SanType::URI(name.try_into().unwrap()),
        Err(_) => SanType::DnsName(name.try_into().unwrap()),
    }
}
