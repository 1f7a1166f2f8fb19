//! DNS names of the two sides, the node's name, and the query of DNS flows.

use pb::layer7::Record;
use sextant_proto::flow as pb;

use super::{
    Checks, FilterError, Side,
    pattern::{Glob, NodePattern},
    regexp::Regexp,
};
use crate::flow::sketch::Application;

/// Compiles `source_fqdn`, `destination_fqdn` and `dns_query`.
pub(super) fn compile(filter: &pb::FlowFilter, checks: &mut Checks) -> Result<(), FilterError> {
    for (side, patterns) in [
        (Side::Source, &filter.source_fqdn),
        (Side::Destination, &filter.destination_fqdn),
    ] {
        if !patterns.is_empty() {
            let globs: Result<Vec<_>, _> = patterns.iter().map(|p| Glob::compile(p)).collect();
            let globs = globs?;
            checks.names(side, move |names| {
                names
                    .iter()
                    .any(|name| globs.iter().any(|glob| glob.matches(name)))
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
    let patterns = filter.dns_query.iter().map(|p| Regexp::compile(p));
    let patterns: Vec<_> = patterns
        .collect::<Result<_, _>>()
        .map_err(FilterError::DnsQuery)?;
    checks.costly(
        move |flow| match flow.l7().and_then(|l7| l7.record.as_ref()) {
            Some(Record::Dns(dns)) => patterns.iter().any(|p| p.is_match(&dns.query)),
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
    let patterns = filter.node_name.iter().map(|p| NodePattern::compile(p));
    let patterns: Vec<_> = patterns.collect::<Result<_, _>>()?;
    checks.origin(move |origin| patterns.iter().any(|p| p.matches(&origin.node_name)));
    Ok(())
}
