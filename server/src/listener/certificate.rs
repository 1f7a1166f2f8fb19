//! The names in a client's certificate, which the handshake has verified.

use rustls::pki_types::CertificateDer;
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

/// Names of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Subject as RFC 4514 writes it, nearly: `CN=relay, O=x`.
    pub subject: String,
    /// Common names in the subject.
    pub common_names: Vec<String>,
    /// Alternative names that are DNS names.
    pub dns_names: Vec<String>,
    /// Alternative names that are URIs, such as SPIFFE ids.
    pub uris: Vec<String>,
}

impl Certificate {
    /// The names in it; none where it cannot be read.
    pub(super) fn read(certificate: &CertificateDer<'_>) -> Self {
        let Ok((_, certificate)) = parse_x509_certificate(certificate) else {
            return Self::default();
        };
        let subject = certificate.subject();
        let common = subject.iter_common_name();
        let mut names = Self {
            subject: subject.to_string(),
            common_names: common
                .filter_map(|name| name.as_str().ok().map(str::to_owned))
                .collect(),
            ..Self::default()
        };
        let alternative = certificate.subject_alternative_name().ok().flatten();
        for name in alternative
            .iter()
            .flat_map(|names| &names.value.general_names)
        {
            match name {
                GeneralName::DNSName(name) => names.dns_names.push((*name).to_owned()),
                GeneralName::URI(uri) => names.uris.push((*uri).to_owned()),
                _ => {}
            }
        }
        names
    }

    /// What to call who has it: a SPIFFE id, else the common name, else what
    /// there is.
    #[must_use]
    pub fn name(&self) -> String {
        let spiffe = self.uris.iter().find(|uri| uri.starts_with("spiffe://"));
        let named = |kind: &str, name: &String| format!("{kind}:{name}");
        None.or_else(|| spiffe.map(|uri| named("uri", uri)))
            .or_else(|| self.common_names.first().map(|name| named("cn", name)))
            .or_else(|| self.dns_names.first().map(|name| named("dns", name)))
            .unwrap_or_else(|| format!("subject:{}", self.subject))
    }
}
