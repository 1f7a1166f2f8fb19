//! Filters on a clsact qdisc, where TCX is missing. By netlink and by index, so
//! that names, which need not be UTF-8, do not matter.
//!
//! A filter is told from others by its name and by its program's number, which
//! are read back from the kernel, so nothing of it is remembered here.

use std::{io, os::fd::AsRawFd as _};

use super::{
    netlink::{Request, Requests, attributes, text, u32_at},
    program::Program,
    tcx::Direction,
};

/// `TC_H_CLSACT`, the parent of the qdisc, and its handle (linux/pkt_sched.h).
const CLSACT: u32 = 0xffff_fff1;
const HANDLE: u32 = 0xffff_0000;
/// `TC_H_MIN_INGRESS` and `TC_H_MIN_EGRESS` of it.
const INGRESS: u32 = 0xffff_fff2;
const EGRESS: u32 = 0xffff_fff3;
/// Bytes of `struct tcmsg`.
const BODY: usize = 20;
/// `ETH_P_ALL` in network order.
const ALL: u32 = 0x0003_u16.to_be() as u32;
/// Before all others; the kernel puts a later filter of the same priority
/// before an older one.
const FIRST: u32 = 1;
/// The kernel takes one that comes before those that are there.
const ANY: u32 = 0;

/// Attributes (linux/rtnetlink.h, linux/pkt_cls.h).
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_ID: u16 = 11;
/// The program's return value is the action.
const ACT_DIRECT: u32 = 1;

const CREATE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;

/// A filter on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    /// Its name, or its kind if it is no eBPF program.
    pub(super) name: String,
    /// Number of its program.
    pub(super) program: Option<u32>,
    handle: u32,
    /// Priority and protocol.
    info: u32,
}

/// `struct tcmsg`.
fn body(interface: u32, handle: u32, parent: u32, info: u32) -> [u8; BODY] {
    let mut body = [0; BODY];
    for (place, word) in [interface, handle, parent, info].into_iter().enumerate() {
        let at = 4 + 4 * place;
        body[at..at + 4].copy_from_slice(&word.to_ne_bytes());
    }
    body
}

fn parent(direction: Direction) -> u32 {
    match direction {
        Direction::Ingress => INGRESS,
        Direction::Egress => EGRESS,
    }
}

/// Adds the qdisc; false if it is there already.
pub(super) fn add_qdisc(requests: &mut Requests, interface: u32) -> io::Result<bool> {
    let body = body(interface, HANDLE, CLSACT, 0);
    let request = Request::new(libc::RTM_NEWQDISC, CREATE, &body).with(TCA_KIND, b"clsact\0");
    match requests.change(request) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether there is a qdisc in the place of `clsact` that has no filters for what goes out:
/// `ingress`, which takes filters of both directions for those of its one.
pub(super) fn is_ingress_alone(requests: &mut Requests, interface: u32) -> io::Result<bool> {
    let body = body(interface, 0, CLSACT, 0);
    let request = Request::new(libc::RTM_GETQDISC, libc::NLM_F_ECHO as u16, &body);
    let mut found = false;
    let asked = requests.ask(request, |body| {
        let mut attributes = attributes(body.get(BODY..).unwrap_or_default());
        found |= attributes.any(|(kind, value)| kind == TCA_KIND && text(value) == "ingress");
    });
    match asked {
        // There is none.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        asked => asked.map(|()| found),
    }
}

/// Removes the qdisc if no filter is on it.
pub(super) fn remove_if_empty(requests: &mut Requests, interface: u32) -> io::Result<()> {
    for direction in [Direction::Ingress, Direction::Egress] {
        if !filters(requests, interface, direction)?.is_empty() {
            return Ok(());
        }
    }
    let body = body(interface, HANDLE, CLSACT, 0);
    requests.change(Request::new(libc::RTM_DELQDISC, 0, &body))
}

/// Adds a filter before all others, if the kernel allows: another kind of
/// filter may have the place.
pub(super) fn attach(
    requests: &mut Requests,
    interface: u32,
    direction: Direction,
    program: &Program,
) -> io::Result<()> {
    let mut add = |priority: u32| {
        let body = body(interface, 0, parent(direction), priority << 16 | ALL);
        requests.change(filter_of(program, CREATE, &body))
    };
    match add(FIRST) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EEXIST)) => add(ANY),
        added => added,
    }
}

/// Puts a program in the place of a filter's: each packet meets one of the two.
pub(super) fn replace(
    requests: &mut Requests,
    interface: u32,
    direction: Direction,
    program: &Program,
    old: &Filter,
) -> io::Result<()> {
    let body = body(interface, old.handle, parent(direction), old.info);
    requests.change(filter_of(program, libc::NLM_F_CREATE as u16, &body))
}

fn filter_of(program: &Program, flags: u16, body: &[u8]) -> Request {
    let mut name = program.name.as_bytes().to_vec();
    name.push(0);
    Request::new(libc::RTM_NEWTFILTER, flags, body)
        .with(TCA_KIND, b"bpf\0")
        .with_nested(
            TCA_OPTIONS,
            &[
                (TCA_BPF_FD, &program.fd.as_raw_fd().to_ne_bytes()),
                (TCA_BPF_NAME, &name),
                (TCA_BPF_FLAGS, &ACT_DIRECT.to_ne_bytes()),
            ],
        )
}

/// All filters of a direction in the order in which they run; none without a
/// qdisc.
pub(super) fn filters(
    requests: &mut Requests,
    interface: u32,
    direction: Direction,
) -> io::Result<Vec<Filter>> {
    let body = body(interface, 0, parent(direction), 0);
    let all = Request::new(libc::RTM_GETTFILTER, 0, &body);
    let listed = requests.list(&all, |list: &mut Vec<Filter>, _, body| {
        list.extend(filter(body));
    });
    match listed {
        // Of an interface that has no such qdisc.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) => {
            Ok(Vec::new())
        }
        listed => listed,
    }
}

fn filter(body: &[u8]) -> Option<Filter> {
    let (handle, info) = (u32_at(body, 8)?, u32_at(body, 16)?);
    let mut found = Filter {
        name: String::new(),
        program: None,
        handle,
        info,
    };
    for (kind, value) in attributes(body.get(BODY..)?) {
        match kind {
            TCA_KIND if found.name.is_empty() => found.name = text(value),
            TCA_OPTIONS => {
                for (kind, value) in attributes(value) {
                    match kind {
                        TCA_BPF_NAME => found.name = text(value),
                        TCA_BPF_ID => found.program = u32_at(value, 0),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    // A message without a handle is about the list that filters are in.
    (handle != 0).then_some(found)
}

/// Removes the filters that are meant; tells how many there were.
pub(super) fn detach(
    requests: &mut Requests,
    interface: u32,
    direction: Direction,
    is_meant: impl Fn(&Filter) -> bool,
) -> io::Result<usize> {
    let mut removed = 0;
    for filter in filters(requests, interface, direction)? {
        if !is_meant(&filter) {
            continue;
        }
        let body = body(interface, filter.handle, parent(direction), filter.info);
        let request = Request::new(libc::RTM_DELTFILTER, 0, &body).with(TCA_KIND, b"bpf\0");
        requests.change(request)?;
        removed += 1;
    }
    Ok(removed)
}
