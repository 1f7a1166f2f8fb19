//! Who is at the other end of a connection, as the transport vouches for it.
//!
//! Made once for a connection and found in the extensions of each of its
//! requests. It says who somebody is, never what they may do. Bound: one small
//! file of `/proc` is read for a connection of a unix socket, one request made of
//! the kernel for one of TCP.

use std::{
    fmt, fs,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use tokio::net::UnixStream;

use super::Certificate;
use crate::config::Roles;

/// Who a connection is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// TCP, from this address.
    Tcp(SocketAddr),
    /// A unix socket, by a process of this user.
    Unix(Process),
    /// A unix socket whose other end the kernel does not tell.
    Unknown,
}

/// A process at the other end of a unix socket, when it connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Effective user.
    pub uid: u32,
    /// Effective group, then the supplementary ones.
    pub groups: Vec<u32>,
    /// Its number, if it is in a namespace that is seen from here.
    pub pid: Option<i32>,
}

/// Whom a limit is shared out to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Share {
    /// A local user, by the unix socket or by TCP from whatever address.
    User(u32),
    /// An address; of IPv6 the network of 64 bits, which one host has alone.
    Address(IpAddr),
    /// All of the loopback whose users the kernel does not tell.
    Loopback,
    /// All that the kernel tells nothing of.
    Unknown,
}

/// How a connection is kept from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// Not at all; a unix socket needs nothing.
    Plaintext,
    /// TLS; with the certificate of the client, if it showed one that is right.
    Tls(Option<Certificate>),
}

/// The other end of a connection; clones are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller(Arc<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    origin: Origin,
    /// Our end of a connection by TCP.
    local: Option<SocketAddr>,
    /// Of a connection by TCP from this host. It proves nothing: a socket can be
    /// handed on.
    local_user: Option<u32>,
    security: Security,
    /// The most that anybody may do on this listener.
    most: Roles,
}

impl Caller {
    /// Somebody.
    #[must_use]
    pub fn new(origin: Origin, security: Security, most: Roles) -> Self {
        Self::from_local(origin, None, security, most)
    }

    /// Somebody whose socket is said to be a user's of this host.
    #[must_use]
    pub fn from_local(
        origin: Origin,
        local_user: Option<u32>,
        security: Security,
        most: Roles,
    ) -> Self {
        Self(Arc::new(Inner {
            origin,
            local: None,
            local_user,
            security,
            most,
        }))
    }

    /// The same on a connection by TCP, whose end here has this address.
    #[must_use]
    pub fn at(mut self, local: Option<SocketAddr>) -> Self {
        Arc::make_mut(&mut self.0).local = local;
        self
    }

    /// Our end of its connection by TCP.
    #[must_use]
    pub fn local(&self) -> Option<SocketAddr> {
        self.0.local
    }

    /// Who sent a request; one without a connection is from nobody known.
    #[must_use]
    pub fn of(extensions: &http::Extensions) -> Self {
        extensions
            .get::<Self>()
            .cloned()
            .unwrap_or_else(|| Self::new(Origin::Unknown, Security::Plaintext, Roles::default()))
    }

    /// Where it is from.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// Whose socket it is by TCP from this host: for shares and logs, no proof.
    #[must_use]
    pub fn local_user(&self) -> Option<u32> {
        self.0.local_user
    }

    /// How it is kept from others.
    #[must_use]
    pub fn security(&self) -> &Security {
        &self.0.security
    }

    /// The most that anybody may do where it came in.
    #[must_use]
    pub fn most(&self) -> Roles {
        self.0.most
    }

    /// Whether root is at the other end, by a unix socket.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.origin.is_root()
    }

    /// Whom this counts for where something is shared out.
    #[must_use]
    pub fn share(&self) -> Share {
        self.0.origin.share(self.0.local_user)
    }
}

impl Origin {
    /// The process at the other end of a unix socket, with its groups.
    pub(super) fn of_unix(stream: &UnixStream) -> Self {
        let Ok(cred) = stream.peer_cred() else {
            return Self::Unknown;
        };
        let mut groups = vec![cred.gid()];
        groups.extend(groups_of(cred.pid(), cred.uid()));
        Self::Unix(Process {
            uid: cred.uid(),
            groups,
            pid: cred.pid(),
        })
    }

