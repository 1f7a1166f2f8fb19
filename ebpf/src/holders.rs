//! Who holds which socket: a walk over all descriptors of all processes, which
//! finds the owners of sockets that were there before us, or were passed on.
//!
//! Two walks make a round. The first marks the sockets whose owner holds them, and tells
//! owners again who executed a file, or are another user's or in another cgroup by now;
//! the second gives those that are not marked to the first process that does.
//! What is held by systemd alone (socket activation), that of the host, of a user or
//! of a container, goes to the service once it has it, though systemd keeps it too. Kernel 5.12 (`bpf_sock_from_file` in iterators).

use aya_ebpf::{
    helpers::generated::{bpf_seq_write, bpf_sock_from_file},
    macros::map,
    maps::{Array, PerCpuArray},
};
use sextant_ebpf_common::{Owner, ProcessRecord, Told, start_of};

use crate::{owner, process};

/// The init process, which makes sockets for others.
const INIT: u32 = 1;
/// The name of what does so elsewhere: the manager of a user, the init process of a
/// container. Who takes that name gives away sockets of their own alone.
const SYSTEMD: u64 = u64::from_ne_bytes(*b"systemd\0");

/// What the program is called with (`struct bpf_iter__task_file`).
#[repr(C)]
pub struct TaskFile {
    meta: *mut Meta,
    task: *mut core::ffi::c_void,
    descriptor: u64,
    file: *mut core::ffi::c_void,
}

/// `struct bpf_iter_meta`.
#[repr(C)]
struct Meta {
    sequence: *mut core::ffi::c_void,
    session: u64,
    number: u64,
}

/// The round, twice its number; with the lowest bit set it is the second walk.
#[map]
static ROUND: Array<u32> = Array::with_max_entries(1, 0);

/// Where a process is put together. One walk runs at a time.
#[map]
static HOLDER: PerCpuArray<ProcessRecord> = PerCpuArray::with_max_entries(1, 0);

/// A descriptor of a task. Processes that are given a socket are written to the
/// reader of the walk.
#[inline(always)]
pub unsafe fn look(context: *mut TaskFile) {
    let (task, file) = ((*context).task, (*context).file);
    if task.is_null() || file.is_null() {
        return;
    }
    let socket = bpf_sock_from_file(file.cast());
    if socket.is_null() {
        return;
    }
    let place = process::field(&process::layout().socket_sock);
    let sock = *(socket.cast::<u8>().add(place as usize) as *const *mut core::ffi::c_void);
    if sock.is_null() {
        return;
    }
    let Some(round) = ROUND.get(0).copied() else {
        return;
    };
    let leader = process::leader(task as u64);
    let tgid: u32 = process::read(leader, process::field(&process::layout().task_tgid));
    let now = process::state(leader, process::cgroup(leader));
    let start = start_of(now.start_ns);
    let is_init = makes_for_others(leader, tgid);
    if round & 1 == 0 {
        let owner = owner::of(sock);
        if is_of(owner, tgid, start) {
            // It may have gone elsewhere, or become another, with the sockets that it has.
            (*owner).cgroup = now.cgroup;
            if !is_init {
                (*owner).round = round;
            }
            if owner::is_news(tgid, &now) {
                tell(context, leader, tgid, &now);
            }
        }
    } else {
        let owner = owner::made_of(sock);
        if give(owner, round - 1, is_init, tgid, start) {
            (*owner).cgroup = now.cgroup;
            tell(context, leader, tgid, &now);
        }
    }
}

/// Whether what it holds may be another's.
#[inline(always)]
unsafe fn makes_for_others(leader: u64, tgid: u32) -> bool {
    let name: u64 = process::read(leader, process::field(&process::layout().task_comm));
    tgid == INIT || name == SYSTEMD
}

/// Whether it is the one that we think.
#[inline(always)]
unsafe fn is_of(owner: *mut Owner, tgid: u32, start: u32) -> bool {
    !owner.is_null() && (*owner).tgid == tgid && (*owner).start == start
}

/// The second walk: nobody, or one that holds it no more; tells whether it is
/// another now.
#[inline(always)]
unsafe fn give(owner: *mut Owner, round: u32, is_init: bool, tgid: u32, start: u32) -> bool {
    if owner.is_null() || (*owner).round == round {
        return false;
    }
    let was = ((*owner).tgid, (*owner).start);
    // Init keeps what nobody else has, but others may come behind it.
    if is_init && was.0 != 0 {
        return false;
    }
    (*owner).tgid = tgid;
    (*owner).start = start;
    if !is_init {
        (*owner).round = round;
    }
    was != (tgid, start)
}

#[inline(never)]
unsafe fn tell(context: *mut TaskFile, leader: u64, tgid: u32, now: &Told) {
    let Some(record) = HOLDER.get_ptr_mut(0) else {
        return;
    };
    process::tell(record, leader);
    let size = size_of::<ProcessRecord>() as u32;
    bpf_seq_write((*(*context).meta).sequence.cast(), record.cast(), size);
    owner::note_told(tgid, now);
}
