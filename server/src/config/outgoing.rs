//! `[outgoing]` and `[[peer]]`: other servers, whom to trust there and what to show.

use std::path::PathBuf;

use super::{
    Peer, names,
    report::Once,
    section::Section,
    server_name, socket,
    values::{self, optional_path},
};

/// Connections to other servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Outgoing {
    /// Authorities that issue certificates of servers, PEM; none are the system's.
    pub ca: Vec<PathBuf>,
    /// This server's certificate chain and its key, for servers that ask, PEM.
    pub pair: Option<(PathBuf, PathBuf)>,
    /// File of the bearer token that is shown.
    pub token_file: Option<PathBuf>,
}

/// The keys of TLS and of the token, as far as they are given.
#[derive(Default)]
struct Given {
    ca: Option<Vec<PathBuf>>,
    pair: Option<(PathBuf, PathBuf)>,
    token_file: Option<PathBuf>,
}

/// What holds for all peers that say nothing else.
pub(super) fn outgoing(top: &mut Section<'_>) -> Outgoing {
    let Some(mut section) = top.section("outgoing") else {
        return Outgoing::default();
    };
    let given = given(&mut section);
    section.finish();
    given.over(&Outgoing::default())
}

/// The keys of TLS and of the token of another section, over those of `[outgoing]`; whether
/// it has any of TLS, and a token.
pub(super) fn of_section(section: &mut Section<'_>, outgoing: &Outgoing) -> (Outgoing, [bool; 2]) {
    let given = given(section);
    let has = [
        given.ca.is_some() || given.pair.is_some(),
        given.token_file.is_some(),
    ];
    (given.over(outgoing), has)
}

/// All `[[peer]]`; each name once, since it is relay's key.
pub(super) fn peers(top: &mut Section<'_>, outgoing: &Outgoing) -> Vec<Peer> {
    let mut once = Once::new(top.report());
    top.sections("peer")
        .into_iter()
        .map(|section| peer(section, outgoing, &mut once))
        .collect()
}

fn peer(mut section: Section<'_>, outgoing: &Outgoing, once: &mut Once<'_>) -> Peer {
    let name = section.required("name").text(names::peer);
    if let Some(name) = &name {
        once.see(format!("peer `{name}`"), section.offset());
    }
    let name = name.unwrap_or_default();
    let address = section.required("address").text(socket::peer_address);
    let address = address.unwrap_or_default();
    let own_name = section.item("tls_server_name").text(names::server);
    let given = given(&mut section);
    let has_own = own_name.is_some() || given.ca.is_some() || given.pair.is_some();
    let switch = section.item("tls").switch();
    if switch == Some(false) && has_own {
        section.wrong(
            "says `tls = false` and has keys of TLS; leave out `tls`, or `tls_server_name`, `ca`, `certificate` and `key`".into(),
        );
    }
    let is_tls = switch.unwrap_or(has_own);
    let is_unix = address.starts_with("unix:");
    if is_tls && is_unix {
        section.wrong(
            "is a unix socket, which needs no TLS; leave out `tls`, `tls_server_name`, `ca`, `certificate` and `key`".into(),
        );
    }
    if given.token_file.is_some() && !is_tls && !is_unix {
        section.wrong("would get its token in plaintext; say `tls = true` too".into());
    }
    section.finish();
    let default_name = || match name.split_once('/') {
        Some((cluster, node)) => server_name(cluster, node),
        None => server_name("", &name),
    };
    let mut outgoing = given.over(outgoing);
    if !is_tls {
        // Nobody else may read it.
        let token_file = outgoing.token_file.filter(|_| is_unix);
        outgoing = Outgoing {
            token_file,
            ..Outgoing::default()
        };
    }
    Peer {
        tls_server_name: is_tls.then(|| own_name.unwrap_or_else(default_name)),
        name,
        address,
        outgoing,
    }
}

fn given(section: &mut Section<'_>) -> Given {
    let certificate = section.item("certificate").text(optional_path).flatten();
    let key = section.item("key").text(optional_path).flatten();
    let missing = match (&certificate, &key) {
        (Some(_), None) => Some("key"),
        (None, Some(_)) => Some("certificate"),
        _ => None,
    };
    if let Some(missing) = missing {
        section.wrong(format!(
            "has no `{missing}`; a client's certificate needs `certificate` and `key`"
        ));
    }
    Given {
        ca: section.item("ca").texts(values::path),
        pair: certificate.zip(key),
        token_file: section.item("token_file").text(optional_path).flatten(),
    }
}

impl Given {
    fn over(self, other: &Outgoing) -> Outgoing {
        Outgoing {
            ca: self.ca.unwrap_or_else(|| other.ca.clone()),
            pair: self.pair.or_else(|| other.pair.clone()),
            token_file: self.token_file.or_else(|| other.token_file.clone()),
        }
    }
}
