//! The names in a client's certificate, which the handshake has verified.

use rustls::pki_types::CertificateDer;
use x509_parser::{
    extensions::GeneralName,
    objects::{oid_registry, oid2abbrev},
    parse_x509_certificate,
    x509::{AttributeTypeAndValue, X509Name},
};

/// Names of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Subject with RFC 4514's escapes, in the order of the certificate:
    /// `CN=relay, O=x`.
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
        let common = certificate.subject().iter_common_name();
        let common = common.filter_map(|name| name.as_str().ok());
        let mut names = Self {
            subject: subject(certificate.subject()),
            common_names: common
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
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

/// A comma in a value must not look like one between two: somebody could name
/// themselves `relay, O=x`.
fn subject(name: &X509Name<'_>) -> String {
    let relative = name.iter_rdn().map(|relative| {
        let attributes: Vec<_> = relative.iter().map(attribute).collect();
        attributes.join(" + ")
    });
    relative.collect::<Vec<_>>().join(", ")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let kind = attribute.attr_type();
    let kind = match oid2abbrev(kind, oid_registry()) {
        Ok(name) => name.to_owned(),
        Err(_) => kind.to_id_string(),
    };
    let value = match attribute.as_str() {
        Ok(text) => escaped(text),
        // Text of an old kind, or none.
        Err(_) => attribute
            .as_slice()
            .iter()
            .fold("#".to_owned(), |text, byte| format!("{text}{byte:02x}")),
    };
    format!("{kind}={value}")
}

/// A value as RFC 4514, section 2.4, has it.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (place, c) in value.chars().enumerate() {
        let is_edge = (c == ' ' && (place == 0 || place == last)) || (c == '#' && place == 0);
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', c]),
            _ if is_edge => text.extend(['\\', c]),
            '\0' => text.push_str("\\00"),
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_value_does_not_look_like_another_one() {
        for (value, expected) in [
            ("relay", "relay"),
            ("relay, O=x", "relay\\, O=x"),
            ("a + O=x", "a \\+ O=x"),
            (" #a ", "\\ #a\\ "),
            ("#a", "\\#a"),
            ("a\\, b", "a\\\\\\, b"),
            ("\u{e4}\0", "\u{e4}\\00"),
            ("", ""),
        ] {
            assert_eq!(escaped(value), expected);
        }
    }
}
