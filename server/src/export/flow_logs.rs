//! Hubble's dynamic configuration of exporters: a file in YAML that is read again when
//! it changes.
//!
//! ```yaml
//! flowLogs:
//!   - name: drops
//!     filePath: /var/log/sextant/drops.log
//!     fieldMask: [time, uuid, verdict]
//!     fieldAggregate: []
//!     aggregationInterval: 0s
//!     includeFilters:
//!       - verdict: [DROPPED]
//!     excludeFilters: []
//!     fileMaxSizeMb: 10
//!     fileMaxBackups: 5
//!     fileCompress: false
//!     end: 2026-12-24T18:00:00Z
//! ```
//!
//! Filters are `flow.FlowFilter` in the JSON mapping of protobuf.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use prost_types::Timestamp;
use serde::Deserialize;
use sextant_flows::json;
use sextant_proto::flow::FlowFilter;
use thiserror::Error;

use super::dynamic::Dynamic;
use super::setting::{
    Aggregation, COUNTED_FOR, Exports, FileTarget, Selected, Setting, SettingError, check, name,
    target, try_files,
};
use crate::{filter::Filters, flow::Time, mask::Mask, reloaded::Source, small_file, tls::TlsError};

/// Largest file.
const MAX_BYTES: u64 = 1 << 20;

