//! Names of addresses, as clients learned them from the answers that they got.
//!
//! Each client has its own: two that got different answers have different names for
//! one address. A name counts for what began before it expired, so a connection
//! keeps the one that it began with. Who writes decides which answers to trust.
//! Pure. Bound: so many addresses, each with 16 names and 1 KiB of them; the addresses that
//! were not used for longest go first, and a client other than the host has a share.

use std::{cmp::Reverse, collections::HashMap, net::IpAddr, sync::Arc};

use crate::{
    flow::{Interned, Interner, Names as NameList},
    generations::Generations,
};

/// Names of one address for one client; the one that expires first makes room.
const MAX_NAMES: usize = 16;
/// Bytes of these: of the longest there are four.
const MAX_BYTES: usize = 1 << 10;
/// No name counts for longer: a day, in nanoseconds.
const LONGEST_NS: u64 = 86_400_000_000_000;
/// Of the addresses, one client gets one in so many.
const SHARE: usize = 4;

/// Sizes and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Addresses, counted for each client.
    pub capacity: usize,
    /// A name counts for at least so many nanoseconds: programs use an address for
    /// some time after they asked for it.
    pub shortest_ns: u64,
}

/// Who asked: the host with all its addresses, or another address in its space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Client {
    /// This host.
    Host,
    /// Another one.
    Other(u16, IpAddr),
}

/// An address as a client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    client: Client,
    /// Address space.
    zone: u16,
    address: IpAddr,
}

#[derive(Clone, Debug)]
struct Name {
    text: Arc<str>,
    learned_ns: u64,
    until_ns: u64,
}

#[derive(Debug, Default)]
struct Known {
    names: Vec<Name>,
    /// All of them, as flows have them.
    shared: Option<Interned<NameList>>,
}

/// A name of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Who asked for it.
    pub client: Client,
    /// Address space of the address.
    pub zone: u16,
    /// The address.
    pub address: IpAddr,
    /// The name, in lower case and without a dot at the end.
    pub name: Arc<str>,
    /// When it was learned last.
    pub learned_ns: u64,
    /// Until when it counts.
    pub until_ns: u64,
}

/// Numbers since the start, and now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Addresses that are known now, those with expired names included.
    pub addresses: u64,
    /// How many there may be.
    pub capacity: u64,
    /// Addresses that made room for others.
    pub forgotten: u64,
    /// Addresses and names that found no room: beyond a client's share, or beyond
    /// the names of one address.
    pub left_out: u64,
}

/// The names.
#[derive(Debug)]
pub struct Names {
    known: Generations<Key, Known>,
    settings: Settings,
    /// Addresses that clients got in this generation.
    shares: HashMap<Client, usize>,
    generation: u64,
    left_out: u64,
    /// What was learned last: an answer has one name for many addresses.
    last: Arc<str>,
}

