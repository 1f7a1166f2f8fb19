//! Interfaces and observation points of events, as flows carry them.
//!
//! Each is made once for a snapshot of the interfaces and remembered by its
//! number, so that an event costs look-ups of numbers alone. Bound: 65,536
//! sets of points; a full table is cleared.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use sextant_ebpf_common::{Event, POINTS, interface_parts, point_parts};
use sextant_proto::flow as pb;

use crate::{
    datapath::{Links, Role},
    flow::{Interface, Interned, Interners, Point, Points},
};

/// Where in Hubble's terms a packet is that is seen at an interface.
pub(super) fn observation_point(role: Role, egress: bool) -> pb::TraceObservationPoint {
    use pb::TraceObservationPoint as Point;
    match (role, egress) {
        (Role::Loopback, true) => Point::FromHost,
        (Role::Loopback, false) => Point::ToHost,
        (Role::Endpoint, true) => Point::ToEndpoint,
        (Role::Endpoint, false) => Point::FromEndpoint,
        (Role::Bridge, true) => Point::FromStack,
        (Role::Bridge, false) => Point::ToStack,
        (Role::Overlay, true) => Point::ToOverlay,
        (Role::Overlay, false) => Point::FromOverlay,
        (Role::Network, true) => Point::ToNetwork,
        (Role::Network, false) => Point::FromNetwork,
    }
}

/// The sub-type of the trace event of a point.
pub(super) fn trace_sub_type(point: pb::TraceObservationPoint) -> i32 {
    match point {
        // The one number that differs from the enum's.
        pb::TraceObservationPoint::ToEndpoint => 0,
        other => other.into(),
    }
}

/// Sets of points that are remembered at most.
const CAPACITY: usize = 65_536;

/// The points that count, then the others; 0 where there is none.
type PointNumbers = [u32; 2 + POINTS];

/// What is known of interfaces and points.
#[derive(Default)]
pub(super) struct Places {
    links: Arc<Links>,
    interfaces: FxHashMap<u32, (Interned<Interface>, Role)>,
    points: FxHashMap<PointNumbers, Option<Interned<Points>>>,
}

impl Places {
    /// Forgets what other interfaces than these were.
    pub(super) fn follow(&mut self, links: Arc<Links>) {
        if !Arc::ptr_eq(&self.links, &links) {
            self.links = links;
            self.interfaces.clear();
            self.points.clear();
        }
    }

    /// The interface with this number and what it is for.
    pub(super) fn interface(
        &mut self,
        number: u32,
        interners: &mut Interners,
    ) -> (Interned<Interface>, Role) {
        let links = &self.links;
        let known = self.interfaces.entry(number).or_insert_with(|| {
            // An interface that is gone already keeps its index.
            let link = links.get(number);
            let namespace = link.and_then(|link| link.namespace.as_ref());
            let interface = interners.interfaces.intern(Interface {
                index: interface_parts(number).1,
                name: link.map(|link| link.name.clone()).unwrap_or_default(),
                namespace: namespace
                    .map(|namespace| namespace.name.clone())
                    .unwrap_or_default(),
            });
            (interface, link.map_or(Role::Network, |link| link.role))
        });
        known.clone()
    }

    /// Whether the interface with this number leads to a container.
    pub(super) fn is_endpoint(&self, number: u32) -> bool {
        let role = match self.interfaces.get(&number) {
            Some((_, role)) => Some(*role),
            None => self.links.get(number).map(|link| link.role),
        };
        role == Some(Role::Endpoint)
    }

    /// All points at which the flow of an event was seen, each once.
    pub(super) fn points(
        &mut self,
        event: &Event,
        interners: &mut Interners,
    ) -> Option<Interned<Points>> {
        let mut numbers = [0; 2 + POINTS];
        numbers[..2].copy_from_slice(&event.owner);
        numbers[2..].copy_from_slice(&event.points);
        if let Some(known) = self.points.get(&numbers) {
            return known.clone();
        }
        let mut points = Vec::new();
        for point in numbers.into_iter().filter(|point| *point != 0) {
            let (number, egress) = point_parts(point);
            let (interface, role) = self.interface(number, interners);
            let point = Point {
                interface,
                egress,
                sub_type: trace_sub_type(observation_point(role, egress)),
            };
            if !points.contains(&point) {
                points.push(point);
            }
        }
        let points = (!points.is_empty()).then(|| interners.points.intern(Points(points)));
        if self.points.len() >= CAPACITY {
            self.points.clear();
        }
        self.points.insert(numbers, points.clone());
        points
    }
}
