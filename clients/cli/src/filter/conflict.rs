//! Flags and names that cannot go together.

use sextant_proto::flow::FlowFilter;

use super::FilterError;

/// Of each group only one may be given.
const GROUPS: [&[&str]; 18] = [
    &[
        "from-fqdn",
        "from-ip",
        "ip",
        "fqdn",
        "from-namespace",
        "namespace",
        "from-all-namespaces",
        "all-namespaces",
    ],
    &["from-fqdn", "from-ip", "ip", "fqdn", "from-pod", "pod"],
    &[
        "to-fqdn",
        "to-ip",
        "ip",
        "fqdn",
        "to-namespace",
        "namespace",
        "to-all-namespaces",
        "all-namespaces",
    ],
    &["to-fqdn", "to-ip", "ip", "fqdn", "to-pod", "pod"],
    &["to-pod", "namespace", "all-namespaces"],
    &["from-pod", "namespace", "all-namespaces"],
    &["to-service", "namespace", "all-namespaces"],
    &["from-service", "namespace", "all-namespaces"],
    &["label", "from-label"],
    &["label", "to-label"],
    &["service", "from-service"],
    &["service", "to-service"],
    &["port", "to-port"],
    &["port", "from-port"],
    &["identity", "to-identity"],
    &["identity", "from-identity"],
    &["workload", "to-workload"],
    &["workload", "from-workload"],
];
const PAIRS: [&[&str]; 2] = [&["encrypted", "unencrypted"], &["reply", "not-reply"]];

/// Fails if two of the flags exclude each other.
pub(super) fn flags(given: &[&'static str]) -> Result<(), FilterError> {
    for group in GROUPS.iter().chain(&PAIRS) {
        let mut members = group.iter().filter(|flag| given.contains(flag));
        if let (Some(one), Some(other)) = (members.next(), members.next()) {
            return Err(FilterError::Combined { one, other });
        }
    }
    Ok(())
}

/// Namespaces that were asked for on their own.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    /// Of either side.
    pub(super) either: Vec<String>,
    /// Of the sender.
    pub(super) source: Vec<String>,
    /// Of the receiver.
    pub(super) destination: Vec<String>,
}

/// Fails if a name is in another namespace than the one that was asked for, or a
/// service in another than the endpoint.
pub(super) fn names(namespaces: &Namespaces, filter: &FlowFilter) -> Result<(), FilterError> {
    let source = [&filter.source_pod, &filter.source_service];
    let destination = [&filter.destination_pod, &filter.destination_service];
    for names in source.iter().chain(&destination) {
        within(&namespaces.either, names)?;
    }
    for names in source {
        within(&namespaces.source, names)?;
    }
    for names in destination {
        within(&namespaces.destination, names)?;
    }
    consistent(source)?;
    consistent(destination)
}

fn within(namespaces: &[String], names: &[String]) -> Result<(), FilterError> {
    for namespace in namespaces {
        for name in names {
            let own = namespace_of(name);
            if !own.is_empty() && own != namespace {
                return Err(FilterError::Namespace {
                    namespace: namespace.clone(),
                    name: name.clone(),
                });
            }
        }
    }
    Ok(())
}

fn consistent([pods, services]: [&Vec<String>; 2]) -> Result<(), FilterError> {
    for pod in pods.iter().filter(|pod| !namespace_of(pod).is_empty()) {
        if let Some(service) = services
            .iter()
            .find(|service| namespace_of(service) != namespace_of(pod))
        {
            return Err(FilterError::Service {
                service: service.clone(),
                pod: pod.clone(),
            });
        }
    }
    Ok(())
}

fn namespace_of(name: &str) -> &str {
    name.split_once('/').map_or("", |(namespace, _)| namespace)
}
