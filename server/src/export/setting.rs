//! What an exporter is told: which events, what of them, and where to.

use std::{collections::BTreeSet, path::PathBuf};

use sextant_flows::json;
use sextant_proto::flow::FlowFilter;
use thiserror::Error;

use super::MAX_EXPORTERS;
use crate::{
    filter::{FilterError, Filters},
    flow::Time,
    mask::{Mask, MaskError},
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
}

/// All exporters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exports {
    /// Those of the configuration.
    pub files: Vec<FileSetting>,
    /// A file with more of them, in Hubble's dynamic configuration.
    pub flow_logs: Option<PathBuf>,
}

/// An exporter to a file.
#[derive(Clone, Debug, PartialEq)]
pub struct FileSetting {
    /// What it is called in status and metrics.
    pub name: String,
    /// The file; `stdout` is standard output.
    pub path: PathBuf,
    /// Which events.
    pub selected: Selected,
    /// Bytes of the file, after which a new one is begun.
    pub max_bytes: u64,
    /// Old files that are kept beside it.
    pub max_backups: usize,
    /// Old files are compressed (gzip).
    pub compress: bool,
}

impl FileSetting {
    /// One with Hubble's defaults.
    #[must_use]
    pub fn new(name: String, path: PathBuf) -> Self {
        Self {
            name,
            path,
            selected: Selected::default(),
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

/// What is wrong with a setting, or with several together.
#[derive(Debug, Error)]
pub enum SettingError {
    /// Two of one name.
    #[error("two exporters are called `{0}`; give each its own `name`")]
    Name(String),
    /// Two to one file.
    #[error("two exporters write {0:?}; give each its own file")]
    Path(PathBuf),
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
    pub(super) fn compile(&self) -> Result<(Filters, Option<Mask>), SettingError> {
        let filters = Filters::compile(&self.allow, &self.deny)?;
        Ok((filters, Mask::compile(&self.field_mask)?))
    }

    /// Whether events other than flows are exported. As in Hubble no filter matches them,
    /// but for one that says nothing.
    pub(super) fn has_others(&self) -> bool {
        let says_nothing = |filter: &FlowFilter| *filter == FlowFilter::default();
        (self.allow.is_empty() || self.allow.iter().any(says_nothing))
            && !self.deny.iter().any(says_nothing)
    }
}

/// Whether the exporters go together: each name and each file once.
///
/// # Errors
///
/// The first that does not.
pub fn check<'a>(settings: impl IntoIterator<Item = &'a FileSetting>) -> Result<(), SettingError> {
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for setting in settings {
        if !names.insert(&setting.name) {
            return Err(SettingError::Name(setting.name.clone()));
        }
        if !paths.insert(&setting.path) {
            return Err(SettingError::Path(setting.path.clone()));
        }
    }
    match names.len() {
        count if count > MAX_EXPORTERS => Err(SettingError::Many(count)),
        _ => Ok(()),
    }
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
        let one = |name: &str, path: &str| FileSetting::new(name.into(), path.into());
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
