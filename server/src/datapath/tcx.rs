//! TCX links (kernel 6.6): programs on an interface that vanish with the
//! process. By index, so that names, which need not be UTF-8, do not matter.
//!
//! The index is one of the network namespace of the calling thread.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use super::bpf::{Plain, bpf, descriptor, info, link_create, link_update};

/// Commands of bpf(2).
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const PROG_QUERY: libc::c_long = 16;
/// `BPF_F_BEFORE`: without another program, before all of them.
const BEFORE: u32 = 1 << 3;

/// Programs on one hook that are told; the kernel allows as many.
const MAX_PROGRAMS: usize = 64;
/// No interface has such an index, so that nothing is attached.
const NO_INTERFACE: u32 = i32::MAX as u32;

/// The way of the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// Into this host.
    Ingress,
    /// Out of it.
    Egress,
}

impl Direction {
    /// `BPF_TCX_INGRESS`, `BPF_TCX_EGRESS`.
    fn attach_type(self) -> u32 {
        match self {
            Self::Ingress => 46,
            Self::Egress => 47,
        }
    }

    /// Part of a file's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

/// The `query` member of `union bpf_attr`.
#[repr(C)]
#[derive(Default)]
struct Query {
    target_ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    count: u32,
    pad: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

/// The member for `BPF_PROG_GET_FD_BY_ID`.
#[repr(C)]
#[derive(Default)]
struct ById {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

/// The `info` member.
/// The beginning of `struct bpf_prog_info`, up to the name.
#[repr(C)]
#[derive(Clone, Copy)]
struct ProgramInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    lengths: [u32; 2],
    instructions: [u64; 2],
    load_time: u64,
    created_by: u32,
    maps: u32,
    map_ids: u64,
    name: [u8; 16],
}

/// Whether this kernel has TCX for a program, which is tried without an
/// interface: then it is the interface that is missing.
pub(super) fn is_there(program: BorrowedFd<'_>) -> bool {
    let tried = attach(program, NO_INTERFACE, Direction::Ingress);
    tried.is_err_and(|error| error.raw_os_error() == Some(libc::ENODEV))
}

/// Attaches a program before all others. It is detached when the descriptor is
/// closed, for which the kernel waits until no packet is in the old list.
pub(super) fn attach(
    program: BorrowedFd<'_>,
    interface: u32,
    direction: Direction,
) -> io::Result<OwnedFd> {
    link_create(program, interface, direction.attach_type(), BEFORE)
}

/// Puts another program in the place of a link's, if that is still on the interface.
///
/// # Errors
///
/// It is not: the interface is gone (`ENODEV`), or the link is of something else.
pub(super) fn replace(
    link: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    interface: u32,
    direction: Direction,
) -> io::Result<()> {
    let info: LinkInfo = info(link)?;
    if (info.interface, info.attach_type) != (interface, direction.attach_type()) {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    link_update(link, program)
}

/// Numbers of the programs on a hook, in the order in which they run.
pub(super) fn programs(interface: u32, direction: Direction) -> io::Result<Vec<u32>> {
    let mut ids = [0_u32; MAX_PROGRAMS];
    let mut attr = Query {
        target_ifindex: interface,
        attach_type: direction.attach_type(),
        prog_ids: ids.as_mut_ptr() as u64,
        count: MAX_PROGRAMS as u32,
        ..Query::default()
    };
    // SAFETY: `ids` has room for `count` numbers.
    unsafe { bpf(PROG_QUERY, &mut attr) }?;
    Ok(ids.into_iter().take(attr.count as usize).collect())
}

/// The number of a program of this process.
pub(super) fn program_id(program: BorrowedFd<'_>) -> io::Result<u32> {
    info(program).map(|info: ProgramInfo| info.id)
}

/// The name of any program; needs CAP_SYS_ADMIN.
pub(super) fn program_name(id: u32) -> io::Result<String> {
    let mut attr = ById {
        id,
        ..ById::default()
    };
    // SAFETY: the structure is that of the command, without pointers.
    let program = unsafe { descriptor(PROG_GET_FD_BY_ID, &mut attr) }?;
    let info: ProgramInfo = info(program.as_fd())?;
    let name = CStr::from_bytes_until_nul(&info.name).unwrap_or_default();
    Ok(name.to_string_lossy().into_owned())
}

/// The beginning of `struct bpf_link_info`, as TCX has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    pad: u32,
    interface: u32,
    attach_type: u32,
}

// SAFETY: integers and arrays of them, without padding.
unsafe impl Plain for ProgramInfo {}
// SAFETY: as above.
unsafe impl Plain for LinkInfo {}

const _: () = assert!(std::mem::offset_of!(ProgramInfo, name) == 64);
