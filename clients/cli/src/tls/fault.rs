//! What went wrong in TLS, as cause and remedy for the one who connects.

use rustls::{
    AlertDescription as Alert, CertificateError as Bad, Error, InvalidMessage, PeerIncompatible,
    pki_types::{ServerName, UnixTime},
};

use crate::{settings::Settings, time::Format};

/// Where and how it broke.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// The protocol, or a certificate.
    Tls(Error),
    /// The server hung up in the middle of the handshake.
    Closed,
    /// All is well, but HTTP/2 was not agreed upon.
    NoHttp2,
}

/// What the user reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) cause: String,
    pub(crate) remedy: String,
}

const NEW_CERTIFICATE: &str = "the server needs a new one";
const PLAINTEXT: &str = "leave out --tls and tls:// if it is a plaintext port";

impl Fault {
    /// The fault in words.
    pub(super) fn trouble(&self, settings: &Settings) -> Trouble {
        let (cause, remedy) = match self {
            Self::Tls(Error::InvalidCertificate(bad)) => certificate(bad, settings),
            Self::Tls(Error::AlertReceived(alert)) => alert_received(*alert, settings),
            Self::Tls(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => (
                "the server does not speak TLS there".into(),
                PLAINTEXT.into(),
            ),
            Self::Tls(Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            )) => old_version(),
            Self::Tls(error) => (
                format!("TLS failed: {error}"),
                "is it a server of gRPC over TLS?".into(),
            ),
            Self::Closed => (
                "the server closed the connection during the TLS handshake".into(),
                PLAINTEXT.into(),
            ),
            Self::NoHttp2 => (
                "the server speaks TLS, but not HTTP/2 (no `h2` in ALPN)".into(),
                "name a gRPC port, or let the proxy in front of it pass HTTP/2".into(),
            ),
        };
        Trouble { cause, remedy }
    }
}

fn old_version() -> (String, String) {
    (
        "the server speaks neither TLS 1.2 nor TLS 1.3".into(),
        "let it speak TLS 1.3".into(),
    )
}

/// The server's certificate is not what it should be.
fn certificate(bad: &Bad, settings: &Settings) -> (String, String) {
    let trusted = match settings.tls_ca_cert_files.as_slice() {
        [] => "this system".into(),
        files => {
            let files: Vec<String> = files
                .iter()
                .map(|file| file.display().to_string())
                .collect();
            files.join(", ")
        }
    };
    let name_ca = "name the server's CA with --tls-ca-cert-files";
    match bad {
        Bad::UnknownIssuer => (
            format!("the server's certificate is of an unknown CA: none of {trusted} signed it"),
            format!(
                "{name_ca}; if it is one of these, let the server send the certificates in between"
            ),
        ),
        Bad::BadSignature => (
            format!(
                "the server's certificate has a wrong signature: the CA of {trusted} has its name, but another key"
            ),
            format!("{name_ca}, as it is now"),
        ),
        Bad::ExpiredContext { not_after, .. } => (
            format!("the server's certificate expired at {}", shown(*not_after)),
            format!("{NEW_CERTIFICATE}, or this host the right time"),
        ),
        Bad::Expired => (
            "the server's certificate expired".into(),
            NEW_CERTIFICATE.into(),
        ),
        Bad::NotValidYetContext { not_before, .. } => (
            format!(
                "the server's certificate is valid from {} on, not yet",
                shown(*not_before)
            ),
            "set this host's clock, or the server's where it was made".into(),
        ),
        Bad::NotValidForNameContext {
            expected,
            presented,
        } => wrong_name(expected, presented),
        Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => (
            "the server's certificate is not for servers".into(),
            "the server needs one with the extended key usage serverAuth".into(),
        ),
        Bad::Revoked => (
            "the server's certificate is revoked".into(),
            NEW_CERTIFICATE.into(),
        ),
        bad if is_authority(bad) => (
            "the server's certificate is one of a CA".into(),
            format!(
                "{NEW_CERTIFICATE}, signed by that CA; or name this one with --tls-ca-cert-files"
            ),
        ),
        Bad::Other(other) if other.to_string().contains("UnsupportedCertVersion") => (
            "the server's certificate is X.509 version 1, which has no names".into(),
            format!("{NEW_CERTIFICATE}, made with subjectAltName (with openssl: -extfile)"),
        ),
        other => (
            format!("the server's certificate is refused: {other}"),
            NEW_CERTIFICATE.into(),
        ),
    }
}

