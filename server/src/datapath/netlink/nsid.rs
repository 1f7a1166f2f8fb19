//! Which network namespace an interface means by the number that it has for
//! another one (`IFLA_LINK_NETNSID`): each namespace has numbers of its own.

use std::{
    collections::HashMap,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

use super::{
    message::{Request, attributes, u32_at},
    socket::Requests,
};
use crate::datapath::namespace::open;

/// Bytes of `struct rtgenmsg`, and what attributes after it begin at.
const GENERAL: usize = 1;
const ATTRIBUTES: usize = 4;
/// Attributes (linux/net_namespace.h).
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;

/// Numbers of namespaces as that of the socket has them, with the ones that the
/// daemon has for them. Those that are gone or have none there are left out.
pub(super) fn numbers(requests: &mut Requests, namespaces: &[(u32, PathBuf)]) -> HashMap<i32, u32> {
    let known = namespaces
        .iter()
        .filter_map(|(number, path)| Some((ask(requests, path)?, *number)));
    known.collect()
}

/// The same, by what is asked for: several may be of one namespace.
pub(super) fn by_place(requests: &mut Requests, places: &[(u32, PathBuf)]) -> HashMap<u32, u32> {
    let known = places
        .iter()
        .filter_map(|(number, path)| Some((*number, ask(requests, path)?.cast_unsigned())));
    known.collect()
}

fn ask(requests: &mut Requests, path: &Path) -> Option<i32> {
    let file = open(path).ok()?;
    let question = Request::new(libc::RTM_GETNSID, 0, &[0; GENERAL])
        .with(NETNSA_FD, &file.as_raw_fd().to_ne_bytes());
    let mut told = None;
    let answered = requests.ask(question, |body| {
        let attribute = attributes(body.get(ATTRIBUTES..).unwrap_or_default())
            .find(|(kind, _)| *kind == NETNSA_NSID);
        told = attribute.and_then(|(_, value)| u32_at(value, 0));
    });
    answered.ok()?;
    // -1 says that it has none.
    told.map(|id| id as i32).filter(|id| *id >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_namespace_is_asked_for_without_harm() {
        let mut requests = Requests::open().unwrap();
        let own = [(7, PathBuf::from("/proc/self/ns/net"))];
        let numbers = numbers(&mut requests, &own);
        assert!(numbers.len() <= 1, "it may have a number for itself");
    }
}
