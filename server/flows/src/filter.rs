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
//! allocation. Bound: `bounds` for what is asked, `budget` for what compiling it
//! takes, `meter` for what judging a flow does. Never awaits, locks, logs or
//! touches the system.

mod address;
pub mod bounds;
pub mod budget;
mod cel;
mod checks;
mod error;
mod event;
mod fqdn;
mod http;
mod label;
mod memo;
pub mod meter;
mod name;
mod netip;
mod pattern;
mod regexp;
mod set;
mod side;
mod text;
mod transport;
mod uri;
mod verdict;
mod workload;

#[cfg(test)]
mod tests;

use std::fmt;

use prost::Message;
use sextant_proto::flow as pb;

use crate::flow::{
    Flow,
    sketch::{Forbidden, Sieve},
};

pub use bounds::Excess;
use budget::Budget;
use checks::{Check, Checks};
pub use error::{FilterError, HttpField, PortError};
pub use label::LabelError;
use memo::Share;
pub use meter::Overrun;
use meter::{Meter, REQUEST_STEPS, STEPS_A_FLOW};
pub use pattern::Glob;
pub use regexp::RegexpError;
pub use side::Side;

/// Filters or values from which on judging takes long.
const MANY: usize = 256;
/// Bytes of both lists up to which compiling takes some microseconds.
const USUAL_BYTES: usize = 1024;

/// Whether compiling these lists may take milliseconds.
#[must_use]
pub fn are_dear(whitelist: &[pb::FlowFilter], blacklist: &[pb::FlowFilter]) -> bool {
    let mut all = whitelist.iter().chain(blacklist);
    let is_dear = |filter: &pb::FlowFilter| {
        filter.experimental.is_some()
            || !filter.http_path.is_empty()
            || !filter.http_url.is_empty()
            || !filter.dns_query.is_empty()
    };
    let bytes = |list: &[pb::FlowFilter]| -> usize { list.iter().map(Message::encoded_len).sum() };
    all.any(is_dear) || bytes(whitelist) + bytes(blacklist) > USUAL_BYTES
}

/// The compiled whitelist and blacklist of a request.
pub struct Filters {
    whitelist: Vec<Filter>,
    blacklist: Vec<Filter>,
    sieve: Sieve,
    is_slow: bool,
    weight: usize,
    /// Steps that the request may still take.
    steps: i64,
}

impl Default for Filters {
    fn default() -> Self {
        Self {
            whitelist: Vec::new(),
            blacklist: Vec::new(),
            sieve: Sieve::default(),
            is_slow: false,
            weight: 0,
            steps: REQUEST_STEPS as i64,
        }
    }
}

impl Filters {
    /// Compiles both lists, the whitelist first. The first mistake is reported.
    ///
    /// # Errors
    /// A value that cannot be compiled; the text is Hubble's. `Excess` where it
    /// is too much.
    pub fn compile(
        whitelist: &[pb::FlowFilter],
        blacklist: &[pb::FlowFilter],
    ) -> Result<Self, FilterError> {
        Self::compile_with(whitelist, blacklist, Share::default())
    }

    /// As `compile`, for filters of the daemon itself: what they remember is bounded by
    /// their number, and no request takes any of it.
    ///
    /// # Errors
    /// As `compile`.
    pub fn compile_own(
        whitelist: &[pb::FlowFilter],
        blacklist: &[pb::FlowFilter],
    ) -> Result<Self, FilterError> {
        Self::compile_with(whitelist, blacklist, Share::own())
    }

    fn compile_with(
        whitelist: &[pb::FlowFilter],
        blacklist: &[pb::FlowFilter],
        share: Share,
    ) -> Result<Self, FilterError> {
        let values = bounds::check(whitelist, blacklist)?;
        let mut budget = Budget::new(whitelist.len() + blacklist.len(), share);
        let mut compile = |list, filters: &[pb::FlowFilter]| -> Result<Vec<_>, FilterError> {
            let each = filters.iter().enumerate().map(|(index, filter)| {
                budget.begin(list, index);
                Filter::compile(filter, &mut budget)
            });
            each.collect()
        };
        let whitelist = compile("whitelist", whitelist)?;
        let blacklist = compile("blacklist", blacklist)?;
        let weight = budget.weight(whitelist.len() + blacklist.len(), values);
        let mut all = whitelist.iter().chain(&blacklist);
        Ok(Self {
            weight,
            is_slow: values > MANY || all.any(|filter| filter.is_costly),
            sieve: whitelist.iter().map(|filter| filter.forbidden).collect(),
            whitelist,
            blacklist,
            ..Self::default()
        })
    }

    /// About how many bytes they take for as long as they are there.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Whether one flow may take so long that a clock is worth a look after it.
    #[must_use]
    pub fn are_slow(&self) -> bool {
        self.is_slow
    }

    /// Holds back flows that cannot pass, and lets all pass that do.
    #[must_use]
    pub fn sieve(&self) -> &Sieve {
        &self.sieve
    }

    /// Whether the flow passes.
    ///
    /// # Errors
    /// Judging takes too much: neither is true, and the request has to end.
    pub fn matches(&mut self, flow: &Flow) -> Result<bool, Overrun> {
        let meter = Meter::default();
        let matches = |filters: &mut [Filter]| {
            filters
                .iter_mut()
                .any(|filter| filter.matches(flow, &meter))
        };
        let listed = self.whitelist.is_empty() || matches(&mut self.whitelist);
        let passes = listed && !matches(&mut self.blacklist);
        if meter.spent() > 0 {
            self.settle(&meter)?;
        }
        Ok(passes)
    }

    fn settle(&mut self, meter: &Meter) -> Result<(), Overrun> {
        if let Some(overrun) = meter.overrun() {
            return Err(overrun);
        }
        let left = self.steps + STEPS_A_FLOW as i64 - meter.spent() as i64;
        self.steps = left.min(REQUEST_STEPS as i64);
        match left < 0 {
            true => Err(Overrun::of_request()),
            false => Ok(()),
        }
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
            filters.iter().map(|filter| 1 + filter.rest.len()).collect()
        };
        f.debug_struct("Filters")
            .field("whitelist_checks", &checks(&self.whitelist))
            .field("blacklist_checks", &checks(&self.blacklist))
            .finish()
    }
}

/// One compiled filter: all checks must agree.
struct Filter {
    /// The cheapest, which says no to most flows.
    first: Check,
    rest: Vec<Check>,
    forbidden: Forbidden,
    is_costly: bool,
}

impl Filter {
    /// Compiles the fields in upstream's order, which decides what error is
    /// reported when there are several.
    fn compile(filter: &pb::FlowFilter, budget: &mut Budget) -> Result<Self, FilterError> {
        let mut checks = Checks::new(budget);
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
        let (forbidden, is_costly) = (checks.forbidden, checks.are_costly());
        let mut checks = checks.finish().into_iter();
        Ok(Self {
            forbidden,
            is_costly,
            first: checks.next().unwrap_or_else(|| Box::new(|_, _| true)),
            rest: checks.collect(),
        })
    }

    #[inline]
    fn matches(&mut self, flow: &Flow, meter: &Meter) -> bool {
        (self.first)(flow, meter) && self.rest.iter_mut().all(|check| check(flow, meter))
    }
}
