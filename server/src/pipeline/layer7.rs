//! What packets carry: DNS, as flows of their own; and the names that other flows get
//! from it, and from the TLS server names that clients ask for.
//!
//! A name is taken from an answer alone that a query was seen for, so nobody can
//! tell names who is not asked for them. Bound: those of `dns`, `names` and
//! `server_names`.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use sextant_ebpf_common::{self as common, Carries, protocol::TCP};

use super::{
    enrich,
    hosts::Hosts,
    server_names::{End, ServerNames},
};
use crate::{
    datapath::Carried,
    dns::{self, Seen, Watcher},
    flow::{Flow, Interners, Time},
    identity::Snapshot,
    names::{self, Client, Names},
    sni,
};

/// Names count for at least so long, unless it is set.
const DEFAULT_SETTINGS: names::Settings = names::Settings {
    capacity: 65_536,
    shortest_ns: 60_000_000_000,
};

/// The state that is kept between packets.
#[derive(Debug)]
pub(super) struct Layer7 {
    dns: Watcher,
    names: Names,
    server_names: ServerNames,
    hosts: Hosts,
    shared: SharedDnsCounts,
}

/// How a name was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameSource {
    /// By an answer of DNS.
    Dns,
    /// By the name that the client gave in TLS.
    Tls,
    /// By this host's file of hosts.
    HostsFile,
}

/// A name of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedAddress {
    /// How it was learned.
    pub source: NameSource,
    /// In lower case, without a dot at the end.
    pub name: Arc<str>,
    /// The address.
    pub address: IpAddr,
    /// Its address space.
    pub zone: u16,
    /// Who asked for it; `None` is everybody.
    pub client: Option<Client>,
    /// When it was last learned.
    pub learned: Time,
    /// Until when it counts; `None` while it is in the file.
    pub expires: Option<Time>,
}

/// The latest counts; clones share them.
#[derive(Clone, Debug, Default)]
pub struct SharedDnsCounts(Arc<Mutex<DnsCounts>>);

impl SharedDnsCounts {
    /// The values.
    #[must_use]
    pub fn values(&self) -> DnsCounts {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, counts: DnsCounts) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }
}

/// What became of DNS messages, and the names that are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DnsCounts {
    /// Messages.
    pub messages: dns::Counts,
    /// Names.
    pub names: names::Counts,
    /// Beginnings of TLS.
    pub hellos: sni::Counts,
    /// Names by them.
    pub server_names: names::Counts,
}

impl Default for Layer7 {
    fn default() -> Self {
        Self {
            dns: Watcher::default(),
            names: Names::new(DEFAULT_SETTINGS),
            server_names: ServerNames::new(DEFAULT_SETTINGS),
            hosts: Hosts::default(),
            shared: SharedDnsCounts::default(),
        }
    }
}

impl Layer7 {
    /// Forgets all names; those to come are kept by these settings.
    pub(super) fn set(&mut self, settings: names::Settings, hosts: Option<PathBuf>) {
        self.names = Names::new(settings);
        self.server_names = ServerNames::new(settings);
        self.hosts = Hosts::new(hosts);
    }

    /// Looks at files; once for many packets.
    pub(super) fn follow(&mut self) {
        self.hosts.follow();
    }

    /// Names that count at a time of the monotonic clock, with wall times.
    pub(super) fn list(&self, now_ns: i64, wall_offset_ns: i64) -> Vec<NamedAddress> {
        let now = u64::try_from(now_ns).unwrap_or(0);
        let wall = |ns: u64| Time::from_nanos((ns as i64).saturating_add(wall_offset_ns));
        let by_dns = self.names.list(now);
        let by_dns = by_dns.map(|listed| (NameSource::Dns, listed));
        let by_tls = self.server_names.list(now);
        let by_tls = by_tls.map(|listed| (NameSource::Tls, listed));
        let all = by_dns.chain(by_tls).map(|(source, listed)| NamedAddress {
            source,
            learned: wall(listed.learned_ns),
            expires: Some(wall(listed.until_ns)),
            client: Some(listed.client),
            zone: listed.zone,
            address: listed.address,
            name: listed.name,
        });
        let by_file = self.hosts.list().map(|(address, name)| NamedAddress {
            source: NameSource::HostsFile,
            name: name.into(),
            address,
            zone: 0,
            client: None,
            learned: self.hosts.read_at(),
            expires: None,
        });
        all.chain(by_file).collect()
    }