/// What is wrong with the file.
#[derive(Debug, Error)]
pub enum FlowLogsError {
    /// It cannot be read.
    #[error("cannot read {path}: {error}; name a file that sextantd may read")]
    Unread {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is no such configuration.
    #[error("{path}: {error}; write Hubble's dynamic exporter configuration")]
    Yaml {
        /// The file.
        path: PathBuf,
        /// Where and what.
        error: String,
    },
    /// A value of an exporter.
    #[error("{path}: flowLogs[{index}].{key}: {error}")]
    Value {
        /// The file.
        path: PathBuf,
        /// Which exporter, from 0.
        index: usize,
        /// Which of its values.
        key: String,
        /// What of it.
        error: String,
    },
    /// A certificate, key or token of an exporter.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Exporters that do not go together, those of the configuration among them.
    #[error(transparent)]
    Together(SettingError),
}

/// The file, if there is one, and the exporters of the configuration.
#[derive(Debug)]
pub struct FlowLogs {
    exports: Exports,
    dynamic: Dynamic,
    /// The file could not be read when it was last looked at.
    is_unread: AtomicBool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document {
    /// Must be there: a file that is being written is empty for a moment.
    #[serde(deserialize_with = "Option::deserialize")]
    flow_logs: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Entry {
    name: String,
    file_path: String,
    #[serde(default)]
    field_mask: Option<Vec<String>>,
    #[serde(default)]
    field_aggregate: Option<Vec<String>>,
    #[serde(default)]
    aggregation_interval: Option<serde_json::Value>,
    #[serde(default)]
    include_filters: Option<Vec<serde_json::Value>>,
    #[serde(default)]
    exclude_filters: Option<Vec<serde_json::Value>>,
    #[serde(default)]
    file_max_size_mb: Option<u64>,
    #[serde(default)]
    file_max_backups: Option<usize>,
    #[serde(default)]
    file_compress: Option<bool>,
    #[serde(default)]
    end: Option<String>,
}

/// What is wrong with a value: its key, and how.
type Wrong = (String, String);

impl FlowLogs {
    /// Those of the configuration, and of the file that it names, of which this is told.
    #[must_use]
    pub fn new(exports: Exports, dynamic: Dynamic) -> Self {
        Self {
            exports,
            dynamic,
            is_unread: AtomicBool::new(false),
        }
    }

    fn parse(&self, path: &Path, contents: &[u8]) -> Result<Vec<Setting>, FlowLogsError> {
        let document: Document =
            serde_saphyr::from_slice(contents).map_err(|error| FlowLogsError::Yaml {
                path: path.to_owned(),
                error: error.to_string(),
            })?;
        let entries = document.flow_logs.unwrap_or_default().into_iter();
        let settings = entries.enumerate().map(|(index, entry)| {
            entry
                .setting()
                .map_err(|(key, error)| FlowLogsError::Value {
                    path: path.to_owned(),
                    index,
                    key,
                    error,
                })
        });
        settings.collect()
    }
}

impl Source for FlowLogs {
    type Contents = Vec<u8>;
    type Made = Vec<Setting>;
    type Error = FlowLogsError;

    const WHAT: &'static str = "exporters";

    fn read(&self) -> Result<Vec<u8>, FlowLogsError> {
        let Some(path) = &self.exports.flow_logs else {
            return Ok(Vec::new());
        };
        let read = small_file::read(path, MAX_BYTES);
        let was_unread = self.is_unread.swap(read.is_err(), Relaxed);
        // It is looked at again and again.
        if read.is_err() && !was_unread {
            self.dynamic.fail();
        }
        read.map_err(|error| FlowLogsError::Unread {
            path: path.clone(),
            error,
        })
    }

    fn make(&self, contents: &Vec<u8>) -> Result<Vec<Setting>, FlowLogsError> {
        let given = &self.exports.given;
        let Some(path) = &self.exports.flow_logs else {
            together(given)?;
            self.dynamic.apply(None);
            return Ok(given.clone());
        };
        let made = self.parse(path, contents).and_then(|dynamic| {
            let all = [&given[..], &dynamic].concat();
            together(&all)?;
            Ok((all, dynamic))
        });
        let (all, dynamic) = made.inspect_err(|_| self.dynamic.fail())?;
        self.dynamic.apply(Some((dynamic, contents)));
        Ok(all)
    }
}

/// Whether exporters can be at work as these say, with the files that they name.
///
/// # Errors
///
/// What is wrong with them.
pub fn try_exports(exports: &Exports) -> Result<(), FlowLogsError> {
    let source = FlowLogs::new(exports.clone(), Dynamic::default());
    source.make(&source.read()?).map(drop)
}

/// Whether all of them can be at work.
fn together(settings: &[Setting]) -> Result<(), FlowLogsError> {
    check(settings).map_err(FlowLogsError::Together)?;
    Ok(try_files(settings)?)
}

impl Entry {
    fn setting(self) -> Result<Setting, Wrong> {
        let wrong = |key: &str, error: String| (key.to_owned(), error);
        let name = name(&self.name).map_err(|error| wrong("name", error))?;
        let path = target(&self.file_path).map_err(|error| wrong("filePath", error))?;
        let field_mask = self.field_mask.unwrap_or_default();
        Mask::compile(&field_mask).map_err(|error| wrong("fieldMask", error.to_string()))?;
        let fields = self.field_aggregate.unwrap_or_default();
        Mask::compile(&fields).map_err(|error| wrong("fieldAggregate", error.to_string()))?;
        let interval = self.aggregation_interval.as_ref().map(interval);
        let interval = interval
            .transpose()
            .map_err(|error| wrong("aggregationInterval", error))?;
        let interval = interval.unwrap_or_default();
        if !fields.is_empty() && interval.is_zero() {
            tracing::warn!(
                name,
                "fieldAggregate without aggregationInterval: flows are exported one by one"
            );
        }
        let end = self.end.map(|end| {
            let time: Result<Timestamp, _> = end.parse();
            let no_time = |_| wrong("end", format!("`{end}` is no time as 2026-12-24T18:00:00Z"));
            let Timestamp { seconds, nanos } = time.map_err(no_time)?;
            Ok::<_, Wrong>(Time { seconds, nanos })
        });
        let mut file = FileTarget::new(path);
        // 0 is not said, as in Hubble.
        if let Some(mb) = self.file_max_size_mb.filter(|mb| *mb > 0) {
            file.max_bytes = mb.saturating_mul(1 << 20);
        }
        if let Some(backups) = self.file_max_backups.filter(|backups| *backups > 0) {
            file.max_backups = backups;
        }
        file.compress = self.file_compress.unwrap_or(file.compress);
        let mut setting = Setting::file(name, file);
        setting.selected = Selected {
            allow: list("includeFilters", self.include_filters)?,
            deny: list("excludeFilters", self.exclude_filters)?,
            field_mask,
            end: end.transpose()?,
            aggregation: Aggregation { fields, interval },
        };
        Ok(setting)
    }
}

/// As Go writes it, such as `1m30s`; none for one that is not positive, as in Hubble.
fn interval(value: &serde_json::Value) -> Result<Duration, String> {
    let wrong = || format!("`{value}` is no duration such as 30s");
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let duration: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    let duration = Duration::try_from(duration).unwrap_or_default();
    let (least, most) = COUNTED_FOR.into_inner();
    match duration.is_zero() || COUNTED_FOR.contains(&duration) {
        true => Ok(duration),
        false => Err(format!(
            "`{value}` does not fit; give {least:?} to {most:?}, or 0"
        )),
    }
}

fn list(key: &str, list: Option<Vec<serde_json::Value>>) -> Result<Vec<FlowFilter>, Wrong> {
    let each = list.into_iter().flatten().enumerate().map(|(at, filter)| {
        filter_of(&filter).map_err(|error| (format!("{key}[{at}]"), error.to_string()))
    });
    each.collect()
}

fn filter_of(value: &serde_json::Value) -> Result<FlowFilter, SettingError> {
    let filter = json::from_value(value, "flow.FlowFilter")?;
    Filters::compile(std::slice::from_ref(&filter), &[])?;
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::Target;

    fn to_file(name: &str, path: &str) -> Setting {
        Setting::file(name.into(), FileTarget::new(path.into()))
    }

    fn made(text: &str) -> Result<Vec<Setting>, String> {
        let exports = Exports {
            given: vec![to_file("fixed", "/fixed.log")],
            flow_logs: Some("flow-logs.yaml".into()),
        };
        let logs = FlowLogs::new(exports, Dynamic::default());
        let made = logs.make(&text.as_bytes().to_vec());
        made.map_err(|error| error.to_string())
    }

    #[test]
    fn entries_are_read_as_hubble_reads_them() {
        let text = "flowLogs:\n- name: all\n  filePath: stdout\n- name: drops\n  filePath: /d.log\n  \
                    fieldMask: [time, uuid]\n  fieldAggregate: [verdict]\n  aggregationInterval: 1m30s\n  includeFilters:\n  - verdict: [DROPPED]\n  - source_pod: [shop/]\n  \
                    excludeFilters: []\n  fileMaxSizeMb: 3\n  fileMaxBackups: 2\n  fileCompress: true\n  \
                    end: '2026-12-24T18:00:00Z'\n";
        let made = self::made(text).unwrap();
        let names: Vec<_> = made.iter().map(|setting| setting.name.as_str()).collect();
        assert_eq!(names, ["fixed", "all", "drops"]);
        assert_eq!(made[1], to_file("all", "stdout"));
        let drops = &made[2];
        assert_eq!(drops.selected.allow.len(), 2);
        assert_eq!(drops.selected.field_mask, ["time", "uuid"]);
        assert!(drops.selected.end.is_some());
        assert_eq!(drops.selected.aggregation.fields, ["verdict"]);
        assert_eq!(drops.selected.aggregation.interval, Duration::from_secs(90));
        let file = FileTarget {
            max_bytes: 3 << 20,
            max_backups: 2,
            compress: true,
            ..FileTarget::new("/d.log".into())
        };
        assert_eq!(drops.target, Target::File(file));
        assert_eq!(self::made("flowLogs: []").unwrap().len(), 1);
        // What is 0 is as if it was not there.
        let zeros =
            "flowLogs:\n- {name: a, filePath: /a.log, fileMaxSizeMb: 0, fileMaxBackups: 0}\n";
        assert_eq!(self::made(zeros).unwrap()[1], to_file("a", "/a.log"));
    }

    #[test]
    fn what_is_wrong_is_told_by_its_place() {
        for (text, told) in [
            ("", "unexpected end of input"),
            ("flowlogs: []", "flowlogs"),
            ("flowLogs: [{name: a}]", "filePath"),
            (
                "flowLogs: [{name: a, filePath: b.log}]",
                "flowLogs[0].filePath",
            ),
            ("flowLogs: [{name: '', filePath: /b}]", "flowLogs[0].name"),
            (
                "flowLogs: [{name: a, filePath: /b, end: soon}]",
                "flowLogs[0].end",
            ),
            (
                "flowLogs: [{name: a, filePath: /b, fieldMask: [tim]}]",
                "flowLogs[0].fieldMask",
            ),
            (
                "flowLogs: [{name: a, filePath: /b, includeFilters: [{}, {verdikt: [DROPPED]}]}]",
                "flowLogs[0].includeFilters[1]",
            ),
            (
                "flowLogs: [{name: a, filePath: /b, fieldAggregate: [verdikt]}]",
                "flowLogs[0].fieldAggregate",
            ),
            (
                "flowLogs: [{name: a, filePath: /b, aggregationInterval: soon}]",
                "flowLogs[0].aggregationInterval",
            ),
            (
                "flowLogs: [{name: a, filePath: /b, aggregationInterval: 30}]",
                "flowLogs[0].aggregationInterval",
            ),
            ("flowLogs: [{name: fixed, filePath: /b}]", "`fixed`"),
            ("flowLogs: [{name: a, filePath: /fixed.log}]", "/fixed.log"),
        ] {
            let error = made(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn what_changed_is_counted_as_hubble_counts_it() {
        let dynamic = Dynamic::default();
        let exports = Exports {
            given: vec![to_file("fixed", "/fixed.log")],
            flow_logs: Some("flow-logs.yaml".into()),
        };
        assert_eq!(dynamic.state(), None);
        let logs = FlowLogs::new(exports, dynamic.clone());
        let a = "{name: a, filePath: /a}";
        let late = "{name: a, filePath: /a, end: '2020-01-01T00:00:00Z'}";
        for (entries, exporters, changes) in [
            (a.to_owned(), vec![("a", true)], [1, 0, 0, 0]),
            (a.to_owned(), vec![("a", true)], [1, 0, 0, 0]),
            ("{name: a}".to_owned(), vec![("a", true)], [1, 0, 0, 1]),
            (
                format!("{late}, {{name: b, filePath: /b}}"),
                vec![("a", false), ("b", true)],
                [2, 1, 0, 1],
            ),
            (String::new(), vec![], [2, 1, 2, 1]),
        ] {
            let _ = logs.make(&format!("flowLogs: [{entries}]").into_bytes());
            let state = dynamic.state().unwrap();
            let exporters: Vec<_> = exporters
                .into_iter()
                .map(|(name, active)| (name.to_owned(), active))
                .collect();
            assert_eq!(
                (state.exporters, state.changes),
                (exporters, changes),
                "{entries}"
            );
            assert!(state.hash > 0 && state.at.is_some());
        }
    }
}
