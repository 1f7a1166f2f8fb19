//! What an exporter is told: which events, what of them, and where to.

use std::{collections::BTreeSet, fmt, ops::RangeInclusive, path::PathBuf, time::Duration};

use sextant_flows::json;
use sextant_proto::flow::FlowFilter;
use thiserror::Error;

use super::{
    MAX_EXPORTERS,
    signal::{Signal, SpansOf},
};
use crate::{
    config::Outgoing,
    filter::{FilterError, Filters},
    flow::Time,
    judge::Judge,
    mask::{Mask, MaskError},
    tls::{self, TlsError},
};

/// The path that means standard output.
const STDOUT: &str = "stdout";

/// Which events are exported, and what of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selected {
    /// Of which one has to match; all events if there is none.
    pub allow: Vec<FlowFilter>,
    /// Of which none may match.
    pub deny: Vec<FlowFilter>,
    /// Paths of fields of `flow.Flow` that are written; all if there is none.
    pub field_mask: Vec<String>,
    /// Events after it are not exported.
    pub end: Option<Time>,
    /// Flows that are equal in some fields are one line, of these fields alone.
    pub aggregation: Aggregation,
}

/// How long flows can be counted.
pub const COUNTED_FOR: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(24 * 3600);

/// Which flows are equal, and how long they are counted; none are unless both are given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Aggregation {
    /// Paths of fields of `flow.Flow`.
    pub fields: Vec<String>,
    /// How often what was counted is written.
    pub interval: Duration,
}

/// All exporters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exports {
    /// Those of the configuration.
    pub given: Vec<Setting>,
    /// A file with more of them, in Hubble's dynamic configuration.
    pub flow_logs: Option<PathBuf>,
}

/// An exporter.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// What it is called in status and metrics.
    pub name: String,
    /// Which events.
    pub selected: Selected,
    /// Where they go.
    pub target: Target,
}

/// Where an exporter writes, and how.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A file of JSON lines.
    File(FileTarget),
    /// A server that takes JSON.
    Http(HttpTarget),
    /// A collector of OpenTelemetry.
    Otlp(OtlpTarget),
}

/// A file.
#[derive(Clone, Debug, PartialEq)]
pub struct FileTarget {
    /// The file; `stdout` is standard output.
    pub path: PathBuf,
    /// Bytes of the file, after which a new one is begun.
    pub max_bytes: u64,
    /// Old files that are kept beside it.
    pub max_backups: usize,
    /// Old files are compressed (gzip).
    pub compress: bool,
}

/// A server that takes JSON by POST.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpTarget {
    /// Where, and how.
    pub remote: Remote,
    /// What a body is.
    pub format: HttpFormat,
}

/// What the body of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpFormat {
    /// An event a line (`application/x-ndjson`).
    Lines,
    /// An array of events (`application/json`).
    Array,
}

/// A collector of OpenTelemetry.
#[derive(Clone, Debug, PartialEq)]
pub struct OtlpTarget {
    /// Where, and how; by HTTP the path is of the signal.
    pub remote: Remote,
    /// What it speaks.
    pub protocol: Protocol,
    /// What it gets.
    pub signal: Signal,
    /// Of traces, which.
    pub spans: SpansOf,
    /// Attributes of its resource, beside those that are found.
    pub resource: Vec<(String, String)>,
}

/// How OTLP is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC.
    Grpc,
    /// Protobuf by HTTP/1.1.
    Http,
}

/// A server, and how requests are made to it.
#[derive(Clone, PartialEq)]
pub struct Remote {
    /// `http://` or `https://`, host, port and path.
    pub url: String,
    /// Headers of each request.
    pub headers: Vec<(String, String)>,
    /// How bodies are compressed.
    pub compression: Compression,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How long events wait for others to go with them.
    pub interval: Duration,
    /// Events of a request, at most.
    pub max_events: usize,
    /// Where on the disk events are until they are acknowledged, if anywhere.
    pub spool: Option<SpoolSetting>,
    /// Name to verify the server's certificate against; that of `url` if none is given.
    pub tls_server_name: Option<String>,
    /// Whom to trust there, and what to show.
    pub outgoing: Outgoing,
}

/// Where events wait that a server did not acknowledge yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolSetting {
    /// The folder, of one exporter alone.
    pub directory: PathBuf,
    /// Bytes of its files, at most; then the oldest events are dropped.
    pub max_bytes: u64,
}

