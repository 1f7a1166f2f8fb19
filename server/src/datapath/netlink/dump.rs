//! Lists of rtnetlink turned into `Links`: links and addresses of one network
//! namespace, and the kernel's own counters of its interfaces.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
};

use sextant_ebpf_common::{INDEX_BITS, interface_number};

use super::{
    super::{Layer, Link, Links, Namespace, Role},
    message::{Request, attributes, text, u16_at, u32_at, u64_at},
    nsid,
    socket::Requests,
};

/// Bytes of `struct ifinfomsg` and `struct ifaddrmsg`.
const LINK: usize = 16;
const ADDRESS: usize = 8;

/// Attributes (linux/if_link.h, linux/if_addr.h).
const IFLA_EXT_MASK: u16 = 29;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_VLAN_ID: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// Of `IFLA_EXT_MASK`: without counters, which are most of the list.
const SKIP_STATS: u32 = 1 << 3;

/// Types of links (linux/if_arp.h) that `Layer` knows.
const ARPHRD_NONE: u16 = 0xfffe;
const ARPHRD_RAWIP: u16 = 519;
const ARPHRD_IP6GRE: u16 = 823;

/// Tells an interface from another that has its index later: each one that is
/// met, or met again after the kernel said that it went, has another number.
#[derive(Debug, Default)]
pub(super) struct Births {
    known: BTreeMap<u32, u64>,
    last: u64,
}

impl Births {
    /// The kernel said that the interface with this index went.
    pub(super) fn ended(&mut self, index: u32) {
        self.known.remove(&index);
    }

    fn of(&mut self, index: u32) -> u64 {
        *self.known.entry(index).or_insert_with(|| {
            self.last += 1;
            self.last
        })
    }

    fn keep(&mut self, indexes: &HashSet<u32>) {
        self.known.retain(|index, _| indexes.contains(index));
    }
}

/// The index of the interface in a message about one, unless it is about a
/// port of a bridge.
pub(super) fn interface(body: &[u8]) -> Option<u32> {
    (body.first() == Some(&0)).then(|| u32_at(body, 4))?
}

/// All links and addresses.
pub(super) fn links(
    requests: &mut Requests,
    births: &mut Births,
    number: u32,
    namespace: Option<&Arc<Namespace>>,
    places: &[(u32, PathBuf)],
) -> io::Result<Links> {
    let all = Request::new(libc::RTM_GETADDR, 0, &[0; ADDRESS]);
    let addresses = requests.list(&all, |list: &mut Vec<(u32, IpAddr)>, _, body| {
        list.extend(address(body));
    })?;
    let numbered: HashSet<u32> = addresses
        .iter()
        .filter(|(_, address)| !is_link_local(*address))
        .map(|(index, _)| *index)
        .collect();
    let all = Request::new(libc::RTM_GETLINK, 0, &[0; LINK])
        .with(IFLA_EXT_MASK, &SKIP_STATS.to_ne_bytes());
    let found = requests.list(&all, |list: &mut Vec<(Link, Option<i32>)>, _, body| {
        list.extend(link(body, &numbered));
    })?;
    births.keep(&found.iter().map(|(link, _)| link.index).collect());
    let is_joined_elsewhere = found.iter().any(|(_, elsewhere)| elsewhere.is_some());
    let numbers = match is_joined_elsewhere && places.len() > 1 {
        true => nsid::numbers(requests, places),
        false => HashMap::new(),
    };
    let mut links = Links {
        addresses: addresses.into_iter().map(|(_, address)| address).collect(),
        ..Links::default()
    };
    for (mut link, elsewhere) in found {
        if link.index >> INDEX_BITS != 0 {
            tracing::debug!(interface = %link.name, "index too large; not observed");
            continue;
        }
        let there = match elsewhere {
            None => Some(number),
            Some(id) => numbers.get(&id).copied(),
        };
        let joined = link.link.zip(there);
        link.link = joined.map(|(index, there)| interface_number(there, index));
        link.master = link.master.map(|index| interface_number(number, index));
        link.birth = births.of(link.index);
        link.index = interface_number(number, link.index);
        link.namespace = namespace.cloned();
        links.by_index.insert(link.index, link);
    }
    Ok(links)
}

/// The kernel's own counters of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Statistics {
    /// Packets received and sent.
    pub(in super::super) packets: [u64; 2],
    /// Of those received, how many found no room on the way to the stack.
    pub(in super::super) received_dropped: u64,
}

/// By index in the network namespace.
pub(in super::super) fn statistics(
    requests: &mut Requests,
) -> io::Result<BTreeMap<u32, Statistics>> {
    let all = Request::new(libc::RTM_GETLINK, 0, &[0; LINK]);
    requests.list(&all, |list: &mut BTreeMap<u32, Statistics>, _, body| {
        if let Some(index) = interface(body) {
            list.insert(index, counted(body));
        }
    })
}

/// `struct rtnl_link_stats64`: rx_packets, tx_packets, rx_bytes, tx_bytes,
/// rx_errors, tx_errors, rx_dropped.
fn counted(body: &[u8]) -> Statistics {
    let mut statistics = Statistics::default();
    for (kind, value) in attributes(body.get(LINK..).unwrap_or_default()) {
        if kind == libc::IFLA_STATS64 {
            let number = |index: usize| u64_at(value, index * 8).unwrap_or(0);
            statistics.packets = [number(0), number(1)];
            statistics.received_dropped = number(6);
        }
    }
    statistics
}

