//! Calls of bpf(2) that aya has no wrapper for: batched look-up, look-up with deletion in
//! one step (kernel 5.14 for hash maps), links, pins.

use std::{
    ffi::CString,
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

/// A type that can be copied from kernel memory as bytes.
///
/// # Safety
///
/// `repr(C)`, no padding, valid for any bytes.
pub(super) unsafe trait Plain: Copy {}

// SAFETY: plain integers and arrays; `common` asserts that there is no padding.
unsafe impl Plain for sextant_ebpf_common::Key4 {}
// SAFETY: as above.
unsafe impl Plain for sextant_ebpf_common::Key6 {}
// SAFETY: as above.
unsafe impl<K: Plain> Plain for sextant_ebpf_common::slot::Slot<K> {}
// SAFETY: as above.
unsafe impl Plain for sextant_ebpf_common::Event {}
// SAFETY: integers only, without padding.
unsafe impl Plain for sextant_ebpf_common::Translation {}
// SAFETY: as above.
unsafe impl Plain for sextant_ebpf_common::Payload {}
// SAFETY: as above.
unsafe impl Plain for sextant_ebpf_common::DropKey {}
// SAFETY: as above.
unsafe impl Plain for sextant_ebpf_common::DropCount {}
// SAFETY: as above.
unsafe impl Plain for sextant_ebpf_common::ProcessRecord {}

// SAFETY: an integer.
unsafe impl Plain for u64 {}

const MAP_CREATE: libc::c_long = 0;
const OBJ_PIN: libc::c_long = 6;
const OBJ_GET: libc::c_long = 7;
const MAP_LOOKUP_AND_DELETE_ELEM: libc::c_long = 21;
const MAP_LOOKUP_BATCH: libc::c_long = 24;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const LINK_CREATE: libc::c_long = 28;
const LINK_UPDATE: libc::c_long = 29;
/// `BPF_MAP_TYPE_ARRAY`, `BPF_F_MMAPABLE`.
const ARRAY: u32 = 2;
const MMAPABLE: u32 = 1 << 10;

/// The `batch` member of `union bpf_attr`.
#[repr(C)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// The member of `union bpf_attr` for single elements.
#[repr(C)]
struct ElemAttr {
    map_fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Walks a hash map in batches.
pub(super) struct BatchWalk<'a, K, V> {
    fd: BorrowedFd<'a>,
    keys: Vec<MaybeUninit<K>>,
    values: Vec<MaybeUninit<V>>,
    position: Option<u64>,
    done: bool,
}

impl<'a, K: Plain, V: Plain> BatchWalk<'a, K, V> {
    /// A walk over the map behind `fd`, `batch` elements at a time.
    pub(super) fn new(fd: BorrowedFd<'a>, batch: usize) -> Self {
        Self {
            fd,
            keys: vec![MaybeUninit::uninit(); batch],
            values: vec![MaybeUninit::uninit(); batch],
            position: None,
            done: false,
        }
    }

    /// Calls `each` for the next batch; false at the end of the map.
    pub(super) fn next(&mut self, mut each: impl FnMut(&K, &V)) -> io::Result<bool> {
        if self.done {
            return Ok(false);
        }
        let mut next = 0_u64;
        let mut attr = BatchAttr {
            in_batch: self
                .position
                .as_ref()
                .map_or(0, |position| std::ptr::from_ref(position) as u64),
            out_batch: &raw mut next as u64,
            keys: self.keys.as_mut_ptr() as u64,
            values: self.values.as_mut_ptr() as u64,
            count: self.keys.len() as u32,
            map_fd: self.fd.as_raw_fd() as u32,
            elem_flags: 0,
            flags: 0,
        };
        // SAFETY: the buffers hold `count` elements of the map's key and value size.
        match unsafe { bpf(MAP_LOOKUP_BATCH, &mut attr) } {
            Ok(_) => self.position = Some(next),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => self.done = true,
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                // One bucket holds more than the batch: take a larger one.
                let larger = self.keys.len() * 2;
                self.keys.resize(larger, MaybeUninit::uninit());
                self.values.resize(larger, MaybeUninit::uninit());
                return Ok(true);
            }
            Err(error) => return Err(error),
        }
        for (key, value) in self.keys.iter().zip(&self.values).take(attr.count as usize) {
            // SAFETY: the kernel wrote the first `count` elements.
            unsafe { each(key.assume_init_ref(), value.assume_init_ref()) }
        }
        Ok(!self.done)
    }
}