    /// Whom this counts for where something is shared out. Root has a share for
    /// each address: many services are root's, and who is root needs none.
    #[must_use]
    pub fn share(&self, local_user: Option<u32>) -> Share {
        match self {
            Self::Tcp(address) => match local_user {
                Some(0) => Share::Address(network(address.ip())),
                Some(uid) => Share::User(uid),
                None if address.ip().to_canonical().is_loopback() => Share::Loopback,
                None => Share::Address(network(address.ip())),
            },
            Self::Unix(process) => Share::User(process.uid),
            Self::Unknown => Share::Unknown,
        }
    }

    /// Whether it is root, by a unix socket.
    #[must_use]
    pub fn is_root(&self) -> bool {
        matches!(self, Self::Unix(Process { uid: 0, .. }))
    }
}

/// Somebody on a plaintext listener that allows everything.
impl From<Origin> for Caller {
    fn from(origin: Origin) -> Self {
        Self::new(origin, Security::Plaintext, Roles::ALL)
    }
}

/// For logs and refusals.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Security::Tls(Some(certificate)) = &self.0.security {
            return f.write_str(&certificate.name());
        }
        match &self.0.origin {
            Origin::Tcp(address) => write!(f, "{address}"),
            Origin::Unix(process) => write!(f, "uid:{}", process.uid),
            Origin::Unknown => f.write_str("unknown"),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(uid) => write!(f, "user {uid}"),
            Self::Address(IpAddr::V6(address)) if !address.is_loopback() => {
                write!(f, "{address}/64")
            }
            Self::Address(address) => write!(f, "{address}"),
            Self::Loopback => f.write_str("the loopback"),
            Self::Unknown => f.write_str("an unknown peer"),
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if address.is_loopback() => address.into(),
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
        v4 => v4,
    }
}

/// Supplementary groups of a live process. A process that came by the same
/// number later does not count unless it is the same user's.
fn groups_of(pid: Option<i32>, uid: u32) -> Vec<u32> {
    let status = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok());
    status.map_or_else(Vec::new, |status| groups_in(&status, uid))
}

/// The groups in a `/proc/PID/status` of a process of user `uid`.
fn groups_in(status: &str, uid: u32) -> Vec<u32> {
    let numbers = |key: &str| -> Vec<u32> {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_default()
            .split_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect()
    };
    // Real, effective, saved, file system.
    match numbers("Uid:").get(1) {
        Some(effective) if *effective == uid => numbers("Groups:"),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tcat\nUid:\t7\t1000\t7\t7\nGid:\t1000\t1000\t1000\t1000\n\
                          Groups:\t24 27 300 \n";

    #[test]
    fn groups_are_those_of_the_process_that_connected() {
        assert_eq!(groups_in(STATUS, 1000), [24, 27, 300]);
        // The real user is 7; the number now belongs to somebody else.
        assert_eq!(groups_in(STATUS, 7), [0; 0]);
        assert_eq!(groups_in("", 1000), [0; 0]);
    }

    #[test]
    fn one_host_is_one_share() {
        let share = |text: &str| Origin::Tcp(text.parse().unwrap()).share(None).to_string();
        assert_eq!(share("10.0.0.1:1"), "10.0.0.1");
        assert_eq!(share("[::ffff:10.0.0.1]:9"), "10.0.0.1");
        assert_eq!(share("[2001:db8:1:2:3:4:5:6]:9"), "2001:db8:1:2::/64");
        assert_eq!(share("[2001:db8:1:2::1]:8"), "2001:db8:1:2::/64");
        for address in [
            "[::1]:8",
            "127.0.0.1:9",
            "127.8.7.6:9",
            "[::ffff:127.0.0.9]:9",
        ] {
            assert_eq!(share(address), "the loopback");
        }
    }

    #[test]
    fn a_local_user_is_one_share_from_whatever_address_and_root_one_for_each() {
        let share = |uid, text: &str| Origin::Tcp(text.parse().unwrap()).share(Some(uid));
        let addresses = ["[::1]:8", "127.0.0.1:9", "127.8.7.6:9", "10.0.0.1:9"];
        for address in addresses {
            assert_eq!(share(1000, address), Share::User(1000));
        }
        let of_root: std::collections::HashSet<_> =
            addresses.iter().map(|address| share(0, address)).collect();
        assert_eq!(of_root.len(), addresses.len());
    }
}
