//! Classes of peers: those who are in the same lists, and whose ports have the same
//! numbers where rules name them, are of one.
//!
//! Bound: as many classes, and lists of classes, as there may be.

use rustc_hash::FxHashMap;
use sextant_ebpf_common::policy::HOST_CLASS;

use super::{Limits, TooLarge, World, peers::Lists, spots::BROAD};
use crate::endpoint::Endpoint;

/// What a class is told by: numbers of lists, then ports by their name, ascending.
pub(super) type Signature = Vec<u64>;

/// A port by its name, in a signature: above all numbers of lists.
const NAMED: u64 = 1 << 63;

/// All classes.
pub(super) struct Classes<'a> {
    lists: &'a Lists<'a>,
    numbers: FxHashMap<Signature, u32>,
    /// By list: its classes, ascending.
    of_list: Vec<Vec<u32>>,
    /// By name of a port: the classes that have it, with the port, ascending.
    of_name: Vec<Vec<(u32, u16)>>,
    count: u32,
    incidences: usize,
    limits: &'a Limits,
}

impl<'a> Classes<'a> {
    /// With the class of the host.
    pub(super) fn new(
        lists: &'a Lists<'a>,
        world: &World<'_>,
        limits: &'a Limits,
    ) -> Result<Self, TooLarge> {
        let mut classes = Self {
            lists,
            numbers: FxHashMap::default(),
            of_list: vec![Vec::new(); lists.len()],
            of_name: vec![Vec::new(); lists.names().len()],
            count: HOST_CLASS,
            incidences: 0,
            limits,
        };
        let by_address = world.addresses.iter().map(|(_, endpoint)| endpoint);
        let mut known = by_address.chain(world.peers).chain(world.subjects);
        if let Some(host) = known.find(|endpoint| endpoint.is_host()) {
            classes.enter(HOST_CLASS, &classes.signature(host))?;
        }
        Ok(classes)
    }

    /// The class of an endpoint.
    pub(super) fn of_endpoint(&mut self, endpoint: &Endpoint) -> Result<u32, TooLarge> {
        if endpoint.is_host() {
            return Ok(HOST_CLASS);
        }
        self.of(self.signature(endpoint))
    }

    fn signature(&self, endpoint: &Endpoint) -> Signature {
        let lists = self.lists.of_endpoint(endpoint).into_iter().map(u64::from);
        let names = self.lists.names().iter().enumerate();
        let named = names.filter_map(|(number, (name, protocol))| {
            let port = endpoint.port(name, *protocol)?;
            Some(NAMED | (number as u64) << 16 | u64::from(port))
        });
        lists.chain(named).collect()
    }

    /// The class of a signature.
    pub(super) fn of(&mut self, signature: Signature) -> Result<u32, TooLarge> {
        if let Some(class) = self.numbers.get(&signature) {
            return Ok(*class);
        }
        let class = self.count + 1;
        let room = self.limits.classes.min(BROAD as usize);
        TooLarge::check("classes of peers", class as usize + 1, room)?;
        self.count = class;
        self.enter(class, &signature)?;
        self.numbers.insert(signature, class);
        Ok(class)
    }

    fn enter(&mut self, class: u32, signature: &[u64]) -> Result<(), TooLarge> {
        self.incidences += signature.len();
        if self.incidences > self.limits.steps {
            let needed = self.incidences;
            return Err(TooLarge::of("steps to compile", needed, self.limits.steps));
        }
        for element in signature {
            if element & NAMED == 0 {
                self.of_list[*element as usize].push(class);
            } else {
                let number = (element & !NAMED) >> 16;
                self.of_name[number as usize].push((class, *element as u16));
            }
        }
        Ok(())
    }

    /// The last class; the first one is 1.
    pub(super) fn len(&self) -> usize {
        self.count as usize
    }

    /// The classes of a list, ascending.
    pub(super) fn of_list(&self, list: u32) -> &[u32] {
        &self.of_list[list as usize]
    }

    /// The classes whose endpoints have a port of this name, with it.
    pub(super) fn with_port(&self, name: &str, protocol: u8) -> &[(u32, u16)] {
        let number = self.lists.name(name, protocol);
        number.map_or(&[], |number| &self.of_name[number as usize])
    }
}
