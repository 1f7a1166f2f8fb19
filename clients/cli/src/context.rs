//! Which server is meant: by flag, environment, configuration file or default.
//!
//! The file is TOML: `current = "NAME"`, and for each context a table
//! `[context.NAME]` with `server = "ADDRESS"`.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Read as _},
    path::PathBuf,
};

use serde::Deserialize;

use crate::connection::Connection;

/// Where `hubble` and `sextantd` meet without further ado.
pub(crate) const DEFAULT_SERVER: &str = "localhost:4245";
/// Where writing is allowed.
pub(crate) const DEFAULT_WRITE_SERVER: &str = "unix:///run/sextant/sextant.sock";
/// Largest configuration file.
const MAX_BYTES: u64 = 1 << 20;
/// Names a server.
const SERVER_VARIABLE: &str = "SEXTANT_SERVER";

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
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    current: Option<String>,
    #[serde(default)]
    context: BTreeMap<String, Context>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Context {
    server: String,
}

/// The address of the server: flags before environment before current context
/// before `default`.
pub(crate) fn server(connection: &Connection, default: &str) -> Result<String, ContextError> {
    choose(connection, env::var(SERVER_VARIABLE).ok(), default)
}

fn choose(
    connection: &Connection,
    variable: Option<String>,
    default: &str,
) -> Result<String, ContextError> {
    if let Some(server) = &connection.server {
        return Ok(server.clone());
    }
    if connection.context.is_none()
        && let Some(server) = variable.filter(|server| !server.is_empty())
    {
        return Ok(server);
    }
    let path = connection.config.clone().or_else(default_path);
    let file = match &path {
        Some(path) => load(path, connection.config.is_some())?,
        None => File::default(),
    };
    let Some(name) = connection.context.clone().or(file.current) else {
        return Ok(default.into());
    };
    let names: Vec<&str> = file.context.keys().map(String::as_str).collect();
    match file.context.get(&name) {
        Some(context) => Ok(context.server.clone()),
        None => Err(ContextError::Unknown {
            known: match names.is_empty() {
                true => "none".into(),
                false => names.join(", "),
            },
            path: path.map_or_else(|| "no file".into(), |path| path.display().to_string()),
            name,
        }),
    }
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

    fn connection(server: Option<&str>, context: Option<&str>, config: PathBuf) -> Connection {
        Connection {
            server: server.map(Into::into),
            context: context.map(Into::into),
            config: Some(config),
            timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(1),
        }
    }

    const FILE: &str = r#"
        current = "home"
        [context.home]
        server = "unix:///home.sock"
        [context.work]
        server = "work:4245"
    "#;

    #[test]
    fn flag_comes_before_environment_before_current_context_before_default() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cli.toml");
        fs::write(&path, FILE).unwrap();
        let choose = |server, context, variable: Option<&str>| {
            choose(
                &connection(server, context, path.clone()),
                variable.map(Into::into),
                DEFAULT_SERVER,
            )
            .unwrap()
        };
        assert_eq!(choose(Some("a:1"), Some("work"), Some("b:2")), "a:1");
        assert_eq!(choose(None, Some("work"), Some("b:2")), "work:4245");
        assert_eq!(choose(None, None, Some("b:2")), "b:2");
        assert_eq!(choose(None, None, Some("")), "unix:///home.sock");
        assert_eq!(choose(None, None, None), "unix:///home.sock");
        fs::write(&path, "").unwrap();
        assert_eq!(choose(None, None, None), DEFAULT_SERVER);
    }

    #[test]
    fn unknown_context_names_the_file_and_the_known_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cli.toml");
        fs::write(&path, FILE).unwrap();
        let error = choose(&connection(None, Some("x"), path.clone()), None, "d").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("no context `x`"), "{text}");
        assert!(text.contains("home, work"), "{text}");
        assert!(text.contains(&path.display().to_string()), "{text}");
    }

    #[test]
    fn unknown_keys_and_a_missing_named_file_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cli.toml");
        let error = choose(&connection(None, None, path.clone()), None, "d").unwrap_err();
        assert!(matches!(error, ContextError::Read { .. }), "{error}");
        fs::write(&path, "currant = 'home'").unwrap();
        let error = choose(&connection(None, None, path), None, "d").unwrap_err();
        assert!(error.to_string().contains("currant"), "{error}");
    }
}
