//! Puts the sources together: defaults < file < environment < flags.

use std::{
    fs::OpenOptions,
    io::{self, ErrorKind, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use nix::fcntl::OFlag;

use super::{
    Config, ConfigError, DEFAULT_FILE, Flags, Mistake,
    draft::Draft,
    file,
    given::{Given, Source, word},
    listeners,
};

/// Largest file; 20,000 endpoints take two.
const MAX_BYTES: u64 = 16 << 20;

/// Reads the configuration.
///
/// # Errors
///
/// With every mistake of every source.
pub fn load(flags: &Flags, env: impl Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
    load_with(flags, &env, Path::new(DEFAULT_FILE)).map(|(config, _)| config)
}

/// What `sextantd check` prints when nothing is wrong.
///
/// # Errors
///
/// As `load`.
pub fn check(flags: &Flags, env: impl Fn(&str) -> Option<String>) -> Result<String, ConfigError> {
    let (_, file) = load_with(flags, &env, Path::new(DEFAULT_FILE))?;
    Ok(match file {
        Some(file) => format!("ok: {}", file.display()),
        None => format!("ok: no file, {DEFAULT_FILE} does not exist"),
    })
}

/// The configuration, and the file that it is from.
pub(super) fn load_with(
    flags: &Flags,
    env: &dyn Fn(&str) -> Option<String>,
    default_file: &Path,
) -> Result<(Config, Option<PathBuf>), ConfigError> {
    let mut draft = Draft::default();
    let mut mistakes = Vec::new();
    let file = Chosen::new(flags, env, default_file);
    let found = match file.read() {
        Ok(None) => false,
        Ok(Some(text)) => {
            mistakes.extend(file::read(&file.path, &text, &mut draft));
            true
        }
        Err(mistake) => {
            mistakes.push(mistake);
            false
        }
    };
    mistakes.extend(Given::from_environment(env).apply(Source::Environment, &mut draft));
    mistakes.extend(Given::from(flags).apply(Source::Flags, &mut draft));
    if mistakes.is_empty() {
        mistakes = listeners::plaintext(&draft.config.server);
    }
    if mistakes.is_empty() {
        Ok((draft.finish(), found.then_some(file.path)))
    } else {
        Err(ConfigError { mistakes })
    }
}

/// The configuration that a text makes, with defaults for the rest.
///
/// # Errors
///
/// With every mistake of the text.
pub fn parse(text: &str) -> Result<Config, ConfigError> {
    let mut draft = Draft::default();
    let mistakes = file::read(Path::new("text"), text, &mut draft);
    match mistakes.is_empty() {
        true => Ok(draft.finish()),
        false => Err(ConfigError { mistakes }),
    }
}

/// A file of at most `MAX_BYTES`. What is no file, and might never end or wait for
/// somebody who writes, is refused.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut open = OpenOptions::new();
    open.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let file = open.open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    if !kind.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_BYTES {
        true => Err(io::Error::other("it is larger than 16 MiB")),
        false => Ok(bytes),
    }
}

/// The file to read.
struct Chosen {
    path: PathBuf,
    /// Who named it; `None` is the default, which need not exist.
    source: Option<Source>,
}

impl Chosen {
    fn new(flags: &Flags, env: &dyn Fn(&str) -> Option<String>, default_file: &Path) -> Self {
        let from_env = || Some((word(env, "config")?.into(), Source::Environment));
        let named = flags.config.clone().map(|path| (path, Source::Flags));
        match named.or_else(from_env) {
            Some((path, source)) => Self {
                path,
                source: Some(source),
            },
            None => Self {
                path: default_file.into(),
                source: None,
            },
        }
    }

    fn read(&self) -> Result<Option<String>, Mistake> {
        let path = self.path.display();
        let place = || match self.source {
            Some(source) => source.place("config"),
            None => path.to_string(),
        };
        let bytes = match read_file(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if self.source.is_none() && error.kind() == ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => {
                return Err(Mistake {
                    place: place(),
                    message: format!(
                        "cannot read {path}: {error}; name a file that sextantd may read"
                    ),
                });
            }
        };
        String::from_utf8(bytes).map(Some).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
            Mistake {
                place: format!("{path}:{line}"),
                message: "is not text in UTF-8; save it as UTF-8".into(),
            }
        })
    }
}