fn wrong_name(expected: &ServerName<'_>, presented: &[String]) -> (String, String) {
    let expected = expected.to_str();
    let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
    match names.is_empty() {
        true => (
            format!("the server's certificate has no names, so it is not for `{expected}`"),
            format!("{NEW_CERTIFICATE}, with subjectAltName; a common name does not count"),
        ),
        false => (
            format!(
                "the server's certificate is for {}, not for `{expected}`",
                names.join(", ")
            ),
            "say one of these with --tls-server-name, if it is the right server".into(),
        ),
    }
}

/// The certificate is one of a CA, and not used as one. webpki has no other word for it.
pub(super) fn is_authority(bad: &Bad) -> bool {
    matches!(bad, Bad::Other(other) if other.to_string() == "CaUsedAsEndEntity")
}

/// The name inside what rustls tells: `DnsName("a.test")`, `IpAddress(10.0.0.1)`.
fn bare(name: &str) -> &str {
    let inner = name
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}

fn shown(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Format::Rfc3339.print(Some(&prost_types::Timestamp { seconds, nanos: 0 }))
}

/// The server hung up and said why.
fn alert_received(alert: Alert, settings: &Settings) -> (String, String) {
    let ours = settings.tls_client_cert_file.as_ref();
    let give = "give one with --tls-client-cert-file and --tls-client-key-file";
    match (alert, ours) {
        (Alert::CertificateRequired, Some(ours)) => (
            format!(
                "the server takes no certificate like that of {}",
                ours.display()
            ),
            "give one that a client CA of the server signed".into(),
        ),
        (Alert::CertificateRequired | Alert::BadCertificate | Alert::NoCertificate, None) => (
            "the server requires a client certificate".into(),
            give.into(),
        ),
        (Alert::HandshakeFailure | Alert::AccessDenied, None) => (
            "the server refused the handshake".into(),
            format!("if it requires a client certificate, {give}"),
        ),
        (Alert::ProtocolVersion, _) => old_version(),
        (Alert::UnrecognisedName, _) => (
            "the server has no certificate for that name".into(),
            "say another with --tls-server-name".into(),
        ),
        (Alert::NoApplicationProtocol, _) => Fault::NoHttp2.trouble(settings).into(),
        (alert, Some(ours)) => match refusal(alert) {
            Some(why) => (
                format!(
                    "the server refused the client certificate in {}: {why}",
                    ours.display()
                ),
                "give one that a client CA of the server signed, for clients, and still valid"
                    .into(),
            ),
            None => other_alert(alert),
        },
        (alert, None) => other_alert(alert),
    }
}

fn other_alert(alert: Alert) -> (String, String) {
    (
        format!("the server refused TLS: {alert:?}"),
        "its log may say why".into(),
    )
}

/// What a server has against a certificate (RFC 8446, 6.2).
fn refusal(alert: Alert) -> Option<&'static str> {
    Some(match alert {
        Alert::UnknownCA => "its CA is not one that the server knows",
        Alert::CertificateExpired => "it expired",
        Alert::CertificateRevoked => "it is revoked",
        Alert::UnsupportedCertificate => "it is of a kind that the server does not take",
        Alert::BadCertificate => "the server finds it bad; of another CA, or not for clients",
        Alert::CertificateUnknown => "the server says no more",
        Alert::AccessDenied => "it has no access",
        Alert::DecryptError => {
            "its signature is wrong; is its CA the server's, or of the same name?"
        }
        _ => return None,
    })
}

impl From<Trouble> for (String, String) {
    fn from(trouble: Trouble) -> Self {
        (trouble.cause, trouble.remedy)
    }
}
