//! Which server is meant, and how to speak to it: by flag, environment, configuration
//! file or default.
//!
//! The file is TOML: `current = "NAME"`, and for each context a table
//! `[context.NAME]` with `server = "ADDRESS"` and the keys of `settings`. Paths in it
//! are relative to it.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    connection::Connection,
    settings::{Settings, SwitchError},
};

/// Where `hubble` and `sextantd` meet without further ado.
pub(crate) const DEFAULT_SERVER: &str = "localhost:4245";
/// Where writing is allowed.
pub(crate) const DEFAULT_WRITE_SERVER: &str = "unix:///run/sextant/sextant.sock";
/// Largest configuration file.
const MAX_BYTES: u64 = 1 << 20;

/// Why no server could be chosen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContextError {
    /// The file is there, and cannot be read.
    #[error(
        "cannot read the configuration file {path}; make it readable, or name another with --config"
    )]
    Read { path: PathBuf, source: io::Error },
    /// The file is not what it should be.
    #[error("the configuration file {path} is wrong: {message}")]
    Parse { path: PathBuf, message: String },
    /// The context is not in the file.
    #[error(
        "there is no context `{name}` in {path}; it has: {known}. Add [context.{name}] with server = \"...\""
    )]
    Unknown {
        name: String,
        path: String,
        known: String,
    },
    /// The context names no server.
    #[error(
        "the context `{name}` in {path} names no server: add server = \"tls://HOST:PORT\", or another address"
    )]
    NoServer { name: String, path: String },
    /// A variable says nothing.
    #[error(transparent)]
    Switch(#[from] SwitchError),
    /// What is for TLS alone, and no TLS: the connection would not be what the user thinks.
    #[error(
        "{0} is for TLS, and the server is spoken to in plaintext; add {1}, or say tls://HOST:PORT"
    )]
    Plaintext(String, &'static str),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    current: Option<String>,
    #[serde(default)]
    context: BTreeMap<String, Settings>,
}

/// The server and how to speak to it: flags before a named context before the environment
/// before the current context before `default`.
pub(crate) fn settings(connection: &Connection, default: &str) -> Result<Settings, ContextError> {
    let environment = match connection.context {
        Some(_) => Settings::default(),
        None => Settings::environment(|name| env::var(name).ok())?,
    };
    choose(connection, environment, default)
}

fn choose(
    connection: &Connection,
    mut environment: Settings,
    default: &str,
) -> Result<Settings, ContextError> {
    let flags = &connection.settings;
    let is_named = flags.server.is_some() || environment.server.is_some();
    // What a context says of its server, above all a token, is for no other one.
    let context = match is_named && connection.context.is_none() {
        true => None,
        false => context(connection)?,
    };
    let of_context = context.clone().unwrap_or_default();
    let names = |settings: &Settings| settings.server.clone();
    let server = names(flags)
        .or_else(|| names(&environment))
        .or_else(|| names(&of_context))
        .unwrap_or_else(|| default.into());
    if server.starts_with("unix:") {
        environment.tls = None;
    }
    let mut chosen = flags.clone().or(environment).or(of_context);
    chosen.server = Some(server);
    if !chosen.is_tls() {
        if let Some(name) = flags.needs_tls() {
            return Err(ContextError::Plaintext(format!("--{name}"), "--tls"));
        }
        if flags.server.is_none()
            && let Some(name) = context.as_ref().and_then(Settings::needs_tls)
        {
            let key = format!("the context's {}", name.replace('-', "_"));
            return Err(ContextError::Plaintext(key, "tls = true"));
        }
    }
    Ok(chosen)
}

/// The context that is named or current, its paths made absolute.
fn context(connection: &Connection) -> Result<Option<Settings>, ContextError> {
    let path = connection.config.clone().or_else(default_path);
    let mut file = match &path {
        Some(path) => load(path, connection.config.is_some())?,
        None => File::default(),
    };
    let Some(name) = connection.context.clone().or(file.current) else {
        return Ok(None);
    };
    let shown = || {
        path.as_ref()
            .map_or_else(|| "no file".into(), |path| path.display().to_string())
    };
    let Some(context) = file.context.remove(&name) else {
        let names: Vec<&str> = file.context.keys().map(String::as_str).collect();
        return Err(ContextError::Unknown {
            known: match names.is_empty() {
                true => "none".into(),
                false => names.join(", "),
            },
            path: shown(),
            name,
        });
    };
    if context.server.is_none() {
        let path = shown();
        return Err(ContextError::NoServer { name, path });
    }
    let folder = path
        .as_deref()
        .and_then(Path::parent)
        .unwrap_or(Path::new(""));
    Ok(Some(context.relative_to(folder)))
}

