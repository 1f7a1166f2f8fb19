//! Hubble's metrics: what each counts, of which flows, under which names.
//!
//! What is counted of the transport layer and below is in `l4`, of the application
//! layer in `l7`; both are held against the real handlers.

mod l4;
mod l7;

use std::{collections::HashSet, fmt};

use prometheus_client::encoding::DescriptorEncoder;
use sextant_flows::filter::FilterError;

use super::{
    family::{Counter, Durations, Family},
    gone::Named,
    kind::Kind,
    setting::{Setting, Switches},
};
use crate::{flow::Flow, judge::Judge, metrics::labels::Labels};

impl Kind {
    /// Counters: name, help, labels beside those of the context.
    fn counters(self, switches: Switches) -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
        match self {
            Self::Dns | Self::Http | Self::HttpV2 | Self::Kafka => l7::counters(self, switches),
            _ => l4::counters(self, switches),
        }
    }

    /// A histogram of seconds, likewise.
    fn durations(self) -> Option<(&'static str, &'static str, Vec<&'static str>)> {
        l7::durations(self)
    }
}

/// The metrics of a handler.
#[derive(Debug)]
pub(super) struct Families {
    counters: Vec<Family<Counter>>,
    durations: Option<Family<Durations>>,
}

/// One metric at work.
#[derive(Debug)]
pub(super) struct Handler {
    setting: Setting,
    judge: Judge,
    families: Families,
}

/// A flow that a metric looks at.
struct Counted<'a> {
    flow: &'a Flow,
    setting: &'a Setting,
    families: &'a mut Families,
    labels: &'a mut Labels,
}

impl Counted<'_> {
    /// Puts the labels of the context.
    fn context(&mut self, is_turned: bool) {
        self.labels.clear();
        self.setting.context.put(self.flow, is_turned, self.labels);
    }

    /// Counts the flow with the labels that are there in one of the counters.
    fn count(&mut self, counter: usize, trace: &str) {
        if let Some(family) = self.families.counters.get_mut(counter) {
            family.count(self.labels, |counter| counter.add(trace));
        }
    }

    fn observe(&mut self, seconds: f64, trace: &str) {
        if let Some(family) = &mut self.families.durations {
            family.count(self.labels, |durations| durations.add(seconds, trace));
        }
    }
}

impl Handler {
    /// Begins with no series; each family gets at most so many.
    ///
    /// # Errors
    ///
    /// A filter that cannot be compiled.
    pub(super) fn new(setting: Setting, most: usize) -> Result<Self, FilterError> {
        let judge = Judge::new(&setting.include, &setting.exclude)?;
        let names = |own: Vec<&'static str>| {
            let mut names = setting.context.names();
            names.extend(own);
            names
        };
        let counters = setting.kind.counters(setting.switches).into_iter();
        let counters = counters.map(|(name, help, own)| Family::new(name, help, names(own), most));
        let durations = setting.kind.durations();
        let families = Families {
            counters: counters.collect(),
            durations: durations.map(|(name, help, own)| Family::new(name, help, names(own), most)),
        };
        Ok(Self {
            setting,
            judge,
            families,
        })
    }

    pub(super) fn setting(&self) -> &Setting {
        &self.setting
    }

    /// Goes on with the filters of another, its series kept.
    pub(super) fn with_filters_of(self, other: Self) -> Self {
        Self {
            judge: other.judge.instead_of(&self.judge),
            setting: other.setting,
            ..self
        }
    }

    /// Counts the flow, if it is one that it counts.
    pub(super) fn see(&mut self, flow: &Flow, labels: &mut Labels) {
        let kind = self.setting.kind;
        let is_l7 = matches!(kind, Kind::Dns | Kind::Http | Kind::HttpV2 | Kind::Kafka);
        let is_wanted = match is_l7 {
            true => l7::is_wanted(kind, self.setting.switches, flow),
            false => l4::is_wanted(kind, self.setting.switches, flow),
        };
        if !is_wanted || !self.judge.passes(flow) {
            return;
        }
        let counted = Counted {
            flow,
            setting: &self.setting,
            families: &mut self.families,
            labels,
        };
        match is_l7 {
            true => l7::count(counted),
            false => l4::count(counted),
        }
    }

    /// Removes the series of endpoints.
    pub(super) fn forget(&mut self, gone: &HashSet<Named>) {
        let context = &self.setting.context;
        let is_gone = |names: &[&'static str], values: &[&str]| {
            let mut sides = context.endpoints(names, values);
            sides.any(|(namespace, name)| gone.contains(&(namespace.to_owned(), name.to_owned())))
        };
        for family in &mut self.families.counters {
            family.remove(is_gone);
        }
        if let Some(family) = &mut self.families.durations {
            family.remove(is_gone);
        }
    }

    /// Puts its metrics on the page.
    pub(super) fn encode(&self, page: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for family in &self.families.counters {
            family.encode(page)?;
        }
        match &self.families.durations {
            Some(family) => family.encode(page),
            None => Ok(()),
        }
    }

    /// Its metrics: name, series, flows that found no room for one.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (&'static str, usize, u64)> {
        let counters = self.families.counters.iter();
        let counters = counters.map(|family| (family.name, family.len(), family.overflowed()));
        let durations = self.families.durations.iter();
        counters.chain(durations.map(|family| (family.name, family.len(), family.overflowed())))
    }

    /// Flows that took too long to judge.
    pub(super) fn overruns(&self) -> u64 {
        self.judge.overruns()
    }
}
