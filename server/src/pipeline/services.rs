//! Which service of this host a flow is of: by the port that was called.

use std::net::SocketAddr;

use sextant_ebpf_common as common;
use sextant_proto::flow as pb;

use super::enrich;
use crate::{
    flow::{Endpoint, Flow},
    identity::Snapshot,
    services::Services,
};

/// Tells the service behind the port of this host that is called, if there is one.
/// `called` is where the client called if its packets were sent on.
pub(super) fn mark(
    flow: &mut Flow,
    event: &common::Event,
    called: Option<SocketAddr>,
    services: &Services,
    identities: &Snapshot,
) {
    // The loopback of another namespace is another's.
    let is_elsewhere = |flow: &Flow| {
        let interface = flow.interface.as_ref();
        interface.is_some_and(|interface| !interface.namespace.is_empty())
    };
    if services.is_empty() || is_elsewhere(flow) {
        return;
    }
    let (source, destination) = enrich::addresses(event);
    let is_from_client = flow.is_reply == Some(false);
    let (address, port) = match is_from_client {
        true => (destination, event.destination_port),
        false => (source, event.source_port),
    };
    let at = called.unwrap_or_else(|| SocketAddr::new(address, port));
    let is_host = identities.look_up(at.ip()).1;
    let counters = flow.counters.as_deref();
    let process = counters.and_then(|counters| match is_from_client {
        true => counters.destination_process.as_deref(),
        false => counters.source_process.as_deref(),
    });
    let answering = process.and_then(|process| process.uid);
    let published = match is_host {
        true => services.find(event.protocol, at, answering),
        false => None,
    };
    let of_cluster = services.of_cluster(event.protocol, at, is_host);
    let published = of_cluster.or(published);
    if let Some(service) = published {
        tell(flow, Box::new(service.clone()), is_from_client);
    } else if process.is_none() || called.is_some() {
        // A process that answers itself was not led to.
        by_rule(
            flow,
            (event.protocol, at, is_host),
            is_from_client,
            services,
            identities,
        );
    }
}

/// By a rule of the firewall, as long as nothing better is known.
fn by_rule(
    flow: &mut Flow,
    (protocol, at, is_host): (u8, SocketAddr, bool),
    is_from_client: bool,
    services: &Services,
    identities: &Snapshot,
) {
    let cold = flow.cold.as_deref();
    let known = cold.and_then(|cold| match is_from_client {
        true => cold.destination_service.as_ref(),
        false => cold.source_service.as_ref(),
    });
    if known.is_some() {
        return;
    }
    let Some(to) = services.forwarded(protocol, at, is_host) else {
        return;
    };
    let container = services.at(to).cloned().map(Box::new);
    if let Some(service) = container.or_else(|| service(identities.resolve(to))) {
        tell(flow, service, is_from_client);
    }
}

/// An endpoint with a name as the service that it is for those who call it.
pub(super) fn service(known: &Endpoint) -> Option<Box<pb::Service>> {
    (!known.pod_name.is_empty()).then(|| {
        Box::new(pb::Service {
            name: known.pod_name.clone(),
            namespace: known.namespace.clone(),
        })
    })
}

/// Puts a service at the side of the server.
pub(super) fn tell(flow: &mut Flow, service: Box<pb::Service>, is_from_client: bool) {
    let cold = flow.cold_mut();
    match is_from_client {
        true => cold.destination_service = Some(service),
        false => cold.source_service = Some(service),
    }
}
