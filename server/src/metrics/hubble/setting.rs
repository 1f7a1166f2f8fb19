//! What one metric is told: its name and options, as `--hubble-metrics` of Hubble has
//! them (`drop:sourceContext=pod|ip;destinationContext=dns`), and filters.
//!
//! Hubble passes over names and options that it does not know; here they are mistakes.

use sextant_proto::flow::FlowFilter;
use thiserror::Error;

use super::{
    context::{Context, Identifier, LABELS},
    kind::Kind,
};

/// What is wrong with a metric.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SettingError {
    /// No such metric.
    #[error("`{0}` is no metric of Hubble; known: {known}", known = Kind::names())]
    Kind(String),
    /// No such option.
    #[error("{kind}: `{option}` is no option of it; known: {known}", known = kind.options())]
    Option {
        /// Of this metric.
        kind: Kind,
        /// As it was given.
        option: String,
    },
    /// No such way to tell a side.
    #[error("{kind}: {option}: `{word}` is no identifier; known: {known}", known = identifiers())]
    Identifier {
        /// Of this metric.
        kind: Kind,
        /// In this option.
        option: String,
        /// As it was given.
        word: String,
    },
    /// No such label.
    #[error("{kind}: {option}: `{word}` is no label; known: {known}", known = LABELS.join(", "))]
    Label {
        /// Of this metric.
        kind: Kind,
        /// In this option.
        option: String,
        /// As it was given.
        word: String,
    },
    /// The same metric once more.
    #[error("{0} is given twice; leave one of them")]
    Twice(Kind),
    /// Two that count under the same names.
    #[error("http and httpV2 count under the same names; leave one of them")]
    BothHttp,
}

/// Options of a metric other than its context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Switches {
    /// dns: a label with the name that is asked for.
    pub(super) query: bool,
    /// dns: nothing of questions for AAAA alone.
    pub(super) ignore_aaaa: bool,
    /// flows-to-world: drops by other than policy too.
    pub(super) any_drop: bool,
    /// flows-to-world: a label with the destination port.
    pub(super) port: bool,
    /// flows-to-world: connections alone.
    pub(super) syn_only: bool,
    /// http, httpV2: trace ids as exemplars; `None` until it is said.
    pub(super) exemplars: Option<bool>,
}

/// One metric and what it is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    pub(super) kind: Kind,
    pub(super) context: Context,
    pub(super) switches: Switches,
    /// Of which one has to match; all flows if there is none.
    pub(super) include: Vec<FlowFilter>,
    /// Of which none may match.
    pub(super) exclude: Vec<FlowFilter>,
}

impl Setting {
    /// Of Hubble's words.
    ///
    /// # Errors
    ///
    /// The first word that is not known, and which ones are.
    pub fn parse(text: &str) -> Result<Self, SettingError> {
        let (name, options) = text.split_once(':').unwrap_or((text, ""));
        let mut setting = Self::named(name)?;
        for option in options.split(';').filter(|option| !option.is_empty()) {
            let Some((name, values)) = option.split_once('=') else {
                setting.set(option, &[""])?;
                continue;
            };
            let between = match name.eq_ignore_ascii_case("labelsContext") {
                true => ',',
                false => '|',
            };
            let values = values.split(between).filter(|value| !value.is_empty());
            setting.set(name, &values.collect::<Vec<_>>())?;
        }
        Ok(setting)
    }

    /// A metric without options.
    ///
    /// # Errors
    ///
    /// When there is none of this name.
    pub(super) fn named(name: &str) -> Result<Self, SettingError> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        Ok(Self {
            kind: kind.ok_or_else(|| SettingError::Kind(name.into()))?,
            context: Context::default(),
            switches: Switches::default(),
            include: Vec::new(),
            exclude: Vec::new(),
        })
    }

    /// Takes one option.
    ///
    /// # Errors
    ///
    /// As `parse`.
    pub(super) fn set(&mut self, option: &str, values: &[&str]) -> Result<(), SettingError> {
        let identifiers = || self.identifiers(option, values);
        let lower = option.to_ascii_lowercase();
        match lower.as_str() {
            "sourcecontext" => self.context.source.any = identifiers()?,
            "sourceingresscontext" => self.context.source.ingress = identifiers()?,
            "sourceegresscontext" => self.context.source.egress = identifiers()?,
            "destinationcontext" => self.context.destination.any = identifiers()?,
            "destinationingresscontext" => self.context.destination.ingress = identifiers()?,
            "destinationegresscontext" => self.context.destination.egress = identifiers()?,
            "labelscontext" => self.context.labels = self.labels(option, values)?,
            _ => return self.switch(option, &lower, values),
        }
        Ok(())
    }

    fn switch(&mut self, option: &str, lower: &str, values: &[&str]) -> Result<(), SettingError> {
        let switches = &mut self.switches;
        match (self.kind, lower) {
            (Kind::Dns, "query") => switches.query = true,
            (Kind::Dns, "ignoreaaaa") => switches.ignore_aaaa = true,
            (Kind::FlowsToWorld, "any-drop") => switches.any_drop = true,
            (Kind::FlowsToWorld, "port") => switches.port = true,
            (Kind::FlowsToWorld, "syn-only") => switches.syn_only = true,
            (Kind::Http | Kind::HttpV2, "exemplars") => {
                // The first one counts, as in Hubble.
                let is_on = values.first() == Some(&"true");
                switches.exemplars.get_or_insert(is_on);
            }
            (kind, _) => {
                let option = option.to_owned();
                return Err(SettingError::Option { kind, option });
            }
        }
        Ok(())
    }

    fn identifiers(&self, option: &str, values: &[&str]) -> Result<Vec<Identifier>, SettingError> {
        let one = |word: &&str| {
            let mut known = Identifier::ALL.into_iter();
            let found = known.find(|(name, _)| name.eq_ignore_ascii_case(word));
            found
                .map(|(_, is)| is)
                .ok_or_else(|| SettingError::Identifier {
                    kind: self.kind,
                    option: option.into(),
                    word: (*word).into(),
                })
        };
        values.iter().map(one).collect()
    }

    fn labels(&self, option: &str, values: &[&str]) -> Result<[bool; LABELS.len()], SettingError> {
        let mut labels = [false; LABELS.len()];
        for word in values {
            let at = LABELS.iter().position(|label| label == word);
            let at = at.ok_or_else(|| SettingError::Label {
                kind: self.kind,
                option: option.into(),
                word: (*word).into(),
            })?;
            labels[at] = true;
        }
        Ok(labels)
    }

    /// Whether its series have the labels that those of the other have, and count the
    /// same but for filters.
    pub(super) fn counts_as(&self, other: &Self) -> bool {
        self.kind == other.kind && self.context == other.context && self.switches == other.switches
    }
}

/// Whether metrics go together.
///
/// # Errors
///
/// The first that does not.
pub fn check<'a>(settings: impl IntoIterator<Item = &'a Setting>) -> Result<(), SettingError> {
    let mut seen: Vec<Kind> = Vec::new();
    for Setting { kind, .. } in settings {
        if seen.contains(kind) {
            return Err(SettingError::Twice(*kind));
        }
        seen.push(*kind);
    }
    match seen.contains(&Kind::Http) && seen.contains(&Kind::HttpV2) {
        true => Err(SettingError::BothHttp),
        false => Ok(()),
    }
}

fn identifiers() -> String {
    Identifier::ALL.map(|(name, _)| name).join(", ")
}

#[cfg(test)]
mod tests;