/// Removes an element and returns its last value; `None` if it was gone.
pub(super) fn lookup_and_delete<K: Plain, V: Plain>(
    fd: BorrowedFd<'_>,
    key: &K,
) -> io::Result<Option<V>> {
    let mut value = MaybeUninit::<V>::uninit();
    let mut attr = ElemAttr {
        map_fd: fd.as_raw_fd() as u32,
        pad: 0,
        key: std::ptr::from_ref(key) as u64,
        value: value.as_mut_ptr() as u64,
        flags: 0,
    };
    // SAFETY: key and value have the sizes of the map's; the kernel fills the value.
    match unsafe { bpf(MAP_LOOKUP_AND_DELETE_ELEM, &mut attr) } {
        // SAFETY: written on success.
        Ok(_) => Ok(Some(unsafe { value.assume_init() })),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a record of a ring; `None` if it has another size.
pub(super) fn record<T: Plain>(bytes: &[u8]) -> Option<T> {
    // SAFETY: the size matches and `T` is valid for any bytes.
    (bytes.len() == size_of::<T>()).then(|| unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// Reads what a record of a ring begins with, and gives the rest of it.
pub(super) fn head<T: Plain>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let (head, rest) = bytes.split_at_checked(size_of::<T>())?;
    Some((record(head)?, rest))
}

/// The `link_create` member of `union bpf_attr`, without what is for one kind of
/// link alone.
#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    prog_fd: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    rest: [u64; 2],
}

/// Attaches a program to what `target` is for this type: the index of an interface, the
/// descriptor of a cgroup, or nothing. It is detached when the descriptor is closed.
pub(super) fn link_create(
    program: BorrowedFd<'_>,
    target: u32,
    attach_type: u32,
    flags: u32,
) -> io::Result<OwnedFd> {
    let mut attr = LinkCreate {
        prog_fd: program.as_raw_fd() as u32,
        target,
        attach_type,
        flags,
        ..LinkCreate::default()
    };
    // SAFETY: the structure is that of the command, without pointers.
    unsafe { descriptor(LINK_CREATE, &mut attr) }
}

/// The `link_update` member.
#[repr(C)]
#[derive(Default)]
struct LinkUpdate {
    link_fd: u32,
    program_fd: u32,
    flags: u32,
    old_program_fd: u32,
}

/// Puts another program in the place of a link's: each packet meets one of the two.
pub(super) fn link_update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = LinkUpdate {
        link_fd: link.as_raw_fd() as u32,
        program_fd: program.as_raw_fd() as u32,
        ..LinkUpdate::default()
    };
    // SAFETY: the structure is that of the command, without pointers.
    unsafe { bpf(LINK_UPDATE, &mut attr) }.map(drop)
}

/// The member for `BPF_OBJ_*`.
#[repr(C)]
struct Pinned {
    path: u64,
    fd: u32,
    flags: u32,
}

/// Keeps a map, program or link at a path of a bpffs, until that is removed.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = Pinned {
        path: path.as_ptr() as u64,
        fd: object.as_raw_fd() as u32,
        flags: 0,
    };
    // SAFETY: the path is a text that ends with a zero.
    unsafe { bpf(OBJ_PIN, &mut attr) }.map(drop)
}

