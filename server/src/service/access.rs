//! Who may change something: peers of the unix socket, by the credentials that
//! the kernel vouches for. Plaintext TCP may read, and no more.
//!
//! Called by every method that writes, before it reads its request. It decides
//! by connection, not by content. Bound: one small file of `/proc` is read for
//! a peer whose primary group is not the one.

use std::fs;

use nix::unistd::{Gid, Group, geteuid};
use tonic::{Request, Status, transport::server::UdsConnectInfo};

use super::Bound;

/// No such group.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// Neither a number nor a known name.
    #[error(
        "server.write_group: there is no group `{0}`; make it by `groupadd --system {0}`, or name another"
    )]
    Unknown(String),
    /// The system's list of groups cannot be read.
    #[error("server.write_group: cannot look up group `{name}`: {source}; give its number instead")]
    Lookup {
        /// As configured.
        name: String,
        /// Why.
        source: nix::Error,
    },
}

/// The group whose members may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteGroup {
    /// As configured, for people.
    pub name: String,
    /// Its number.
    pub gid: u32,
}

impl WriteGroup {
    /// The group of this name or number. A number need not have a name.
    ///
    /// # Errors
    ///
    /// When there is no group of this name.
    pub fn find(name: &str) -> Result<Self, GroupError> {
        let gid = match name.parse() {
            Ok(gid) => Gid::from_raw(gid),
            Err(_) => match Group::from_name(name) {
                Ok(Some(group)) => group.gid,
                Ok(None) => return Err(GroupError::Unknown(name.to_owned())),
                Err(source) => {
                    return Err(GroupError::Lookup {
                        name: name.to_owned(),
                        source,
                    });
                }
            },
        };
        Ok(Self {
            name: name.to_owned(),
            gid: gid.as_raw(),
        })
    }
}

/// The rule; clones are equal.
#[derive(Clone, Debug)]
pub struct Access {
    group: Option<WriteGroup>,
    /// The user that runs the server, who could do anything to it anyway.
    own: u32,
    /// A unix socket of this server, for the remedy.
    socket: Option<String>,
}

/// What is known of the process at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Peer {
    uid: u32,
    gid: u32,
    pid: Option<i32>,
}

impl Access {
    /// The rule for a server at these addresses.
    #[must_use]
    pub fn new(group: Option<WriteGroup>, bound: &[Bound]) -> Self {
        let socket = bound.iter().find(|bound| matches!(bound, Bound::Unix(_)));
        Self {
            group,
            own: geteuid().as_raw(),
            socket: socket.map(Bound::to_string),
        }
    }

    /// Whether who sent this may change something.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED` with what to do instead.
    pub fn may_write<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let refused = match request.extensions().get::<UdsConnectInfo>() {
            None => "this connection is plaintext TCP".to_owned(),
            Some(UdsConnectInfo {
                peer_cred: None, ..
            }) => "the kernel does not tell who this connection is from".to_owned(),
            Some(UdsConnectInfo {
                peer_cred: Some(cred),
                ..
            }) => {
                let peer = Peer {
                    uid: cred.uid(),
                    gid: cred.gid(),
                    pid: cred.pid(),
                };
                match self.allows(peer, groups_of) {
                    true => return Ok(()),
                    false => format!("this connection is from user {}", peer.uid),
                }
            }
        };
        Err(Status::permission_denied(format!(
            "writing needs {}; {refused}",
            self.remedy()
        )))
    }

    fn allows(&self, peer: Peer, groups_of: impl FnOnce(Peer) -> Vec<u32>) -> bool {
        peer.uid == 0
            || peer.uid == self.own
            || self
                .group
                .as_ref()
                .is_some_and(|group| peer.gid == group.gid || groups_of(peer).contains(&group.gid))
    }

    fn remedy(&self) -> String {
        let socket = match &self.socket {
            Some(socket) => format!("the unix socket {socket}"),
            None => "a unix socket (--listen unix:///PATH)".to_owned(),
        };
        match &self.group {
            Some(group) => format!(
                "{socket}, as root or as a member of the group `{}`",
                group.name
            ),
            None => format!("{socket}, as root (server.write_group lets others)"),
        }
    }
}

/// Supplementary groups of a live process. A process that came by the same
/// number later does not count unless it is the same user's.
fn groups_of(peer: Peer) -> Vec<u32> {
    let status = peer
        .pid
        .and_then(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok());
    status.map_or_else(Vec::new, |status| groups_in(&status, peer.uid))
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

    fn access(group: Option<u32>) -> Access {
        Access {
            group: group.map(|gid| WriteGroup {
                name: "sextant".into(),
                gid,
            }),
            own: 0,
            socket: Some("unix:///run/s".into()),
        }
    }

    #[test]
    fn root_the_servers_user_and_members_of_the_group_may_write() {
        let check = |uid, gid, group, supplementary: &[u32], expected| {
            let peer = Peer {
                uid,
                gid,
                pid: None,
            };
            let allowed = access(group).allows(peer, |_| supplementary.to_vec());
            assert_eq!(allowed, expected, "{peer:?} {group:?} {supplementary:?}");
        };
        check(0, 0, None, &[], true);
        check(1000, 1000, None, &[], false);
        // Without a group nobody else may, not even who is in group 0.
        check(1000, 0, None, &[0], false);
        check(1000, 300, Some(300), &[], true);
        check(1000, 1000, Some(300), &[24, 300], true);
        check(1000, 1000, Some(300), &[24], false);
        let rootless = Access {
            own: 1000,
            ..access(None)
        };
        let peer = Peer {
            uid: 1000,
            gid: 1000,
            pid: None,
        };
        assert!(rootless.allows(peer, |_| Vec::new()));
    }

    #[test]
    fn groups_count_only_while_the_process_is_the_same_users() {
        assert_eq!(groups_in(STATUS, 1000), [24, 27, 300]);
        assert_eq!(groups_in(STATUS, 7), [0_u32; 0]);
        assert_eq!(groups_in("", 0), [0_u32; 0]);
    }

    #[test]
    fn tcp_is_refused_with_what_to_do() {
        let refused = access(Some(300)).may_write(&Request::new(())).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::PermissionDenied);
        assert_eq!(
            refused.message(),
            "writing needs the unix socket unix:///run/s, as root or as a member of the group \
             `sextant`; this connection is plaintext TCP"
        );
    }

    #[test]
    fn a_group_is_found_by_name_or_number() {
        assert_eq!(WriteGroup::find("root").unwrap().gid, 0);
        assert_eq!(WriteGroup::find("54321").unwrap().gid, 54321);
        let unknown = WriteGroup::find("no-such-group-here").unwrap_err();
        assert!(unknown.to_string().contains("groupadd"), "{unknown}");
    }
}
