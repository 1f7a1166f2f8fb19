//! Hubble's dynamic configuration of metrics: a file in YAML that is read again when
//! it changes.
//!
//! ```yaml
//! metrics:
//!   - name: drop
//!     contextOptions:
//!       - name: sourceContext
//!         values: [pod, ip]
//!     includeFilters:
//!       - source_pod: [shop/]
//!     excludeFilters: []
//! ```
//!
//! Filters are `flow.FlowFilter` in the JSON mapping of protobuf. Filters of a metric
//! may change at work, its options may not: series would have other labels than before.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use serde::Deserialize;
use sextant_flows::{
    filter::{FilterError, Filters},
    json,
};
use sextant_proto::flow::FlowFilter;
use thiserror::Error;

use super::setting::{Setting, SettingError, check};
use crate::{reloaded::Source, small_file};

/// Largest file.
const MAX_BYTES: u64 = 1 << 20;

/// What is wrong with the file.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {path}: {error}; name a file that sextantd may read")]
    Unread {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is no such configuration.
    #[error("{path}: {error}; write Hubble's dynamic metrics configuration")]
    Yaml {
        /// The file.
        path: PathBuf,
        /// Where and what.
        error: String,
    },
    /// A metric or an option.
    #[error("{path}: metrics[{index}]: {error}")]
    Setting {
        /// The file.
        path: PathBuf,
        /// Which metric, from 0.
        index: usize,
        /// What of it.
        error: SettingError,
    },
    /// Metrics that do not go together.
    #[error("{path}: {error}")]
    Together {
        /// The file.
        path: PathBuf,
        /// Which.
        error: SettingError,
    },
    /// A filter is no filter.
    #[error("{path}: metrics[{index}]: {list}[{at}]: {error}")]
    Filter {
        /// The file.
        path: PathBuf,
        /// Which metric, from 0.
        index: usize,
        /// `includeFilters` or `excludeFilters`.
        list: &'static str,
        /// Which filter of them, from 0.
        at: usize,
        /// What of it.
        error: String,
    },
    /// Filters that cannot be compiled.
    #[error("{path}: metrics[{index}]: {error}")]
    Filters {
        /// The file.
        path: PathBuf,
        /// Which metric, from 0.
        index: usize,
        /// What of them.
        error: FilterError,
    },
    /// Options of a metric that is on, or was.
    #[error(
        "{path}: metrics[{index}]: {name} has other contextOptions than before; its series would have other labels: restart sextantd"
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// Which metric, from 0.
        index: usize,
        /// Its name.
        name: &'static str,
    },
}

/// The file, and what it had.
#[derive(Debug)]
pub(super) struct MetricsFile {
    path: PathBuf,
    /// Each metric that ever was on.
    known: Mutex<BTreeMap<super::Kind, Setting>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    /// Must be there: a file that is being written is empty for a moment.
    #[serde(deserialize_with = "Option::deserialize")]
    metrics: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Entry {
    name: String,
    #[serde(default)]
    context_options: Option<Vec<ContextOption>>,
    #[serde(default)]
    include_filters: Option<Vec<serde_json::Value>>,
    #[serde(default)]
    exclude_filters: Option<Vec<serde_json::Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ContextOption {
    name: String,
    #[serde(default)]
    values: Option<Vec<String>>,
}

impl MetricsFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            known: Mutex::default(),
        }
    }

    fn setting(&self, index: usize, entry: &Entry) -> Result<Setting, FileError> {
        let path = || self.path.clone();
        let wrong = |error| FileError::Setting {
            path: path(),
            index,
            error,
        };
        let mut setting = Setting::named(&entry.name).map_err(wrong)?;
        for option in entry.context_options.iter().flatten() {
            let values = option.values.iter().flatten().map(String::as_str);
            let values: Vec<&str> = values.collect();
            setting.set(&option.name, &values).map_err(wrong)?;
        }
        setting.include = self.filters(index, "includeFilters", &entry.include_filters)?;
        setting.exclude = self.filters(index, "excludeFilters", &entry.exclude_filters)?;
        Filters::compile(&setting.include, &setting.exclude).map_err(|error| {
            FileError::Filters {
                path: path(),
                index,
                error,
            }
        })?;
        Ok(setting)
    }

    fn filters(
        &self,
        index: usize,
        list: &'static str,
        filters: &Option<Vec<serde_json::Value>>,
    ) -> Result<Vec<FlowFilter>, FileError> {
        let filters = filters.iter().flatten().enumerate();
        let filters = filters.map(|(at, filter)| {
            json::from_value(filter, "flow.FlowFilter").map_err(|error| FileError::Filter {
                path: self.path.clone(),
                index,
                list,
                at,
                error: error.to_string(),
            })
        });
        filters.collect()
    }

    /// Options may not change; if none did, what is known now is kept.
    fn learn(&self, settings: &[Setting]) -> Result<(), FileError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, setting) in settings.iter().enumerate() {
            let before = known.get(&setting.kind);
            if before.is_some_and(|before| !before.counts_as(setting)) {
                return Err(FileError::Changed {
                    path: self.path.clone(),
                    index,
                    name: setting.kind.name(),
                });
            }
        }
        let settings = settings.iter().cloned();
        known.extend(settings.map(|setting| (setting.kind, setting)));
        Ok(())
    }
}

impl Source for MetricsFile {
    type Contents = Vec<u8>;
    type Made = Vec<Setting>;
    type Error = FileError;

    const WHAT: &'static str = "Hubble's metrics";

    fn read(&self) -> Result<Vec<u8>, FileError> {
        small_file::read(&self.path, MAX_BYTES).map_err(|error| FileError::Unread {
            path: self.path.clone(),
            error,
        })
    }

    fn make(&self, contents: &Vec<u8>) -> Result<Vec<Setting>, FileError> {
        let document: Document =
            serde_saphyr::from_slice(contents).map_err(|error| FileError::Yaml {
                path: self.path.clone(),
                error: error.to_string(),
            })?;
        let entries = document.metrics.iter().flatten().enumerate();
        let settings = entries.map(|(index, entry)| self.setting(index, entry));
        let settings = settings.collect::<Result<Vec<_>, _>>()?;
        check(&settings).map_err(|error| FileError::Together {
            path: self.path.clone(),
            error,
        })?;
        self.learn(&settings)?;
        Ok(settings)
    }
}

#[cfg(test)]
mod tests;