    pub(super) fn counts(&self) -> SharedDnsCounts {
        self.shared.clone()
    }

    /// Makes the counts known; once for many packets.
    pub(super) fn publish(&self) {
        let (hellos, server_names) = self.server_names.counts();
        self.shared.set(DnsCounts {
            messages: self.dns.counts(),
            names: self.names.counts(),
            hellos,
            server_names,
        });
    }

    /// The messages that a packet has or completes; learns the names in them, which
    /// count in its zone, for the client in its VLAN.
    pub(super) fn take(
        &mut self,
        carried: Carried<'_>,
        zone: u16,
        identities: &Snapshot,
    ) -> Vec<Seen> {
        let event = carried.event;
        let (source, destination) = enrich::addresses(event);
        if carried.carries == Carries::Hello {
            let client = client_of(source, event, identities);
            self.server_names.take(carried, zone, client);
            return Vec::new();
        }
        if zone == 0 && is_forged(source, event, identities) {
            return Vec::new();
        }
        let (sequence, told) = transport(event);
        let length = told.unwrap_or(carried.length);
        let packet = dns::Packet {
            at_ns: event.time_ns,
            zone: event.zone,
            sequence,
            source: SocketAddr::new(source, event.source_port),
            destination: SocketAddr::new(destination, event.destination_port),
            length,
            bytes: carried
                .bytes
                .get(..length as usize)
                .unwrap_or(carried.bytes),
        };
        let mut seen = Vec::new();
        self.dns.take(packet, &mut |message| seen.push(message));
        let client = client_of(destination, event, identities);
        for answer in &seen {
            self.learn(answer, zone, client, event.time_ns);
        }
        seen
    }

    fn learn(&mut self, seen: &Seen, zone: u16, client: Client, now_ns: u64) {
        for found in seen.learned() {
            let name = &seen.question.name;
            self.names.learn(client, zone, name, found, now_ns);
        }
    }

    /// Names both sides of a flow, as the other one knows them by DNS; else as it asked
    /// for them in TLS, which it says itself; else as this host's file has them, which
    /// says nothing of other address spaces and is the same for all.
    pub(super) fn name(
        &mut self,
        flow: &mut Flow,
        event: &common::Event,
        zone: u16,
        identities: &Snapshot,
        interners: &mut Interners,
    ) {
        let (source, destination) = enrich::addresses(event);
        let mut named = |client, address, end| {
            let (began, interner) = (event.first_ns, &mut interners.names);
            let learned = if self.names.is_empty() && self.server_names.is_empty() {
                None
            } else {
                let client = client_of(client, event, identities);
                let by_dns = self.names.of(client, zone, address, began, interner);
                by_dns.or_else(|| self.server_names.of(event, zone, client, end, interner))
            };
            let is_own = zone == 0 || zone >= common::LOOPBACK_ZONES;
            learned.or_else(|| is_own.then(|| self.hosts.of(address, interner))?)
        };
        flow.source_names = named(destination, source, End::Source);
        flow.destination_names = named(source, destination, End::Destination);
    }
}

/// The host is one client, whichever of its addresses and VLANs it asks from. Who else
/// has the same address in two VLANs is two, where VLANs tell flows apart.
fn client_of(address: IpAddr, event: &common::Event, identities: &Snapshot) -> Client {
    match identities.look_up(address) {
        (_, true) => Client::Host,
        _ => Client::Other(event.zone, address),
    }
}

/// Whether it comes in with an address of this host: this host did not ask so, nor answer.
fn is_forged(source: IpAddr, event: &common::Event, identities: &Snapshot) -> bool {
    let (_, egress) = common::point_parts(event.point);
    !egress && identities.look_up(source).1
}

/// The sequence number of TCP, or how many bytes a datagram has by its header: the
/// packet has fewer if it is the first of several fragments, and may have more.
fn transport(event: &common::Event) -> (Option<u32>, Option<u32>) {
    let word = |at: usize| {
        let bytes = event.l4.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    if event.protocol == TCP {
        return (word(4), None);
    }
    (None, word(4).and_then(|word| (word >> 16).checked_sub(8)))
}
