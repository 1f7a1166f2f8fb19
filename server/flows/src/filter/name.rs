//! Pods, services and clusters by name.

use sextant_proto::flow as pb;

use super::{Checks, FilterError, Side};
use crate::flow::{Endpoint, Flow};

/// `namespace/prefix-of-name`; an empty part stands for any.
#[derive(Debug)]
struct NamePattern {
    namespace: String,
    prefix: String,
}

impl NamePattern {
    /// `name` is in the namespace `default`; parts after a second slash are ignored.
    fn compile(name: &str) -> Result<Self, FilterError> {
        if name.is_empty() {
            return Err(FilterError::EmptyName);
        }
        let mut parts = name.split('/');
        let first = parts.next().unwrap_or_default();
        let (namespace, prefix) = match parts.next() {
            Some(prefix) => (first, prefix),
            None => ("default", first),
        };
        Ok(Self {
            namespace: namespace.into(),
            prefix: prefix.into(),
        })
    }

    fn matches(&self, namespace: &str, name: &str) -> bool {
        name.starts_with(&self.prefix) && (self.namespace.is_empty() || self.namespace == namespace)
    }
}

/// Patterns of which one must match.
#[derive(Debug)]
struct NamePatterns(Vec<NamePattern>);

impl NamePatterns {
    fn compile(names: &[String]) -> Result<Self, FilterError> {
        let patterns: Result<_, _> = names.iter().map(|n| NamePattern::compile(n)).collect();
        patterns.map(Self)
    }

    /// The namespaces in which something can match; none if in any.
    fn namespaces(&self) -> Option<impl Iterator<Item = &str>> {
        let is_any = self.0.iter().any(|pattern| pattern.namespace.is_empty());
        (!is_any).then(|| self.0.iter().map(|pattern| pattern.namespace.as_str()))
    }

    /// Something without namespace and name matches nothing.
    fn matches(&self, namespace: &str, name: &str) -> bool {
        let named = !(namespace.is_empty() && name.is_empty());
        named && self.0.iter().any(|p| p.matches(namespace, name))
    }
}

/// Compiles `source_pod` and `destination_pod`.
pub(super) fn compile_pods(
    filter: &pb::FlowFilter,
    checks: &mut Checks,
) -> Result<(), FilterError> {
    for (side, names) in [
        (Side::Source, &filter.source_pod),
        (Side::Destination, &filter.destination_pod),
    ] {
        if !names.is_empty() {
            let patterns = NamePatterns::compile(names)?;
            if let Some(namespaces) = patterns.namespaces() {
                match side {
                    Side::Source => checks.forbidden.only_sources(namespaces),
                    Side::Destination => checks.forbidden.only_destinations(namespaces),
                }
            }
            checks.endpoint(side, move |endpoint: &Endpoint| {
                patterns.matches(&endpoint.namespace, &endpoint.pod_name)
            });
        }
    }
    Ok(())
}

/// Compiles `source_service` and `destination_service`.
pub(super) fn compile_services(
    filter: &pb::FlowFilter,
    checks: &mut Checks,
) -> Result<(), FilterError> {
    for (side, names) in [
        (Side::Source, &filter.source_service),
        (Side::Destination, &filter.destination_service),
    ] {
        if !names.is_empty() {
            let patterns =
                NamePatterns::compile(names).map_err(|_| FilterError::EmptyService(side))?;
            checks.plain(move |flow| {
                service(flow, side)
                    .is_some_and(|service| patterns.matches(&service.namespace, &service.name))
            });
        }
    }
    Ok(())
}

fn service(flow: &Flow, side: Side) -> Option<&pb::Service> {
    let cold = flow.cold.as_deref()?;
    match side {
        Side::Source => cold.source_service.as_deref(),
        Side::Destination => cold.destination_service.as_deref(),
    }
}

/// Compiles `source_cluster_name` and `destination_cluster_name`.
pub(super) fn compile_clusters(
    filter: &pb::FlowFilter,
    checks: &mut Checks,
) -> Result<(), FilterError> {
    for (side, names) in [
        (Side::Source, &filter.source_cluster_name),
        (Side::Destination, &filter.destination_cluster_name),
    ] {
        if names.iter().any(String::is_empty) {
            return Err(FilterError::EmptyName);
        }
        if !names.is_empty() {
            let names = names.clone();
            checks.endpoint(side, move |endpoint: &Endpoint| {
                names.contains(&endpoint.cluster_name)
            });
        }
    }
    Ok(())
}