/// How bodies are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl Setting {
    /// One to a file, of all events.
    #[must_use]
    pub fn file(name: String, file: FileTarget) -> Self {
        Self {
            name,
            selected: Selected::default(),
            target: Target::File(file),
        }
    }
}

impl Target {
    /// What is shown as the kind of the exporter.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Http(_) => "http",
            Self::Otlp(target) => match target.signal {
                Signal::Logs => "otlp_logs",
                Signal::Metrics => "otlp_metrics",
                Signal::Traces => "otlp_traces",
            },
        }
    }

    /// The server, if it is one.
    pub(super) fn remote(&self) -> Option<&Remote> {
        match self {
            Self::File(_) => None,
            Self::Http(HttpTarget { remote, .. }) | Self::Otlp(OtlpTarget { remote, .. }) => {
                Some(remote)
            }
        }
    }

    /// Whether it gets spans of the daemon's own work.
    pub(super) fn has_own_spans(&self) -> bool {
        matches!(self, Self::Otlp(target) if target.signal == Signal::Traces && target.spans.daemon)
    }

    /// Where events wait on the disk, if they do.
    pub(super) fn spool(&self) -> Option<&SpoolSetting> {
        self.remote().and_then(|remote| remote.spool.as_ref())
    }

    /// What is shown as where it writes.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::File(file) => file.path.to_string_lossy().into_owned(),
            Self::Http(HttpTarget { remote, .. }) | Self::Otlp(OtlpTarget { remote, .. }) => {
                remote.shown()
            }
        }
    }
}

impl FileTarget {
    /// One with Hubble's defaults.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            max_bytes: 10 << 20,
            max_backups: 5,
            compress: false,
        }
    }

    /// Whether it goes to standard output.
    pub(super) fn is_stdout(&self) -> bool {
        self.path.as_os_str() == STDOUT
    }
}

/// Headers may have what is secret.
impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Remote")
            .field("url", &self.shown())
            .field("headers", &names)
            .field("compression", &self.compression)
            .field("timeout", &self.timeout)
            .field("interval", &self.interval)
            .field("max_events", &self.max_events)
            .field("spool", &self.spool)
            .field("tls_server_name", &self.tls_server_name)
            .field("outgoing", &self.outgoing)
            .finish()
    }
}

/// An address without its query, which may have what is secret.
pub(crate) fn shown(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().to_owned()
}

impl Remote {
    /// What is shown of its address.
    pub(crate) fn shown(&self) -> String {
        shown(&self.url)
    }

    /// One with the defaults of OTLP.
    #[must_use]
    pub fn new(url: String) -> Self {
        Self {
            url,
            headers: Vec::new(),
            compression: Compression::None,
            timeout: Duration::from_secs(10),
            interval: Duration::from_secs(1),
            max_events: 4096,
            spool: None,
            tls_server_name: None,
            outgoing: Outgoing::default(),
        }
    }

    /// Whether it is reached over TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.url.starts_with("https:")
    }
}

