//! The root of the unified cgroup hierarchy, which the program for new sockets is
//! attached to, and which cgroups are in it.

use std::{
    ffi::CStr,
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        linux::fs::MetadataExt as _,
    },
};

use procfs::process::Process;

/// Kind of the hierarchy's file system.
const CGROUP2: &CStr = c"cgroup2";
/// `FSCONFIG_CMD_CREATE` (linux/mount.h).
const CREATE: libc::c_long = 6;

/// The hierarchy, to be asked what is in it.
#[derive(Debug)]
pub struct CgroupRoot(OwnedFd);

impl CgroupRoot {
    /// Of this kernel.
    ///
    /// # Errors
    ///
    /// When it is neither mounted nor can be.
    pub fn open() -> io::Result<Self> {
        open().map(Self)
    }

    /// The number of the cgroup at a path from the root; `None` if there is none.
    ///
    /// # Errors
    ///
    /// When that cannot be told.
    pub fn number_of(&self, path: &str) -> io::Result<Option<u64>> {
        let path = format!("/proc/self/fd/{}{path}", self.0.as_raw_fd());
        match fs::metadata(path) {
            Ok(found) => Ok(Some(found.st_ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A descriptor of the root. A mount of it need not be there: where the right to
/// make one is, it is made for this descriptor alone.
///
/// # Errors
///
/// When it is neither mounted nor can be.
pub(super) fn open() -> io::Result<OwnedFd> {
    mount().or_else(|error| mounted()?.ok_or(error))
}

/// Where it is mounted already.
fn mounted() -> io::Result<Option<OwnedFd>> {
    let mounts = Process::myself().and_then(|me| me.mountinfo());
    let mounts = mounts.map_err(io::Error::other)?;
    let found = mounts
        .into_iter()
        .find(|mount| mount.fs_type == "cgroup2" && mount.root == "/");
    let Some(found) = found else {
        return Ok(None);
    };
    File::open(found.mount_point).map(|file| Some(file.into()))
}

fn mount() -> io::Result<OwnedFd> {
    // SAFETY: a text that ends with a zero.
    let context = unsafe { called(libc::SYS_fsopen, CGROUP2.as_ptr() as libc::c_long, 0) }?;
    let fd = libc::c_long::from(context.as_raw_fd());
    // SAFETY: null pointers are what the command takes.
    let made = unsafe { libc::syscall(libc::SYS_fsconfig, fd, CREATE, 0, 0, 0) };
    if made < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: numbers alone.
    unsafe { called(libc::SYS_fsmount, fd, 0) }
}

/// A call with two arguments and a zero that gives a descriptor.
///
/// # Safety
///
/// The arguments must be what the call expects.
unsafe fn called(
    call: libc::c_long,
    first: libc::c_long,
    second: libc::c_long,
) -> io::Result<OwnedFd> {
    // SAFETY: as promised by the caller.
    let fd = unsafe { libc::syscall(call, first, second, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