/// A missing file is an empty one, unless it was asked for.
fn load(path: &PathBuf, asked_for: bool) -> Result<File, ContextError> {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !asked_for => String::new(),
        Err(source) => {
            let path = path.clone();
            return Err(ContextError::Read { path, source });
        }
    };
    toml::from_str(&text).map_err(|error| ContextError::Parse {
        path: path.clone(),
        message: error.to_string().trim_end().into(),
    })
}

/// A device may have no end, and a FIFO nobody who writes.
fn read_text(path: &PathBuf) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = String::new();
    fs::File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)?;
    match text.len() as u64 > MAX_BYTES {
        true => Err(io::Error::other("it is larger than 1 MiB")),
        false => Ok(text),
    }
}

fn default_path() -> Option<PathBuf> {
    let base = match env::var_os("XDG_CONFIG_HOME").filter(|home| !home.is_empty()) {
        Some(home) => PathBuf::from(home),
        None => env::home_dir()?.join(".config"),
    };
    Some(base.join("sextant").join("cli.toml"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const FILE: &str = r#"
        current = "home"
        [context.home]
        server = "unix:///home.sock"
        [context.work]
        server = "work:4245"
        tls = true
        tls_ca_cert_files = ["ca.pem", "/etc/more.pem"]
        tls_client_cert_file = "me.pem"
        tls_client_key_file = "me-key.pem"
        tls_server_name = "relay.test"
        tls_allow_insecure = false
        token_file = "token"
        [context.mixed]
        server = "mixed:4245"
        tls_ca_cert_files = ["ca.pem"]
    "#;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new(text: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("cli.toml"), text).unwrap();
            Self(folder)
        }

        fn path(&self, file: &str) -> PathBuf {
            self.0.path().join(file)
        }

        fn choose(
            &self,
            flags: Settings,
            context: Option<&str>,
            environment: &[(&str, &str)],
        ) -> Result<Settings, ContextError> {
            let connection = Connection {
                settings: flags,
                context: context.map(Into::into),
                config: Some(self.path("cli.toml")),
                timeout: Duration::from_secs(1),
                request_timeout: Duration::from_secs(1),
            };
            let environment = match context {
                Some(_) => Settings::default(),
                None => variables(environment)?,
            };
            choose(&connection, environment, DEFAULT_SERVER)
        }
    }

    fn variables(all: &[(&str, &str)]) -> Result<Settings, SwitchError> {
        Settings::environment(|name| {
            let found = all.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn server(name: &str) -> Settings {
        Settings {
            server: Some(name.into()),
            ..Settings::default()
        }
    }

    #[test]
    fn flag_comes_before_context_before_environment_before_current_context_before_default() {
        let folder = Folder::new(FILE);
        let choose = |flag: Option<&str>, context, variable: &str| {
            let flags = flag.map_or_else(Settings::default, server);
            let chosen = folder.choose(flags, context, &[("SEXTANT_SERVER", variable)]);
            chosen.unwrap().server.unwrap()
        };
        assert_eq!(choose(Some("a:1"), Some("work"), "b:2"), "a:1");
        assert_eq!(choose(None, Some("work"), "b:2"), "work:4245");
        assert_eq!(choose(None, None, "b:2"), "b:2");
        assert_eq!(choose(None, None, ""), "unix:///home.sock");
        fs::write(folder.path("cli.toml"), "").unwrap();
        assert_eq!(choose(None, None, ""), DEFAULT_SERVER);
    }

    #[test]
    fn a_context_has_the_settings_of_tls_with_paths_relative_to_its_file() {
        let folder = Folder::new(FILE);
        let chosen = folder.choose(Settings::default(), Some("work"), &[]);
        let expected = Settings {
            server: Some("work:4245".into()),
            tls: Some(true),
            tls_allow_insecure: Some(false),
            tls_ca_cert_files: vec![folder.path("ca.pem"), "/etc/more.pem".into()],
            tls_client_cert_file: Some(folder.path("me.pem")),
            tls_client_key_file: Some(folder.path("me-key.pem")),
            tls_server_name: Some("relay.test".into()),
            token_file: Some(folder.path("token")),
        };
        assert_eq!(chosen.unwrap(), expected);
    }

    #[test]
    fn a_current_context_gives_no_certificate_or_token_to_another_server() {
        let folder = Folder::new(&FILE.replace("\"home\"", "\"work\""));
        let other = "tls://other:1";
        for (flags, variable) in [(server(other), ""), (Settings::default(), other)] {
            let chosen = folder.choose(flags, None, &[("SEXTANT_SERVER", variable)]);
            assert_eq!(chosen.unwrap(), server(other));
        }
        let chosen = folder.choose(Settings::default(), None, &[]).unwrap();
        assert_eq!(chosen.token_file, Some(folder.path("token")));
    }

    #[test]
    fn the_environment_has_the_settings_of_tls() {
        let folder = Folder::new(FILE);
        let environment = [
            ("SEXTANT_SERVER", "b:2"),
            ("SEXTANT_TLS", "true"),
            ("SEXTANT_TLS_ALLOW_INSECURE", "0"),
            ("SEXTANT_TLS_CA_CERT_FILES", "a.pem,b.pem"),
            ("SEXTANT_TLS_CLIENT_CERT_FILE", "c.pem"),
            ("SEXTANT_TLS_CLIENT_KEY_FILE", ""),
            ("SEXTANT_TLS_SERVER_NAME", "x.test"),
            ("SEXTANT_TOKEN_FILE", "t"),
        ];
        let flags = Settings {
            tls_server_name: Some("y.test".into()),
            ..Settings::default()
        };
        let chosen = folder.choose(flags, None, &environment).unwrap();
        assert!(chosen.is_tls());
        assert_eq!(chosen.tls_allow_insecure, Some(false));
        let files: [PathBuf; 2] = ["a.pem".into(), "b.pem".into()];
        assert_eq!(chosen.tls_ca_cert_files, files);
        assert_eq!(chosen.tls_client_cert_file, Some("c.pem".into()));
        assert_eq!(chosen.tls_client_key_file, None);
        assert_eq!(chosen.tls_server_name.unwrap(), "y.test");
        assert_eq!(chosen.token_file, Some("t".into()));
        let error = variables(&[("SEXTANT_TLS", "maybe")]).unwrap_err();
        assert!(
            error.to_string().contains("SEXTANT_TLS is `maybe`"),
            "{error}"
        );
    }

    #[test]
    fn tls_of_the_environment_is_not_for_unix_sockets() {
        let folder = Folder::new(FILE);
        let environment = [("SEXTANT_TLS", "1"), ("SEXTANT_TLS_SERVER_NAME", "x")];
        let chosen = folder.choose(server("unix:///a"), None, &environment);
        assert!(!chosen.unwrap().is_tls());
        let chosen = folder.choose(server("a:1"), None, &environment);
        assert!(chosen.unwrap().is_tls());
    }

    #[test]
    fn certificates_without_tls_are_told_and_never_passed_over() {
        let folder = Folder::new(FILE);
        let flags = |server_name: &str| Settings {
            tls_ca_cert_files: vec!["ca.pem".into()],
            ..server(server_name)
        };
        let error = folder.choose(flags("a:1"), None, &[]).unwrap_err();
        assert!(
            error.to_string().contains("--tls-ca-cert-files is for TLS"),
            "{error}"
        );
        assert!(folder.choose(flags("tls://a:1"), None, &[]).is_ok());
        let error = folder.choose(Settings::default(), Some("mixed"), &[]);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("tls_ca_cert_files is for TLS"), "{error}");
        assert!(error.contains("tls = true"), "{error}");
    }

    #[test]
    fn unknown_context_names_the_file_and_the_known_ones() {
        let folder = Folder::new(FILE);
        let error = folder
            .choose(Settings::default(), Some("x"), &[])
            .unwrap_err();
        let text = error.to_string();
        assert!(text.contains("no context `x`"), "{text}");
        assert!(text.contains("home, mixed, work"), "{text}");
        let path = folder.path("cli.toml").display().to_string();
        assert!(text.contains(&path), "{text}");
    }

    #[test]
    fn unknown_keys_and_a_missing_named_file_are_errors() {
        for (text, part) in [
            ("currant = 'home'", "currant"),
            ("[context.a]\nserver = 'a:1'\ntls_ca = 'x'", "tls_ca"),
            ("current = 'a'\n[context.a]\ntls = true", "names no server"),
        ] {
            let folder = Folder::new(text);
            let error = folder.choose(Settings::default(), None, &[]).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
        let folder = Folder::new("");
        fs::remove_file(folder.path("cli.toml")).unwrap();
        let error = folder.choose(Settings::default(), None, &[]).unwrap_err();
        assert!(matches!(error, ContextError::Read { .. }), "{error}");
    }
}
