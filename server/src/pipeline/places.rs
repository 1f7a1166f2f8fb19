//! Interfaces and observation points of events, as flows carry them.
//!
//! Each is made once for a snapshot of the interfaces and remembered by its
//! number, so that an event costs look-ups of numbers alone. Bound: 65,536
//! sets of points; a full table is cleared.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use sextant_ebpf_common::{Event, POINTS, interface_parts, point_parts};

use crate::{
    datapath::{Links, Role},
    flow::{Interface, Interned, Interners, Points},
};

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
            let place = (self.interface(number, interners).0, egress);
            if !points.contains(&place) {
                points.push(place);
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
