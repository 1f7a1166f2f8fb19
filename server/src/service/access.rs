//! Who may do what: roles by the names that the transport vouches for.
//!
//! Everybody who can connect is a viewer, unless the configuration says who is;
//! root, the server's user and the write group have all roles on the unix
//! socket; everything else is granted. What a listener allows at most bounds it.
//! It decides by who somebody is and which RPC they call, never by content.
//! Bound: some patterns for a call; files are read when the rules are made, never
//! for a call.

mod gate;
mod grants;
mod group;
mod rules;
mod token;
mod view;

#[cfg(test)]
mod tests;

use crate::selection::View;
use http::HeaderMap;
use nix::unistd::geteuid;
use tonic::Status;

use super::roles::{Need, Scope, need};
use crate::{
    config::{self, Role},
    listener::{Bound, Caller, Origin, Process, Security},
};

pub(super) use gate::guard;
use grants::{Granted, Grants};
pub use group::{GroupError, WriteGroup};
pub use rules::Rules;
pub use token::TokenError;
use token::Tokens;
pub(super) use view::view_of;

/// Who may do what is not as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A group.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// A token.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// The rules.
#[derive(Debug)]
pub struct Access {
    group: Option<WriteGroup>,
    /// The user that runs the server, who could do anything to it anyway.
    own: u32,
    /// A unix socket of this server, for the remedy.
    socket: Option<String>,
    grants: Grants,
    tokens: Tokens,
}

impl Access {
    /// The rules for a server at these addresses.
    fn new(
        grants: &[config::Grant],
        tokens: Tokens,
        group: Option<WriteGroup>,
        bound: &[Bound],
    ) -> Result<Self, AccessError> {
        let socket = bound.iter().find(|bound| matches!(bound, Bound::Unix(_)));
        Ok(Self {
            group,
            own: geteuid().as_raw(),
            socket: socket.map(Bound::to_string),
            grants: Grants::new(grants)?,
            tokens,
        })
    }

    /// The name of the token that a call shows, if it is a known one.
    pub(super) fn token(&self, headers: &HeaderMap) -> Option<&str> {
        self.tokens.shown(headers).ok().flatten()
    }

    /// What this caller sees by the RPC at this path, if they may call it. One that
    /// does not exist is for the router to refuse.
    ///
    /// # Errors
    ///
    /// `UNAUTHENTICATED` for a token that is none, `PERMISSION_DENIED` with what
    /// to do instead.
    fn check(&self, path: &str, caller: &Caller, headers: &HeaderMap) -> Result<View, Status> {
        // A wrong token is never as good as none.
        let token = self.tokens.shown(headers)?;
        let Some(Need::Role(role, scope)) = need(path) else {
            return Ok(View::of(Vec::new()));
        };
        let granted = self.granted(caller, token);
        let method = path.rsplit('/').next().unwrap_or_default();
        if granted.roles.has(role) {
            return match scope {
                Scope::Everything if !granted.view.is_whole() => {
                    Err(Status::permission_denied(format!(
                        "{method} shows what concerns everybody, and the [[grant]] of this caller is limited to \
                         some flows; call GetFlows, or have a [[grant]] without limits"
                    )))
                }
                Scope::Everything | Scope::View => Ok(granted.view),
                Scope::NoFlows => Ok(View::of(Vec::new())),
            };
        }
        Err(Status::permission_denied(format!(
            "{method} needs the role {}: {}; {}",
            role.name(),
            self.remedy(role, caller, token),
            told(caller, token)
        )))
    }

    /// All that a caller may do and see.
    fn granted(&self, caller: &Caller, token: Option<&str>) -> Granted {
        let owns = matches!(caller.origin(), Origin::Unix(process) if self.owns(process));
        let granted = match owns {
            true => Granted::ALL,
            false => self.grants.of(caller, token),
        };
        Granted {
            roles: granted.roles.within(caller.most()),
            ..granted
        }
    }

    /// Whose the server is.
    fn owns(&self, process: &Process) -> bool {
        let group = self.group.as_ref();
        process.uid == 0
            || process.uid == self.own
            || group.is_some_and(|group| process.groups.contains(&group.gid))
    }

    /// What gives the role to this caller.
    fn remedy(&self, role: Role, caller: &Caller, token: Option<&str>) -> String {
        let socket = match &self.socket {
            Some(socket) => format!("call it by the unix socket {socket}"),
            None => "call it by a unix socket (--listen unix:///PATH)".to_owned(),
        };
        let member = match &self.group {
            Some(group) => format!("as root or as a member of the group `{}`", group.name),
            None => "as root (server.write_group lets others)".to_owned(),
        };
        let by_socket = format!("{socket}, {member}");
        let grant = format!("a [[grant]] of `{}`", role.name());
        if !caller.most().has(role) {
            return match caller.security() {
                Security::Tls(_) => format!(
                    "{by_socket}, or by a listener whose `roles` have it; what is granted does not count on this one"
                ),
                Security::Plaintext => {
                    format!("{by_socket}, or by TLS with a certificate or token that has {grant}")
                }
            };
        }
        match (token, caller.security(), caller.origin()) {
            (Some(token), _, _) => format!("have {grant} to `token:{token}`, or {by_socket}"),
            (None, Security::Tls(Some(certificate)), _) => {
                format!("have {grant} to `{}`, or {by_socket}", certificate.name())
            }
            (None, Security::Plaintext, Origin::Unix(process)) => {
                format!("{by_socket}, or have {grant} to `uid:{}`", process.uid)
            }
            _ => format!("show a certificate or a token that has {grant}, or {by_socket}"),
        }
    }
}

/// Who it is, as far as it is known.
fn told(caller: &Caller, token: Option<&str>) -> String {
    match (token, caller.security(), caller.origin()) {
        (Some(token), _, _) => format!("this call has the token `{token}`"),
        (None, Security::Tls(Some(_)), _) => format!("this connection is from {caller}"),
        (None, Security::Tls(None), _) => "this connection shows no certificate".to_owned(),
        (None, _, Origin::Tcp(_)) => "this connection is plaintext TCP".to_owned(),
        (None, _, Origin::Unix(process)) => {
            format!("this connection is from user {}", process.uid)
        }
        (None, _, Origin::Unknown) => {
            "the kernel does not tell who this connection is from".to_owned()
        }
    }
}
