//! Puts the sources together: defaults < file < environment < flags.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::{
    Config, ConfigError, DEFAULT_FILE, Flags, Mistake,
    draft::Draft,
    file,
    given::{Given, Source, word},
    listeners, otel,
};
use crate::{
    export::{Exports, Setting, Target, check as check_exporters, try_files},
    small_file,
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
    mistakes.extend(of_environment(env, &mut draft.config.exports));
    if mistakes.is_empty() {
        mistakes = listeners::plaintext(&draft.config.server);
    }
    if mistakes.is_empty() {
        Ok((draft.finish(), found.then_some(file.path)))
    } else {
        Err(ConfigError { mistakes })
    }
}

/// Exporters by the standard variables of OpenTelemetry, beside those that are there.
fn of_environment(env: &dyn Fn(&str) -> Option<String>, exports: &mut Exports) -> Option<Mistake> {
    if otel::is_disabled(env) {
        let is_other = |setting: &Setting| !matches!(setting.target, Target::Otlp(_));
        exports.given.retain(is_other);
        return None;
    }
    let usable = otel::exporters(env).into_iter().filter(has_files);
    exports.given.extend(usable);
    let wrong = check_exporters(&exports.given).err()?;
    Some(Mistake {
        place: "environment OTEL_...".into(),
        message: wrong.to_string(),
    })
}

/// Whether its certificates are of use; they may be meant for other programs.
fn has_files(setting: &Setting) -> bool {
    let tried = try_files(std::slice::from_ref(setting));
    if let Err(error) = &tried {
        let name = &setting.name;
        tracing::warn!(
            "OTEL_EXPORTER_OTLP_...CERTIFICATE or _CLIENT_KEY: {error}; {name} exports nothing"
        );
    }
    tried.is_ok()
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
        let bytes = match small_file::read(&self.path, MAX_BYTES) {
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
