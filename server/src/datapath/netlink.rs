//! Watches interfaces and addresses by rtnetlink.
//!
//! A change notification only wakes a new dump, so a lost notification (the
//! socket overran) costs at most the time to the next periodic dump, and a
//! burst of changes costs one dump. Bound: one task, no queue but the
//! kernel's socket buffer and the library's channel, which is drained on wake.

use std::{collections::HashSet, net::IpAddr, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _};
use netlink_packet_route::{
    address::AddressAttribute,
    link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage},
};
use rtnetlink::{Handle, MulticastGroup};
use tokio::sync::watch;

use super::{DatapathError, Layer, Link, Links, Role};

/// A dump at least this often, in case a notification was lost.
const REFRESH: Duration = Duration::from_secs(10);
/// Changes that come within this time share one dump.
const SETTLE: Duration = Duration::from_millis(20);

/// The interfaces of this network namespace, kept current by a task.
pub struct LinkWatch {
    links: watch::Receiver<Links>,
    handle: Handle,
    task: tokio::task::JoinHandle<()>,
}

impl LinkWatch {
    /// Lists the interfaces and begins to watch them.
    ///
    /// # Errors
    ///
    /// When netlink cannot be used.
    pub async fn start() -> Result<Self, DatapathError> {
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
        ];
        let (connection, handle, mut changes) =
            rtnetlink::new_multicast_connection(&groups).map_err(netlink_error)?;
        tokio::spawn(connection);
        let (sender, links) = watch::channel(dump(&handle).await?);
        let watching = handle.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    change = changes.next() => {
                        if change.is_none() {
                            tracing::error!("netlink closed; new interfaces are no longer found");
                            return;
                        }
                        tokio::time::sleep(SETTLE).await;
                        while futures::FutureExt::now_or_never(changes.next()).flatten().is_some() {}
                    }
                    () = tokio::time::sleep(REFRESH) => {}
                }
                match dump(&watching).await {
                    Ok(now) => {
                        sender.send_if_modified(|links| {
                            let changed = *links != now;
                            *links = now;
                            changed
                        });
                    }
                    Err(error) => tracing::warn!(%error, "interfaces not refreshed"),
                }
            }
        });
        Ok(Self {
            links,
            handle,
            task,
        })
    }

    /// The interfaces, now and at each change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Links> {
        self.links.clone()
    }
}

impl LinkWatch {
    /// For further requests on the same socket.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for LinkWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn netlink_error(error: impl std::fmt::Display) -> DatapathError {
    DatapathError::Netlink {
        detail: error.to_string(),
    }
}

async fn dump(handle: &Handle) -> Result<Links, DatapathError> {
    let mut links = Links::default();
    let mut numbered = HashSet::new();
    let mut messages = handle.address().get().execute();
    while let Some(message) = messages.try_next().await.map_err(netlink_error)? {
        let found = address(&message.attributes);
        if found.is_some_and(|address| !is_link_local(address)) {
            numbered.insert(message.header.index);
        }
        links.addresses.extend(found);
    }
    let mut messages = handle.link().get().execute();
    while let Some(message) = messages.try_next().await.map_err(netlink_error)? {
        let link = link(&message, numbered.contains(&message.header.index));
        links.by_index.insert(link.index, link);
    }
    Ok(links)
}

/// Every interface has such an address; it says nothing of its role.
fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// The interface's own address (`IFA_LOCAL`; IPv6 has `IFA_ADDRESS` only).
fn address(attributes: &[AddressAttribute]) -> Option<IpAddr> {
    let mut found = None;
    for attribute in attributes {
        match attribute {
            AddressAttribute::Local(ip) => return Some(*ip),
            AddressAttribute::Address(ip) => found = Some(*ip),
            _ => {}
        }
    }
    found
}

fn link(message: &LinkMessage, numbered: bool) -> Link {
    let mut name = String::new();
    let mut kind = String::new();
    let mut peer_elsewhere = false;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name.clone_from(text),
            LinkAttribute::LinkNetNsId(_) => peer_elsewhere = true,
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Kind(found) = info {
                        kind = found.to_string();
                    }
                }
            }
            _ => {}
        }
    }
    Link {
        index: message.header.index,
        name,
        layer: layer(message.header.link_layer_type),
        role: role(message, &kind, peer_elsewhere && !numbered),
        up: message.header.flags.contains(LinkFlags::Up),
        kind,
    }
}

fn layer(kind: LinkLayerType) -> Layer {
    match kind {
        LinkLayerType::Ether | LinkLayerType::Loopback => Layer::Ethernet,
        LinkLayerType::None
        | LinkLayerType::Rawip
        | LinkLayerType::Ppp
        | LinkLayerType::Tunnel
        | LinkLayerType::Tunnel6
        | LinkLayerType::Sit
        | LinkLayerType::Ipgre
        | LinkLayerType::Ip6gre => Layer::Ip,
        _ => Layer::Other,
    }
}

/// `for_endpoint`: the other end is elsewhere and this one is not numbered, as
/// it is for containers; inside of one it is numbered and leads to the network.
fn role(message: &LinkMessage, kind: &str, for_endpoint: bool) -> Role {
    if message.header.link_layer_type == LinkLayerType::Loopback {
        return Role::Loopback;
    }
    let is = |wanted: InfoKind| kind == wanted.to_string();
    if is(InfoKind::Veth) && for_endpoint {
        Role::Endpoint
    } else if is(InfoKind::Bridge) {
        Role::Bridge
    } else if is(InfoKind::Vxlan) || is(InfoKind::Geneve) {
        Role::Overlay
    } else {
        Role::Network
    }
}
