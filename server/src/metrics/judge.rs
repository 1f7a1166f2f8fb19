//! Filters of a metric, which judge flows for as long as the daemon runs.

use sextant_flows::filter::{FilterError, Filters};
use sextant_proto::flow::FlowFilter;

use crate::flow::Flow;

/// The filters, and what they were compiled from.
#[derive(Debug, Default)]
pub(super) struct Judge {
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
    pub(super) fn new(include: &[FlowFilter], exclude: &[FlowFilter]) -> Result<Self, FilterError> {
        Ok(Self {
            filters: Filters::compile(include, exclude)?,
            include: include.to_vec(),
            exclude: exclude.to_vec(),
            overruns: 0,
        })
    }

    /// Takes the place of another, whose count goes on.
    pub(super) fn instead_of(self, before: &Self) -> Self {
        Self {
            overruns: before.overruns,
            ..self
        }
    }

    /// Whether it lets the flow pass.
    pub(super) fn passes(&mut self, flow: &Flow) -> bool {
        if self.filters.is_empty() {
            return true;
        }
        if let Ok(passes) = self.filters.matches(flow) {
            return passes;
        }
        self.overruns += 1;
        // Steps of a request are for one that ends; this one goes on. What was compiled
        // once can be compiled again.
        if let Ok(filters) = Filters::compile(&self.include, &self.exclude) {
            self.filters = filters;
        }
        false
    }

    /// Flows that took too long to judge.
    pub(super) fn overruns(&self) -> u64 {
        self.overruns
    }
}