/// Every interface has such an address; it says nothing of its role.
fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// The interface and its own address (`IFA_LOCAL`; IPv6 has `IFA_ADDRESS` only).
pub(super) fn address(body: &[u8]) -> Option<(u32, IpAddr)> {
    let index = u32_at(body, 4)?;
    let mut found = None;
    for (kind, value) in attributes(body.get(ADDRESS..)?) {
        match kind {
            IFA_LOCAL => return Some((index, ip(value)?)),
            IFA_ADDRESS => found = ip(value),
            _ => {}
        }
    }
    Some((index, found?))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// The interface, with indexes for the numbers of those that it is joined to, and
/// what this namespace calls the one in which the one at its other end is.
fn link(body: &[u8], numbered: &HashSet<u32>) -> Option<(Link, Option<i32>)> {
    let index = interface(body)?;
    let kind_of_link = u16_at(body, 2)?;
    let flags = u32_at(body, 8)?;
    let (mut name, mut kind) = (String::new(), String::new());
    let (mut joined, mut master, mut elsewhere) = (None, None, None);
    let mut data: &[u8] = &[];
    let usable = |value: &[u8]| u32_at(value, 0).filter(|n| *n != 0 && *n >> INDEX_BITS == 0);
    for (attribute, value) in attributes(body.get(LINK..)?) {
        match attribute {
            libc::IFLA_IFNAME => name = text(value),
            libc::IFLA_LINK => joined = usable(value),
            libc::IFLA_MASTER => master = usable(value),
            IFLA_LINK_NETNSID => elsewhere = u32_at(value, 0).map(|id| id as i32),
            libc::IFLA_LINKINFO => {
                let find = |wanted| attributes(value).find(|(kind, _)| *kind == wanted);
                kind = find(IFLA_INFO_KIND).map_or(String::new(), |(_, value)| text(value));
                data = find(IFLA_INFO_DATA).map_or(&[], |(_, value)| value);
            }
            _ => {}
        }
    }
    let for_endpoint = elsewhere.is_some() && !numbered.contains(&index);
    let is_pair = matches!(kind.as_str(), "veth" | "netkit");
    let is_vlan = kind == "vlan";
    let link = Link {
        index,
        name,
        layer: layer(kind_of_link),
        role: role(kind_of_link, &kind, for_endpoint),
        up: flags & libc::IFF_UP as u32 != 0,
        kind,
        namespace: None,
        birth: 0,
        link: joined,
        master,
        peer_namespace: elsewhere
            .filter(|_| is_pair)
            .and_then(|id| u32::try_from(id).ok()),
        vlan: vlan(is_vlan, data),
    };
    Some((link, elsewhere))
}

/// The id of a VLAN interface; 0 is a priority and no VLAN.
fn vlan(is_vlan: bool, data: &[u8]) -> Option<u16> {
    let (_, id) = attributes(data).find(|(kind, _)| is_vlan && *kind == IFLA_VLAN_ID)?;
    u16_at(id, 0).filter(|id| *id != 0)
}

fn layer(kind: u16) -> Layer {
    match kind {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => Layer::Ethernet,
        ARPHRD_NONE
        | ARPHRD_RAWIP
        | ARPHRD_IP6GRE
        | libc::ARPHRD_PPP
        | libc::ARPHRD_TUNNEL
        | libc::ARPHRD_TUNNEL6
        | libc::ARPHRD_SIT
        | libc::ARPHRD_IPGRE => Layer::Ip,
        _ => Layer::Other,
    }
}

/// `for_endpoint`: the other end is elsewhere and this one is not numbered, as
/// it is for containers; inside of one it is numbered and leads to the network.
fn role(kind_of_link: u16, kind: &str, for_endpoint: bool) -> Role {
    if kind_of_link == libc::ARPHRD_LOOPBACK {
        return Role::Loopback;
    }
    match kind {
        "veth" if for_endpoint => Role::Endpoint,
        "bridge" => Role::Bridge,
        "vxlan" | "geneve" => Role::Overlay,
        _ => Role::Network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_went_and_came_is_another() {
        let mut births = Births::default();
        let (first, other) = (births.of(5), births.of(6));
        assert_eq!((births.of(5), births.of(6)), (first, other));
        births.ended(5);
        assert_ne!(births.of(5), first);
        births.keep(&HashSet::from([5]));
        assert_ne!(births.of(6), other, "it was away");
    }

    #[test]
    fn a_vlan_interface_has_its_id_and_no_other_kind_has() {
        let data = |id: u16| {
            Request::new(0, 0, &[])
                .with(IFLA_VLAN_ID, &id.to_ne_bytes())
                .finish(0, 0)
        };
        let id = |kind: &str, data: &[u8]| {
            let values = [
                (IFLA_INFO_KIND, kind.as_bytes()),
                (IFLA_INFO_DATA, data.get(16..).unwrap()),
            ];
            let mut body = [0; LINK];
            body[4] = 5;
            let message = Request::new(0, 0, &body).with_nested(libc::IFLA_LINKINFO, &values);
            let (link, _) = link(&message.finish(0, 0)[16..], &HashSet::new()).unwrap();
            (link.kind, link.vlan)
        };
        assert_eq!(id("vlan", &data(10)), ("vlan".into(), Some(10)));
        assert_eq!(id("vlan", &data(0)), ("vlan".into(), None));
        // Of another kind the number means something else.
        assert_eq!(id("vxlan", &data(10)), ("vxlan".into(), None));
    }

    #[test]
    fn this_hosts_loopback_is_in_the_list() {
        let mut requests = Requests::open().unwrap();
        let links = links(&mut requests, &mut Births::default(), 0, None, &[]).unwrap();
        let lo = links.get(1).unwrap();
        assert_eq!(
            (lo.name.as_str(), lo.role, lo.layer),
            ("lo", Role::Loopback, Layer::Ethernet)
        );
        assert!(statistics(&mut requests).unwrap().contains_key(&1));
    }
}
