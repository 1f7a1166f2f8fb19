//! Who may change something: peers of the unix socket, by the credentials that
//! the kernel vouches for. Plaintext TCP may read, and no more.
//!
//! Called by every method that writes, before it reads its request. It decides
//! by connection, not by content.

use nix::unistd::{Gid, Group, geteuid};
use tonic::{Request, Status};

use crate::listener::{Bound, Caller, Origin, Process};

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
        let refused = match Caller::of(request.extensions()).origin() {
            Origin::Tcp(_) => "this connection is plaintext TCP".to_owned(),
            Origin::Unknown => "the kernel does not tell who this connection is from".to_owned(),
            Origin::Unix(process) if self.allows(process) => return Ok(()),
            Origin::Unix(process) => format!("this connection is from user {}", process.uid),
        };
        Err(Status::permission_denied(format!(
            "writing needs {}; {refused}",
            self.remedy()
        )))
    }

    fn allows(&self, process: &Process) -> bool {
        let group = self.group.as_ref();
        process.uid == 0
            || process.uid == self.own
            || group.is_some_and(|group| process.groups.contains(&group.gid))
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let process = |uid, groups: &[u32]| Process {
            uid,
            groups: groups.to_vec(),
            pid: None,
        };
        let check = |uid, groups: &[u32], group, expected| {
            let allowed = access(group).allows(&process(uid, groups));
            assert_eq!(allowed, expected, "{uid} {groups:?} {group:?}");
        };
        check(0, &[0], None, true);
        check(1000, &[1000], None, false);
        // Without a group nobody else may, not even who is in group 0.
        check(1000, &[0], None, false);
        check(1000, &[300], Some(300), true);
        check(1000, &[1000, 24, 300], Some(300), true);
        check(1000, &[1000, 24], Some(300), false);
        let rootless = Access {
            own: 1000,
            ..access(None)
        };
        assert!(rootless.allows(&process(1000, &[1000])));
    }

    fn tcp() -> Request<()> {
        let mut request = Request::new(());
        let caller = Caller::from(Origin::Tcp(([127, 0, 0, 1], 9).into()));
        request.extensions_mut().insert(caller);
        request
    }

    #[test]
    fn tcp_is_refused_with_what_to_do() {
        let refused = access(Some(300)).may_write(&tcp()).unwrap_err();
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
