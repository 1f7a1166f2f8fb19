//! Whose TCP ports of this host are: sockets, and the units of systemd that hold them.
//!
//! Read out of `/proc` for a change of policies, not for packets. Bound: `MAX_SOCKETS`
//! sockets, and the processes that there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use procfs::{
    net::TcpState,
    process::{FDTarget, Process, all_processes},
};
use sextant_policy::{endpoint::Endpoint, traffic::endpoint_of};

use crate::process::unit_of;

/// Sockets that are looked at.
const MAX_SOCKETS: usize = 4096;

/// A socket of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    /// Our end.
    pub(super) local: SocketAddr,
    /// The other end; none where it listens.
    pub(super) peer: Option<SocketAddr>,
    inode: u64,
}

/// Units by the sockets that they hold.
#[derive(Debug, Default)]
pub(super) struct Owners(BTreeMap<u64, Vec<Endpoint>>);

/// Sockets of these ports that listen, or have a connection.
pub(super) fn sockets(ports: &[u16]) -> Vec<Socket> {
    let tables = [procfs::net::tcp(), procfs::net::tcp6()];
    let entries = tables.into_iter().flatten().flatten();
    let sockets = entries.filter_map(|entry| {
        if !ports.contains(&entry.local_address.port()) {
            return None;
        }
        let peer = match entry.state {
            TcpState::Established => Some(entry.remote_address),
            TcpState::Listen => None,
            _ => return None,
        };
        Some(Socket {
            local: entry.local_address,
            peer,
            inode: entry.inode,
        })
    });
    sockets.take(MAX_SOCKETS).collect()
}

impl Owners {
    /// Of these sockets.
    pub(super) fn of(sockets: &[Socket]) -> Self {
        let wanted: BTreeSet<u64> = sockets.iter().map(|socket| socket.inode).collect();
        let mut owners: BTreeMap<u64, Vec<Endpoint>> = BTreeMap::new();
        if wanted.is_empty() {
            return Self(owners);
        }
        for process in all_processes().into_iter().flatten().flatten() {
            let held = held_by(&process, &wanted);
            let unit = (!held.is_empty()).then(|| unit(&process)).flatten();
            for (inode, unit) in held.into_iter().zip(std::iter::repeat(unit)) {
                let units = owners.entry(inode).or_default();
                units.extend(unit.filter(|unit| !units.contains(unit)));
            }
        }
        Self(owners)
    }

    /// The units that hold a socket.
    pub(super) fn units(&self, socket: &Socket) -> &[Endpoint] {
        self.0.get(&socket.inode).map_or(&[], Vec::as_slice)
    }
}

/// The unit of this process.
pub(super) fn own_unit() -> Option<Endpoint> {
    unit(&Process::myself().ok()?)
}

/// The sockets among these that a process has open.
fn held_by(process: &Process, wanted: &BTreeSet<u64>) -> BTreeSet<u64> {
    let open = process.fd().into_iter().flatten().flatten();
    let sockets = open.filter_map(|fd| match fd.target {
        FDTarget::Socket(inode) if wanted.contains(&inode) => Some(inode),
        _ => None,
    });
    sockets.collect()
}

fn unit(process: &Process) -> Option<Endpoint> {
    Some(endpoint_of(&unit_of(process)?))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn sockets_of_a_port_are_those_that_listen_and_their_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let client = TcpStream::connect(local).unwrap();
        let (_server, peer) = listener.accept().unwrap();
        let found = sockets(&[local.port()]);
        let ends: Vec<_> = found.iter().map(|one| (one.local, one.peer)).collect();
        assert!(ends.contains(&(local, None)), "{ends:?}");
        assert!(ends.contains(&(local, Some(peer))), "{ends:?}");
        // All of them are this process's, whose unit is the same for each.
        let owners = Owners::of(&found);
        let own: Vec<_> = own_unit().into_iter().collect();
        for socket in &found {
            assert_eq!(owners.units(socket), own);
        }
        drop(client);
    }
}
