//! Flow filters: the whitelist and blacklist of a request, compiled.
//!
//! A flow passes if some filter of the whitelist matches it (or there is
//! none) and no filter of the blacklist does. A filter matches if all its
//! fields match; a field matches if one of its values does. Results and error
//! texts are those of Hubble v1.20. Not a query language: what a request says
//! is `flow.FlowFilter`, no more.
//!
//! Called by the observer and by exporters, once for each event. Whatever
//! depends on an interned value alone (labels, names, workloads) is judged
//! once for each value and remembered; common fields are compared without
//! allocation. Bound: 65,536 remembered verdicts for each side and filter; a
//! regular expression compiles to 10 MiB at most. Never awaits, locks, logs or
//! touches the system.

mod address;
mod cel;
mod checks;
mod error;
mod event;
mod fqdn;
mod http;
mod label;
mod memo;
mod name;
mod netip;
mod pattern;
mod regexp;
mod set;
mod text;
mod transport;
mod uri;
mod verdict;
mod workload;

#[cfg(test)]
mod tests;

use std::fmt;

use sextant_proto::flow as pb;

use crate::flow::{
    Flow,
    sketch::{Forbidden, Sieve},
};

pub use checks::Side;
use checks::{Check, Checks};
pub use error::{FilterError, HttpField, PortError};
pub use label::LabelError;
pub use regexp::RegexpError;

/// The compiled whitelist and blacklist of a request.
#[derive(Default)]
pub struct Filters {
    whitelist: Vec<Filter>,
    blacklist: Vec<Filter>,
    sieve: Sieve,
}

impl Filters {
    /// Compiles both lists, the whitelist first. The first mistake is reported.
    ///
    /// # Errors
    /// A value that cannot be compiled; the text is Hubble's.
    pub fn compile(
        whitelist: &[pb::FlowFilter],
        blacklist: &[pb::FlowFilter],
    ) -> Result<Self, FilterError> {
        let compile = |filters: &[pb::FlowFilter]| -> Result<Vec<_>, FilterError> {
            filters.iter().map(Filter::compile).collect()
        };
        let whitelist = compile(whitelist)?;
        Ok(Self {
            sieve: whitelist.iter().map(|filter| filter.forbidden).collect(),
            whitelist,
            blacklist: compile(blacklist)?,
        })
    }

    /// Holds back flows that cannot pass, and lets all pass that do.
    #[must_use]
    pub fn sieve(&self) -> &Sieve {
        &self.sieve
    }

    /// Whether the flow passes.
    pub fn matches(&mut self, flow: &Flow) -> bool {
        let listed =
            self.whitelist.is_empty() || self.whitelist.iter_mut().any(|f| f.matches(flow));
        listed && !self.blacklist.iter_mut().any(|f| f.matches(flow))
    }

    /// Whether every flow passes, since there is no filter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.whitelist.is_empty() && self.blacklist.is_empty()
    }
}

impl fmt::Debug for Filters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checks = |filters: &[Filter]| -> Vec<usize> {
            filters.iter().map(|filter| filter.checks.len()).collect()
        };
        f.debug_struct("Filters")
            .field("whitelist_checks", &checks(&self.whitelist))
            .field("blacklist_checks", &checks(&self.blacklist))
            .finish()
    }
}

/// One compiled filter: all checks must agree.
struct Filter {
    checks: Vec<Check>,
    forbidden: Forbidden,
}

impl Filter {
    /// Compiles the fields in upstream's order, which decides what error is
    /// reported when there are several.
    fn compile(filter: &pb::FlowFilter) -> Result<Self, FilterError> {
        let mut checks = Checks::default();
        event::compile_uuid(filter, &mut checks);
        event::compile_type(filter, &mut checks);
        verdict::compile(filter, &mut checks);
        verdict::compile_drop_reason(filter, &mut checks);
        verdict::compile_reply(filter, &mut checks);
        address::compile_encrypted(filter, &mut checks);
        event::compile_identity(filter, &mut checks);
        transport::compile_protocol(filter, &mut checks)?;
        address::compile(filter, &mut checks)?;
        name::compile_pods(filter, &mut checks)?;
        workload::compile(filter, &mut checks);
        name::compile_services(filter, &mut checks)?;
        fqdn::compile(filter, &mut checks)?;
        label::compile(filter, &mut checks)?;
        transport::compile_ports(filter, &mut checks)?;
        http::compile(filter, &mut checks)?;
        transport::compile_tcp_flags(filter, &mut checks);
        fqdn::compile_node(filter, &mut checks)?;
        name::compile_clusters(filter, &mut checks)?;
        address::compile_version(filter, &mut checks);
        event::compile_trace_id(filter, &mut checks);
        verdict::compile_direction(filter, &mut checks);
        cel::compile(filter, &mut checks)?;
        event::compile_interface(filter, &mut checks);
        event::compile_ip_trace_id(filter, &mut checks);
        Ok(Self {
            forbidden: checks.forbidden,
            checks: checks.finish(),
        })
    }

    fn matches(&mut self, flow: &Flow) -> bool {
        self.checks.iter_mut().all(|check| check(flow))
    }
}