impl Names {
    /// None yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            known: Generations::new(settings.capacity),
            settings,
            shares: HashMap::new(),
            generation: 0,
            left_out: 0,
            last: Arc::default(),
        }
    }

    /// A client learned at a time that a name has an address, for so many seconds.
    /// The name is in lower case; a dot at its end is cut. What needs signs that are
    /// escaped is no host's name (RFC 1123), and is passed over.
    pub fn learn(
        &mut self,
        client: Client,
        zone: u16,
        name: &str,
        (address, ttl): (IpAddr, u32),
        now_ns: u64,
    ) {
        let name = name.trim_end_matches('.');
        if name.is_empty() || name.contains('\\') || address.is_unspecified() {
            return;
        }
        if *self.last != *name {
            self.last = name.into();
        }
        let name = &Arc::clone(&self.last);
        let lives = u64::from(ttl).saturating_mul(1_000_000_000);
        let lives = lives.clamp(self.settings.shortest_ns.min(LONGEST_NS), LONGEST_NS);
        let key = Key {
            client,
            zone,
            address,
        };
        if let Some(known) = self.known.use_mut(&key) {
            self.left_out += known.learn(name, now_ns, now_ns + lives);
        } else if self.has_share(client) {
            let mut known = Known::default();
            known.learn(name, now_ns, now_ns + lives);
            self.known.insert(key, known);
        } else {
            self.left_out += 1;
        }
    }

    /// Takes a place of the client's share, if there is one left.
    fn has_share(&mut self, client: Client) -> bool {
        if client == Client::Host {
            return true;
        }
        if self.generation != self.known.generation() {
            self.generation = self.known.generation();
            self.shares.clear();
        }
        let taken = self.shares.entry(client).or_default();
        *taken += 1;
        *taken <= (self.settings.capacity / SHARE / 2).max(1)
    }

    /// The names by which a client knows an address, for what began at a time. A
    /// client that learned none has those of the host, which may ask for others.
    pub fn of(
        &mut self,
        client: Client,
        zone: u16,
        address: IpAddr,
        began_ns: u64,
        interner: &mut Interner<NameList>,
    ) -> Option<Interned<NameList>> {
        let mut look = |client| self.of_none_but(client, zone, address, began_ns, interner);
        look(client).or_else(|| (client != Client::Host).then(|| look(Client::Host))?)
    }

    /// As `of`, but what the host learned is for the host alone.
    pub fn of_none_but(
        &mut self,
        client: Client,
        zone: u16,
        address: IpAddr,
        began_ns: u64,
        interner: &mut Interner<NameList>,
    ) -> Option<Interned<NameList>> {
        let key = Key {
            client,
            zone,
            address,
        };
        self.known.use_mut(&key)?.at(began_ns, interner)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.len() == 0
    }

    /// All that count at a time, in no order.
    pub fn list(&self, now_ns: u64) -> impl Iterator<Item = Listed> {
        let all = self.known.iter().flat_map(|(key, known)| {
            known.names.iter().map(|name| Listed {
                client: key.client,
                zone: key.zone,
                address: key.address,
                name: Arc::clone(&name.text),
                learned_ns: name.learned_ns,
                until_ns: name.until_ns,
            })
        });
        all.filter(move |listed| listed.until_ns > now_ns)
    }

    /// The numbers.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            addresses: self.known.len() as u64,
            capacity: self.settings.capacity as u64,
            forgotten: self.known.forgotten(),
            left_out: self.left_out,
        }
    }
}

impl Known {
    /// Gives how many names had to make room.
    fn learn(&mut self, text: &Arc<str>, now_ns: u64, until_ns: u64) -> u64 {
        if let Some(name) = self.names.iter_mut().find(|name| name.text == *text) {
            name.learned_ns = now_ns;
            name.until_ns = name.until_ns.max(until_ns);
            return 0;
        }
        self.shared = None;
        let mut left_out = 0;
        if !self.has_room(text) {
            self.names.sort_by_key(|name| Reverse(name.until_ns));
        }
        while !self.names.is_empty() && !self.has_room(text) {
            let out = self.names.pop();
            left_out += u64::from(out.is_some_and(|name| name.until_ns > now_ns));
        }
        self.names.push(Name {
            text: Arc::clone(text),
            learned_ns: now_ns,
            until_ns,
        });
        self.names.sort_by(|a, b| a.text.cmp(&b.text));
        left_out
    }

    fn has_room(&self, text: &str) -> bool {
        let bytes: usize = self.names.iter().map(|name| name.text.len()).sum();
        self.names.len() < MAX_NAMES && bytes + text.len() <= MAX_BYTES
    }

    fn at(
        &mut self,
        began_ns: u64,
        interner: &mut Interner<NameList>,
    ) -> Option<Interned<NameList>> {
        let counts = |name: &&Name| name.until_ns > began_ns;
        let count = self.names.iter().filter(counts).count();
        if count == 0 {
            return None;
        }
        let is_all = count == self.names.len();
        if let Some(shared) = self.shared.as_ref().filter(|_| is_all) {
            return Some(shared.clone());
        }
        let names = self.names.iter().filter(counts);
        let names = interner.intern(names.map(|name| name.text.to_string()).collect());
        if is_all {
            self.shared = Some(names.clone());
        }
        Some(names)
    }
}

#[cfg(test)]
mod tests;
