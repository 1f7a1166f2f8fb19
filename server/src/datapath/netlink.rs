//! Watches interfaces and addresses by rtnetlink.
//!
//! A change notification only wakes a new dump, so a lost notification (the
//! socket overran) costs at most the time to the next periodic dump, and a
//! burst of changes costs one dump. Bound: one task, no queue but the
//! kernel's socket buffer and the library's channel, which is drained on wake.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt as _, Stream, StreamExt as _, TryStreamExt as _};
use netlink_packet_route::{
    address::AddressAttribute,
    link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage},
};
use rtnetlink::{Handle, MulticastGroup};
use sextant_ebpf_common::{INDEX_BITS, NAMESPACES, interface_number, interface_parts};
use tokio::{sync::watch, task::JoinSet};

use super::{
    DatapathError, Layer, Link, Links, Namespace, NamespaceChoice, Role,
    namespace::{self, Finder},
};

const GROUPS: [MulticastGroup; 3] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
];

/// A dump at least this often, in case a notification was lost.
const REFRESH: Duration = Duration::from_secs(10);
/// Changes that come within this time share one dump.
const SETTLE: Duration = Duration::from_millis(20);

/// Other network namespaces are looked for so often.
const SCAN: Duration = Duration::from_secs(1);

/// The interfaces of the daemon's network namespace and of those that were
/// chosen beside it, kept current by tasks.
pub struct LinkWatch {
    links: watch::Receiver<Links>,
    handles: Handles,
    _tasks: JoinSet<()>,
}

/// Netlink sockets by number of the namespace.
type Handles = Arc<Mutex<BTreeMap<u32, Handle>>>;

impl LinkWatch {
    /// Lists the interfaces and begins to watch them.
    ///
    /// # Errors
    ///
    /// When netlink cannot be used, or a namespace that was named is not there.
    pub async fn start(namespaces: NamespaceChoice) -> Result<Self, DatapathError> {
        namespaces.check()?;
        let mut watcher = Watcher {
            links: watch::Sender::default(),
            handles: Handles::default(),
            watched: BTreeMap::new(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(watcher.watch(0, None).await?);
        let (links, handles) = (watcher.links.subscribe(), Arc::clone(&watcher.handles));
        if !namespaces.is_empty() {
            let mut finder = Finder::new(namespaces);
            watcher.keep(finder.find()).await;
            tasks.spawn(async move {
                loop {
                    tokio::time::sleep(SCAN).await;
                    watcher.keep(finder.find()).await;
                }
            });
        }
        Ok(Self {
            links,
            handles,
            _tasks: tasks,
        })
    }

    /// The interfaces, now and at each change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Links> {
        self.links.clone()
    }

    /// For further requests about an interface.
    pub(super) fn handle(&self, interface: u32) -> Option<Handle> {
        let (namespace, _) = interface_parts(interface);
        lock(&self.handles).get(&namespace).cloned()
    }
}

/// Keeps a task for each namespace.
struct Watcher {
    links: watch::Sender<Links>,
    handles: Handles,
    /// By number; the task ends when it is taken out.
    watched: BTreeMap<u32, (Arc<Namespace>, JoinSet<()>)>,
}

impl Watcher {
    /// Watches these namespaces, and no others but the daemon's own.
    async fn keep(&mut self, found: Vec<Namespace>) {
        let gone: Vec<u32> = self
            .watched
            .iter()
            .filter(|(_, (known, _))| !found.contains(known))
            .map(|(number, _)| *number)
            .collect();
        for number in gone {
            if let Some((namespace, _)) = self.watched.remove(&number) {
                tracing::info!(path = %namespace.path.display(), "network namespace let go");
            }
            // The socket would keep the namespace alive.
            lock(&self.handles).remove(&number);
            self.links
                .send_if_modified(|links| links.replace(number, Links::default()));
        }
        for namespace in found {
            if self.watched.values().any(|(known, _)| **known == namespace) {
                continue;
            }
            let Some(number) = (1..NAMESPACES).find(|number| !self.watched.contains_key(number))
            else {
                tracing::warn!(path = %namespace.path.display(), "more than {} network namespaces; not observed", NAMESPACES - 1);
                return;
            };
            let namespace = Arc::new(namespace);
            match self.watch(number, Some(Arc::clone(&namespace))).await {
                Ok(task) => {
                    tracing::info!(path = %namespace.path.display(), "network namespace found");
                    let mut tasks = JoinSet::new();
                    tasks.spawn(task);
                    self.watched.insert(number, (namespace, tasks));
                }
                // It may be gone again; else the next scan tries anew.
                Err(error) => {
                    lock(&self.handles).remove(&number);
                    tracing::debug!(path = %namespace.path.display(), %error, "network namespace not observed");
                }
            }
        }
    }

    /// Lists the interfaces of a namespace; gives the task that follows them.
    async fn watch(
        &mut self,
        number: u32,
        namespace: Option<Arc<Namespace>>,
    ) -> Result<impl Future<Output = ()> + Send + 'static, DatapathError> {
        let path = namespace.as_ref().map(|namespace| namespace.path.as_path());
        let runtime = tokio::runtime::Handle::current();
        let opened = namespace::within(path, || {
            let _context = runtime.enter();
            rtnetlink::new_multicast_connection(&GROUPS)
        });
        let (connection, handle, changes) = opened.flatten().map_err(netlink_error)?;
        tokio::spawn(connection);
        let links = dump(&handle, number, namespace.as_ref()).await?;
        self.links
            .send_if_modified(|known| known.replace(number, links));
        lock(&self.handles).insert(number, handle.clone());
        let sender = self.links.clone();
        Ok(follow(changes, handle, sender, number, namespace))
    }
}

/// Dumps again at each change.
async fn follow(
    mut changes: impl Stream<Item = impl Sized> + Unpin,
    handle: Handle,
    sender: watch::Sender<Links>,
    number: u32,
    namespace: Option<Arc<Namespace>>,
) {
    loop {
        tokio::select! {
            change = changes.next() => {
                if change.is_none() {
                    tracing::error!("netlink closed; new interfaces are no longer found");
                    return;
                }
                tokio::time::sleep(SETTLE).await;
                while changes.next().now_or_never().flatten().is_some() {}
            }
            () = tokio::time::sleep(REFRESH) => {}
        }
        match dump(&handle, number, namespace.as_ref()).await {
            Ok(now) => {
                sender.send_if_modified(|links| links.replace(number, now));
            }
            Err(error) => tracing::warn!(%error, "interfaces not refreshed"),
        }
    }
}

/// Another thread that died with the lock has told why already.
fn lock(handles: &Handles) -> MutexGuard<'_, BTreeMap<u32, Handle>> {
    handles.lock().unwrap_or_else(PoisonError::into_inner)
}

fn netlink_error(error: impl std::fmt::Display) -> DatapathError {
    DatapathError::Netlink {
        detail: error.to_string(),
    }
}

async fn dump(
    handle: &Handle,
    number: u32,
    namespace: Option<&Arc<Namespace>>,
) -> Result<Links, DatapathError> {
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
        let mut link = link(&message, numbered.contains(&message.header.index));
        if link.index >> INDEX_BITS != 0 {
            tracing::debug!(interface = %link.name, "index too large; not observed");
            continue;
        }
        link.index = interface_number(number, link.index);
        link.namespace = namespace.cloned();
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
        namespace: None,
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
