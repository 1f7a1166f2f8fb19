//! Why a server is not reached or refuses, and what to do about it: that depends on how the
//! server knows who asks.
//!
//! The server says which right is missing; here is what this side can change.

use std::{error::Error, path::PathBuf};

use crate::settings::Settings;

/// The innermost cause: the outer ones say "transport error".
pub(crate) fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// How a server can tell who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    /// By a bearer token, whatever else there is.
    Token(PathBuf),
    /// By a certificate, over TLS.
    Certificate(PathBuf),
    /// TLS, and nothing that says who.
    Nobody,
    /// By the user at a unix socket.
    User,
    /// Not at all.
    Plaintext,
}

impl Shown {
    /// What is shown to this server by these settings.
    pub(crate) fn of(settings: &Settings, server: &str) -> Self {
        match (&settings.token_file, &settings.tls_client_cert_file) {
            (Some(token), _) => Self::Token(token.clone()),
            (None, Some(certificate)) if settings.is_tls() => {
                Self::Certificate(certificate.clone())
            }
            (None, _) if settings.is_tls() => Self::Nobody,
            (None, _) if server.starts_with("unix:") => Self::User,
            (None, _) => Self::Plaintext,
        }
    }

    /// It knows who asks, and they may not.
    pub(super) fn denied(&self) -> String {
        match self {
            Self::Token(file) => format!(
                "; the server goes by the token in {}: show another with --token-file, or let it have the right there",
                file.display()
            ),
            Self::Certificate(file) => format!(
                "; the server goes by the certificate in {}: show another with --tls-client-cert-file and --tls-client-key-file, a token with --token-file, or let it have the right there",
                file.display()
            ),
            Self::Nobody => format!("; {SHOW}"),
            Self::User => {
                "; the server goes by the user who asks: run as root or as one who has the right there, or show a token with --token-file"
                    .into()
            }
            Self::Plaintext => format!(
                "; plaintext TCP does not tell who asks: name the server's unix socket with --server unix:///PATH, or speak TLS with tls://HOST:PORT and {SHOW}"
            ),
        }
    }

    /// It does not know who asks.
    pub(super) fn unknown(&self) -> String {
        match self {
            Self::Token(file) => format!(
                "; the server does not take the token in {}: put the one into it that the server has",
                file.display()
            ),
            Self::Certificate(_) => "; show a token too, with --token-file".into(),
            Self::User => "; show a token with --token-file".into(),
            Self::Nobody | Self::Plaintext => self.denied(),
        }
    }
}

const SHOW: &str =
    "show who you are with --tls-client-cert-file and --tls-client-key-file, or with --token-file";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_fits_the_way_to_the_server() {
        let plain = Settings::default();
        let tls = Settings {
            tls: Some(true),
            ..Settings::default()
        };
        let certificate = Settings {
            tls_client_cert_file: Some("ada.pem".into()),
            ..tls.clone()
        };
        let token = Settings {
            token_file: Some("ci.token".into()),
            ..certificate.clone()
        };
        for (settings, server, denied, unknown) in [
            (&plain, "localhost:1", "tls://HOST:PORT", "tls://HOST:PORT"),
            (&plain, "unix:///s", "run as root", "--token-file"),
            (&tls, "h:1", "show who you are", "show who you are"),
            (&certificate, "h:1", "certificate in ada.pem", "a token too"),
            (
                &token,
                "h:1",
                "token in ci.token",
                "take the token in ci.token",
            ),
        ] {
            let shown = Shown::of(settings, server);
            assert!(shown.denied().contains(denied), "{shown:?}");
            assert!(shown.unknown().contains(unknown), "{shown:?}");
            // Who is far away has no unix socket.
            let is_near = !settings.is_tls();
            assert_eq!(
                shown.denied().contains("root") || shown.denied().contains("unix:"),
                is_near
            );
        }
    }
}