/// What is kept at a path; `None` if nothing is.
pub(super) fn pinned(path: &Path) -> io::Result<Option<OwnedFd>> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = Pinned {
        path: path.as_ptr() as u64,
        fd: 0,
        flags: 0,
    };
    // SAFETY: as above.
    match unsafe { descriptor(OBJ_GET, &mut attr) } {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The beginning of the member for `BPF_MAP_CREATE`.
#[repr(C)]
struct MapCreate {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
}

/// An array of so many 64-bit numbers, that can be mapped.
pub(super) fn numbers(count: usize) -> io::Result<OwnedFd> {
    let mut attr = MapCreate {
        kind: ARRAY,
        key_size: size_of::<u32>() as u32,
        value_size: size_of::<u64>() as u32,
        max_entries: count as u32,
        flags: MMAPABLE,
    };
    // SAFETY: the structure is that of the command, without pointers.
    unsafe { descriptor(MAP_CREATE, &mut attr) }
}

/// A call of bpf(2) that makes a descriptor.
///
/// # Safety
///
/// As for `bpf`; `command` must be one of those that make one.
pub(super) unsafe fn descriptor<T>(command: libc::c_long, attr: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: as promised by the caller.
    let fd = unsafe { bpf(command, attr) }?;
    // SAFETY: a new descriptor that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A call of bpf(2); gives a descriptor, where the command makes one.
///
/// # Safety
///
/// `attr` must be what `command` expects, with pointers valid for the call.
pub(super) unsafe fn bpf<T>(command: libc::c_long, attr: &mut T) -> io::Result<i32> {
    // SAFETY: as promised by the caller.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attr),
            size_of::<T>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result as i32)
    }
}

/// Gives freed memory back to the system at once, and not a second later: what is read
/// to load the programs is some 30 MiB, and then the kernel takes as much to verify them.
pub(super) fn give_memory_back() {
    // All arenas, `MALLCTL_ARENAS_ALL` of jemalloc/jemalloc_macros.h.
    let purge = c"arena.4096.purge".as_ptr();
    let (none, nothing) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: a name that ends in 0; it takes no value and gives none. Where another
    // allocator is in use there is nothing to purge.
    unsafe {
        tikv_jemalloc_sys::mallctl(purge, none, nothing, none, 0);
    }
}

/// Nanoseconds of the monotonic clock, which the programs stamp with.
pub(super) fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC) as u64
}

/// Nanoseconds of a jiffy, which are what the kernel's coarse clocks resolve.
pub(super) fn jiffy_ns() -> u64 {
    let mut resolution = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a valid place for the result; every Linux has the clock.
    unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &raw mut resolution) };
    resolution.tv_nsec as u64
}

/// Nanoseconds to add to the monotonic clock for wall time, as of now.
pub(super) fn wall_offset_ns() -> i64 {
    // Two reads around one: the wall clock is taken in the middle of them.
    let before = clock_ns(libc::CLOCK_MONOTONIC);
    let wall = clock_ns(libc::CLOCK_REALTIME);
    let after = clock_ns(libc::CLOCK_MONOTONIC);
    wall - (before + (after - before) / 2)
}

fn clock_ns(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes a timespec; these clocks always exist.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// The `info` member.
#[repr(C)]
struct Info {
    fd: u32,
    length: u32,
    info: u64,
}

/// The beginning of what the kernel tells of an object.
pub(super) fn info<T: Plain>(object: BorrowedFd<'_>) -> io::Result<T> {
    // SAFETY: it is plain, so valid for zeros.
    let mut found: T = unsafe { std::mem::zeroed() };
    let mut attr = Info {
        fd: object.as_raw_fd() as u32,
        length: size_of::<T>() as u32,
        info: std::ptr::from_mut(&mut found) as u64,
    };
    // SAFETY: the kernel fills in as much as the length says.
    unsafe { bpf(OBJ_GET_INFO_BY_FD, &mut attr) }?;
    Ok(found)
}
