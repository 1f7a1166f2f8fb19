//! Filters that judge flows for as long as the daemon runs: of metrics and exporters.
//!
//! Not of requests, which end when they took too much.

use sextant_flows::filter::{FilterError, Filters};
use sextant_proto::flow::FlowFilter;

use crate::flow::{Flow, sketch::Sieve};

/// The filters, and what they were compiled from.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    include: Vec<FlowFilter>,
    exclude: Vec<FlowFilter>,
    filters: Filters,
    /// Flows that took too long to judge, which count as not matching.
    overruns: u64,
}

impl Judge {
    /// Compiles both lists.
    ///
    /// # Errors
    ///
    /// A filter that cannot be compiled.
    pub(crate) fn new(include: &[FlowFilter], exclude: &[FlowFilter]) -> Result<Self, FilterError> {
        Ok(Self {
            filters: Filters::compile_own(include, exclude)?,
            include: include.to_vec(),
            exclude: exclude.to_vec(),
            overruns: 0,
        })
    }

    /// Takes the place of another, whose count goes on.
    pub(crate) fn instead_of(self, before: &Self) -> Self {
        Self {
            overruns: before.overruns,
            ..self
        }
    }

    /// Holds back flows that cannot pass.
    pub(crate) fn sieve(&self) -> &Sieve {
        self.filters.sieve()
    }

    /// Whether it lets the flow pass; not one that it took too long to judge.
    pub(crate) fn passes(&mut self, flow: &Flow) -> bool {
        self.judge(flow).unwrap_or(false)
    }

    /// Whether the flow passes; nothing if that took too long.
    pub(crate) fn judge(&mut self, flow: &Flow) -> Option<bool> {
        if self.filters.is_empty() {
            return Some(true);
        }
        if let Ok(passes) = self.filters.matches(flow) {
            return Some(passes);
        }
        self.overruns += 1;
        // Steps of a request are for one that ends; this one goes on. What was compiled
        // once can be compiled again.
        if let Ok(filters) = Filters::compile_own(&self.include, &self.exclude) {
            self.filters = filters;
        }
        None
    }

    /// Flows that took too long to judge.
    pub(crate) fn overruns(&self) -> u64 {
        self.overruns
    }
}