/// What is wrong with a setting, or with several together.
#[derive(Debug, Error)]
pub enum SettingError {
    /// Two of one name.
    #[error("two exporters are called `{0}`; give each its own `name`")]
    Name(String),
    /// Two to one file.
    #[error("two exporters write {0:?}; give each its own file")]
    Path(PathBuf),
    /// Two with one spool.
    #[error("two exporters have the spool {0:?}; give each its own `directory`")]
    Spool(PathBuf),
    /// Too many.
    #[error("there are {0} exporters, {MAX_EXPORTERS} at most; take one for several lists")]
    Many(usize),
    /// A filter is none.
    #[error("{0}; write Hubble's FlowFilter as JSON, such as {{\"protocol\":[\"tcp\"]}}")]
    Json(#[from] json::JsonError),
    /// A filter cannot be compiled.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The mask has no such field.
    #[error("{0}: name fields of flow.Flow, such as `source.pod_name`")]
    Mask(#[from] MaskError),
}

impl Selected {
    /// Filters and mask.
    pub(super) fn compile(&self) -> Result<(Judge, Option<Mask>), SettingError> {
        let judge = Judge::new(&self.allow, &self.deny)?;
        Ok((judge, Mask::compile(&self.field_mask)?))
    }

    /// Whether events other than flows are exported. As in Hubble no filter matches them,
    /// but for one that says nothing.
    pub(super) fn has_others(&self) -> bool {
        let says_nothing = |filter: &FlowFilter| *filter == FlowFilter::default();
        (self.allow.is_empty() || self.allow.iter().any(says_nothing))
            && !self.deny.iter().any(says_nothing)
    }
}

/// Whether the exporters go together: each name, file and spool once.
///
/// # Errors
///
/// The first that does not.
pub fn check<'a>(settings: impl IntoIterator<Item = &'a Setting>) -> Result<(), SettingError> {
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    let mut spools = BTreeSet::new();
    for setting in settings {
        if !names.insert(&setting.name) {
            return Err(SettingError::Name(setting.name.clone()));
        }
        if let Target::File(FileTarget { path, .. }) = &setting.target
            && !paths.insert(path)
        {
            return Err(SettingError::Path(path.clone()));
        }
        if let Some(SpoolSetting { directory, .. }) = setting.target.spool()
            && !spools.insert(directory)
        {
            return Err(SettingError::Spool(directory.clone()));
        }
    }
    match names.len() {
        count if count > MAX_EXPORTERS => Err(SettingError::Many(count)),
        _ => Ok(()),
    }
}

/// Whether the files that exporters need to reach their servers are good.
///
/// # Errors
///
/// The first that is not.
pub(crate) fn try_files(settings: &[Setting]) -> Result<(), TlsError> {
    for remote in settings
        .iter()
        .filter_map(|setting| setting.target.remote())
    {
        tls::Outgoing::of(&remote.outgoing, remote.is_tls())?;
    }
    Ok(())
}

/// An absolute path, or `stdout`.
pub(crate) fn target(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_file = path.is_absolute() && path.file_name().is_some() && !text.ends_with('/');
    match text == STDOUT || is_file && !text.contains('\0') {
        true => Ok(path),
        false => Err(format!(
            "`{text}` is no file; write an absolute path such as `/var/log/sextant/flows.log`, or `stdout`"
        )),
    }
}

/// What is shown in status and metrics.
pub(crate) fn name(text: &str) -> Result<String, String> {
    match text.is_empty() || text.len() > 253 || text.chars().any(char::is_control) {
        true => Err("is no name; give 1 to 253 characters that can be printed".into()),
        false => Ok(text.to_owned()),
    }
}

/// Filters as Hubble's options have them: JSON objects one after another.
pub(crate) fn filters(text: &str) -> Result<Vec<FlowFilter>, SettingError> {
    let filters = json::parse_strict(text, "flow.FlowFilter")?;
    Filters::compile(&filters, &[])?;
    Ok(filters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_follow_one_another_and_mistakes_are_told() {
        let two = filters(
            r#"{"protocol":["tcp"]} {"experimental":{"cel_expression":["_flow.verdict == Verdict.DROPPED"]}}"#,
        );
        assert_eq!(two.unwrap().len(), 2);
        assert!(filters("").unwrap().is_empty());
        for wrong in ["{", r#"{"protocl":["tcp"]}"#, r#"{"source_ip":["1.2.3"]}"#] {
            assert!(filters(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_and_files_are_given_once() {
        let one = |name: &str, path: &str| Setting::file(name.into(), FileTarget::new(path.into()));
        assert!(check(&[one("a", "/a"), one("b", "/b")]).is_ok());
        let told = check(&[one("a", "/a"), one("a", "/b")]).unwrap_err();
        assert!(told.to_string().contains("`a`"), "{told}");
        let told = check(&[one("a", "/a"), one("b", "/a")]).unwrap_err();
        assert!(told.to_string().contains("/a"), "{told}");
        let many: Vec<_> = (0..=MAX_EXPORTERS)
            .map(|n| one(&n.to_string(), &format!("/{n}")))
            .collect();
        assert!(check(&many).is_err());
    }

    #[test]
    fn filters_let_no_other_events_through_unless_they_say_nothing() {
        let tcp = filters(r#"{"protocol":["tcp"]}"#).unwrap();
        let all = filters("{}").unwrap();
        let others = |allow: &[FlowFilter], deny: &[FlowFilter]| {
            let selected = Selected {
                allow: allow.to_vec(),
                deny: deny.to_vec(),
                ..Selected::default()
            };
            selected.has_others()
        };
        assert!(others(&[], &[]) && others(&[], &tcp) && others(&all, &tcp));
        assert!(!others(&tcp, &[]) && !others(&[], &all));
    }
}
