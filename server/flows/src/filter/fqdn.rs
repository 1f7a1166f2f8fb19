//! DNS names of the two sides, the node's name, and the query of DNS flows.

use pb::layer7::Record;
use sextant_proto::flow as pb;

use super::{
    Checks, FilterError, Side,
    pattern::{Glob, NodePattern},
    regexp::some_matches,
};
use crate::flow::sketch::Application;

/// Bytes that are compared in a step.
const BYTES_A_STEP: usize = 16;

/// Compiles `source_fqdn`, `destination_fqdn` and `dns_query`.
pub(super) fn compile(filter: &pb::FlowFilter, checks: &mut Checks) -> Result<(), FilterError> {
    for (side, field, patterns) in [
        (Side::Source, "source_fqdn", &filter.source_fqdn),
        (
            Side::Destination,
            "destination_fqdn",
            &filter.destination_fqdn,
        ),
    ] {
        if !patterns.is_empty() {
            checks.budget.names(field, patterns)?;
            let globs: Result<Vec<_>, _> = patterns.iter().map(|p| Glob::compile(p)).collect();
            let globs = globs?;
            let path = checks.budget.path(field, 0);
            let bytes: usize = patterns.iter().map(String::len).sum();
            checks.names(side, move |names, meter| {
                names.iter().any(|name| {
                    // Each pattern and the name are read once.
                    let read = bytes + globs.len() * name.len();
                    if meter.spend(read / BYTES_A_STEP).is_err() {
                        meter.blame(&path);
                        return false;
                    }
                    globs.iter().any(|glob| glob.matches(name))
                })
            });
        }
    }
    compile_dns_query(filter, checks)
}

fn compile_dns_query(filter: &pb::FlowFilter, checks: &mut Checks) -> Result<(), FilterError> {
    if filter.dns_query.is_empty() {
        return Ok(());
    }
    checks.forbidden.only_applications(&[Application::Dns]);
    let wrong = |_: &str, error| FilterError::DnsQuery(error);
    let patterns = checks
        .budget
        .regexps("dns_query", &filter.dns_query, wrong)?;
    checks.costly(
        move |flow, meter| match flow.l7().and_then(|l7| l7.record.as_ref()) {
            Some(Record::Dns(dns)) => some_matches(&patterns, &dns.query, meter),
            _ => false,
        },
    );
    Ok(())
}

/// Compiles `node_name`.
pub(super) fn compile_node(
    filter: &pb::FlowFilter,
    checks: &mut Checks,
) -> Result<(), FilterError> {
    if filter.node_name.is_empty() {
        return Ok(());
    }
    checks.budget.names("node_name", &filter.node_name)?;
    let patterns = filter.node_name.iter().map(|p| NodePattern::compile(p));
    let patterns: Vec<_> = patterns.collect::<Result<_, _>>()?;
    checks.origin(move |origin| patterns.iter().any(|p| p.matches(&origin.node_name)));
    Ok(())
}
