//! Who made a socket: kept with it from its making on, so that it costs nothing
//! to know as long as nobody asks.
//!
//! A socket that a listening one accepted has none of its own; its listener's is
//! looked up. Those that were there before the programs get theirs from
//! `holders`. Kernel 5.8 (socket storage in these programs).

use aya_ebpf::{
    bindings::{
        BPF_F_NO_PREALLOC, BPF_SK_STORAGE_GET_F_CREATE, bpf_map_type::BPF_MAP_TYPE_SK_STORAGE,
    },
    helpers::generated::{
        bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_current_task,
        bpf_sk_storage_get, bpf_skc_to_mptcp_sock,
    },
    macros::map,
    maps::{LruHashMap, RingBuf},
};
use sextant_ebpf_common::{Cause, Owner, ProcessRecord, Told, start_of};

use crate::{maps, process, ring};

/// As `bpf_map_def` in BTF has it; aya's own takes other contexts only.
#[repr(C)]
pub struct SocketStorage {
    r#type: *const [i32; BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const Owner,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; BPF_F_NO_PREALLOC as usize],
}

// SAFETY: nothing is ever behind these pointers: their types are the definition.
unsafe impl Sync for SocketStorage {}

/// Owners of sockets.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".maps")]
static OWNERS: SocketStorage = SocketStorage {
    r#type: core::ptr::null(),
    key: core::ptr::null(),
    value: core::ptr::null(),
    max_entries: core::ptr::null(),
    map_flags: core::ptr::null(),
};

/// Processes that were told, by pid. LRU: one that is told again does no harm.
#[map]
static TOLD: LruHashMap<u32, Told> = LruHashMap::with_max_entries(8192, 0);

/// Processes, told before the first event of one of their flows.
#[map]
static PROCESSES: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// What is kept with a socket, if anything is.
#[inline(always)]
pub unsafe fn of(socket: *mut core::ffi::c_void) -> *mut Owner {
    storage(socket, 0)
}

/// The same of a socket as it carries packets: the kernel's own where it is a part of a
/// connection of Multipath TCP, which is a process'.
#[inline(always)]
pub unsafe fn behind(socket: *mut core::ffi::c_void) -> *mut Owner {
    let owner = of(socket);
    let is_known = !owner.is_null() && (*owner).tgid != 0;
    if is_known || process::field(&process::layout().tells_whole) == 0 {
        return owner;
    }
    let whole = bpf_skc_to_mptcp_sock(socket);
    if whole.is_null() {
        return owner;
    }
    of(whole.cast())
}

/// What is kept with a socket, from now on.
#[inline(always)]
pub unsafe fn made_of(socket: *mut core::ffi::c_void) -> *mut Owner {
    storage(socket, u64::from(BPF_SK_STORAGE_GET_F_CREATE))
}

#[inline(always)]
unsafe fn storage(socket: *mut core::ffi::c_void, flags: u64) -> *mut Owner {
    let map = (&raw const OWNERS).cast_mut().cast();
    bpf_sk_storage_get(map, socket, core::ptr::null_mut(), flags).cast()
}

/// The running process makes a socket.
#[inline(always)]
pub unsafe fn made(socket: *mut core::ffi::c_void) {
    let owner = made_of(socket);
    if owner.is_null() {
        maps::count(Cause::SocketNotOwned, 1, 0);
        return;
    }
    give_to_running(owner);
}

/// The running process connects a socket, which another may have made and passed on.
#[inline(always)]
pub unsafe fn connects(socket: *mut core::ffi::c_void) {
    let owner = made_of(socket);
    if owner.is_null() {
        maps::count(Cause::SocketNotOwned, 1, 0);
        return;
    }
    give_to_running(owner);
}

#[inline(always)]
unsafe fn give_to_running(owner: *mut Owner) {
    let leader = process::leader(bpf_get_current_task());
    // A worker connects for whoever has the connection that this one joins.
    if process::is_of_kernel(leader) {
        return;
    }
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let now = process::state(leader, bpf_get_current_cgroup_id());
    (*owner).start = start_of(now.start_ns);
    (*owner).tgid = tgid;
    (*owner).cgroup = now.cgroup;
    if is_news(tgid, &now) {
        tell(tgid, leader, &now);
    }
}

/// Whether it was not told so.
#[inline(always)]
pub unsafe fn is_news(tgid: u32, now: &Told) -> bool {
    TOLD.get(&tgid).is_none_or(|told| *told != *now)
}

/// It is told so now.
#[inline(always)]
pub unsafe fn note_told(tgid: u32, now: &Told) {
    let _ = TOLD.insert(&tgid, now, 0);
}

#[inline(never)]
unsafe fn tell(tgid: u32, leader: u64, now: &Told) {
    let Some(mut record) = PROCESSES.reserve::<ProcessRecord>(0) else {
        // It is told with its next socket, or found by its pid.
        maps::count(Cause::ProcessRingFull, 1, 0);
        return;
    };
    process::tell(record.as_mut_ptr(), leader);
    process::tell_command_line(record.as_mut_ptr(), leader);
    ring::submit_quietly(&PROCESSES, record, maps::process_level());
    note_told(tgid, now);
}
