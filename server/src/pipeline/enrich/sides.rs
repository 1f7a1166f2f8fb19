//! Who is on both sides of a flow, and which of them is on this host: by its
//! addresses, by the inventory, else by the interfaces of containers that the flow
//! passes. Pure.

use std::net::IpAddr;

use sextant_ebpf_common::{Event, point_parts};
use sextant_proto::flow as pb;

use crate::{
    flow::{Endpoint, Interface, Interned},
    identity::{Snapshot, reserved},
    pipeline::places::Places,
    process::Known,
};

/// Both endpoints, and which of them is on this host.
pub(super) struct Sides {
    pub(super) source: Interned<Endpoint>,
    pub(super) destination: Interned<Endpoint>,
    source_is_local: Option<bool>,
}

impl Sides {
    pub(super) fn resolve(
        source: IpAddr,
        destination: IpAddr,
        interface: &Interface,
        egress: bool,
        is_reply: bool,
        identities: &Snapshot,
        [source_process, destination_process]: &[Option<Known>; 2],
    ) -> Self {
        let (source, source_is_host) = identities.look_up(source);
        let (destination, destination_is_host) = identities.look_up(destination);
        let mut sides = Self {
            source: found(source, source_process.as_ref()),
            destination: found(destination, destination_process.as_ref()),
            source_is_local: None,
        };
        // What is behind an interface sends into it and receives out of it.
        let behind = identities
            .behind(&interface.name)
            .filter(|_| interface.namespace.is_empty());
        if let Some(behind) = behind {
            let side = if egress {
                &mut sides.destination
            } else {
                &mut sides.source
            };
            if Snapshot::is_world(side) {
                *side = behind.clone();
            }
        }
        sides.source_is_local = if behind.is_some() {
            Some(!egress)
        } else {
            match (source_is_host, destination_is_host) {
                // Within the host: as its initiator sees it.
                (true, true) => Some(!is_reply),
                (true, false) => Some(true),
                (false, true) => Some(false),
                (false, false) => match (sides.source.id != 0, sides.destination.id != 0) {
                    (true, false) => Some(true),
                    (false, true) => Some(false),
                    // What has a process has a socket, and is on this host.
                    _ => match (source_process.is_some(), destination_process.is_some()) {
                        (true, true) => Some(!is_reply),
                        (true, false) => Some(true),
                        (false, true) => Some(false),
                        (false, false) => None,
                    },
                },
            }
        };
        sides
    }

    /// Where the addresses leave it open, by whether source and destination are
    /// behind an interface of this host.
    pub(super) fn or_by_points(
        mut self,
        behind: impl FnOnce() -> (bool, bool),
        is_reply: bool,
    ) -> Self {
        self.source_is_local = self.source_is_local.or_else(|| match behind() {
            // Within the host, as above.
            (true, true) => Some(!is_reply),
            (true, false) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        });
        self
    }

    /// The connection's direction as its local endpoint sees it: the answers of
    /// an egress connection are egress too.
    pub(super) fn direction(&self, is_reply: bool) -> pb::TrafficDirection {
        match self.source_is_local {
            None => pb::TrafficDirection::Unknown,
            Some(local) if local != is_reply => pb::TrafficDirection::Egress,
            Some(_) => pb::TrafficDirection::Ingress,
        }
    }
}

/// The endpoint of an address, unless nobody but the process tells who it is.
fn found(known: &Interned<Endpoint>, process: Option<&Known>) -> Interned<Endpoint> {
    let is_open = Snapshot::is_world(known) || known.identity == reserved::HOST;
    let found = process.and_then(|process| process.endpoint.as_ref());
    found.filter(|_| is_open).unwrap_or(known).clone()
}

/// Whether source and destination are behind an interface of a container, as the
/// points tell that count: who is behind one sends into it and receives out of it.
/// `at_endpoint`: the event's own point is at such an interface.
pub(super) fn behind_interfaces(event: &Event, at_endpoint: bool, places: &Places) -> (bool, bool) {
    let direction = usize::from(event.direction & 1);
    let there = event.owner[direction];
    let back = event.owner[1 - direction];
    let (mut source, mut destination) = (false, false);
    let mut look = |point: u32, is_back: bool| {
        let (number, egress) = point_parts(point);
        let is_endpoint = match point {
            0 => false,
            own if own == event.point => at_endpoint,
            _ => places.is_endpoint(number),
        };
        if is_endpoint {
            // In at the sender's, out at the receiver's; the other way on the way back.
            let side = if egress == is_back {
                &mut source
            } else {
                &mut destination
            };
            *side = true;
        }
    };
    look(event.point, false);
    look(there, false);
    look(back, true);
    (source, destination)
}
