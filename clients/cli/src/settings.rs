//! A server and how to speak to it: the same settings as flags, in the environment and
//! in a context of the configuration file. Names and meanings are those of `hubble`.
//!
//! Reads no file: see `context` for where settings come from, `tls` for what they name.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

/// A value of the environment that says nothing.
#[derive(Debug, thiserror::Error)]
#[error("{variable} is `{value}`: say true or false, or unset it")]
pub(crate) struct SwitchError {
    variable: &'static str,
    value: String,
}

/// All may be missing: another source may have it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Deserialize)]
#[command(next_help_heading = "Server")]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Server: `HOST:PORT`, `tcp://HOST:PORT`, `tls://HOST:PORT` or `unix:///PATH`
    /// [env: SEXTANT_SERVER] [default: the current context's, else localhost:4245; for
    /// commands that write unix:///run/sextant/sextant.sock]
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub(crate) server: Option<String>,
    /// Speak TLS, as to an address that begins with tls:// [env: SEXTANT_TLS]
    #[arg(
        long, global = true, value_name = "BOOL", hide_possible_values = true,
        num_args = 0..=1, require_equals = true, default_missing_value = "true"
    )]
    pub(crate) tls: Option<bool>,
    /// Take any certificate of the server: whoever is in between can read and change
    /// everything [env: SEXTANT_TLS_ALLOW_INSECURE]
    #[arg(
        long, global = true, value_name = "BOOL", hide_possible_values = true,
        num_args = 0..=1, require_equals = true, default_missing_value = "true"
    )]
    pub(crate) tls_allow_insecure: Option<bool>,
    /// CA certificates to trust, PEM, instead of the system's; comma-separated
    /// [env: SEXTANT_TLS_CA_CERT_FILES]
    #[arg(long, global = true, value_name = "FILES", value_delimiter = ',')]
    #[serde(default)]
    pub(crate) tls_ca_cert_files: Vec<PathBuf>,
    /// Certificate of this client, PEM, with those between it and its CA
    /// [env: SEXTANT_TLS_CLIENT_CERT_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) tls_client_cert_file: Option<PathBuf>,
    /// Its private key, PEM, without a passphrase [env: SEXTANT_TLS_CLIENT_KEY_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) tls_client_key_file: Option<PathBuf>,
    /// Name that the server's certificate must have, instead of the address'
    /// [env: SEXTANT_TLS_SERVER_NAME]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) tls_server_name: Option<String>,
    /// File with a bearer token, sent over TLS and unix sockets only
    /// [env: SEXTANT_TOKEN_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

impl Settings {
    /// The settings of the environment; empty variables count as unset.
    pub(crate) fn environment(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SwitchError> {
        let text = |name: &str| variable(name).filter(|value| !value.is_empty());
        let switch = |name: &'static str| {
            let parsed = |value: String| match value.to_ascii_lowercase().as_str() {
                "true" | "1" | "t" => Ok(true),
                "false" | "0" | "f" => Ok(false),
                _ => Err(SwitchError {
                    variable: name,
                    value,
                }),
            };
            text(name).map(parsed).transpose()
        };
        let files = text("SEXTANT_TLS_CA_CERT_FILES").unwrap_or_default();
        let files = files.split(',').filter(|file| !file.is_empty());
        Ok(Self {
            server: text("SEXTANT_SERVER"),
            tls: switch("SEXTANT_TLS")?,
            tls_allow_insecure: switch("SEXTANT_TLS_ALLOW_INSECURE")?,
            tls_ca_cert_files: files.map(PathBuf::from).collect(),
            tls_client_cert_file: text("SEXTANT_TLS_CLIENT_CERT_FILE").map(PathBuf::from),
            tls_client_key_file: text("SEXTANT_TLS_CLIENT_KEY_FILE").map(PathBuf::from),
            tls_server_name: text("SEXTANT_TLS_SERVER_NAME"),
            token_file: text("SEXTANT_TOKEN_FILE").map(PathBuf::from),
        })
    }

    /// What is missing here is taken from `other`.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            server: self.server.or(other.server),
            tls: self.tls.or(other.tls),
            tls_allow_insecure: self.tls_allow_insecure.or(other.tls_allow_insecure),
            tls_ca_cert_files: match self.tls_ca_cert_files.is_empty() {
                true => other.tls_ca_cert_files,
                false => self.tls_ca_cert_files,
            },
            tls_client_cert_file: self.tls_client_cert_file.or(other.tls_client_cert_file),
            tls_client_key_file: self.tls_client_key_file.or(other.tls_client_key_file),
            tls_server_name: self.tls_server_name.or(other.tls_server_name),
            token_file: self.token_file.or(other.token_file),
        }
    }

    /// With paths that do not depend on where the program was started.
    pub(crate) fn relative_to(mut self, folder: &Path) -> Self {
        let files = [
            &mut self.tls_client_cert_file,
            &mut self.tls_client_key_file,
            &mut self.token_file,
        ];
        let files = files.into_iter().flatten();
        for file in files.chain(&mut self.tls_ca_cert_files) {
            *file = folder.join(&*file);
        }
        self
    }

    /// Whether the server is spoken to in TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls == Some(true) || self.server.as_deref().is_some_and(is_tls_address)
    }

    /// The first setting that means nothing without TLS.
    pub(crate) fn needs_tls(&self) -> Option<&'static str> {
        [
            ("tls-client-cert-file", self.tls_client_cert_file.is_some()),
            ("tls-client-key-file", self.tls_client_key_file.is_some()),
            ("tls-ca-cert-files", !self.tls_ca_cert_files.is_empty()),
            ("tls-server-name", self.tls_server_name.is_some()),
            ("tls-allow-insecure", self.tls_allow_insecure == Some(true)),
        ]
        .into_iter()
        .find_map(|(name, is_there)| is_there.then_some(name))
    }
}

fn is_tls_address(server: &str) -> bool {
    server.starts_with("tls://") || server.starts_with("https://")
}
