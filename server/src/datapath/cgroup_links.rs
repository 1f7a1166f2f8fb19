//! Programs on the root of the cgroups: attached there, and put back when somebody takes
//! them off. Not what they are for, which is `who`. Bound: a link for each program.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use super::{
    bpf::{self, Plain},
    cgroup_root,
    pins::{self, Pins},
};

/// What a program is attached to (`enum bpf_attach_type`, linux/bpf.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum CgroupHook {
    /// Sockets that are made.
    SocketCreate = 2,
    /// Processes that connect a socket of IPv4.
    Connect4 = 10,
    /// The same of IPv6.
    Connect6 = 11,
}

/// The beginning of `struct bpf_link_info`, as cgroups have it.
#[repr(C)]
#[derive(Clone, Copy)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    pad: u32,
    /// 0 where it is taken off.
    cgroup: u64,
}

// SAFETY: integers, without padding.
unsafe impl Plain for LinkInfo {}

/// The programs that are attached.
#[derive(Debug, Default)]
pub(super) struct CgroupLinks(Vec<CgroupLink>);

#[derive(Debug)]
struct CgroupLink {
    name: &'static str,
    hook: CgroupHook,
    program: OwnedFd,
    link: OwnedFd,
    /// Where it is kept when the daemon ends.
    pin: Option<PathBuf>,
    /// It could not be put back, which was told.
    is_missing: bool,
}

impl CgroupLinks {
    /// Attaches a program to all cgroups; with `pins` for longer than the daemon lives, in
    /// the place of the daemon's before, which meanwhile does the same.
    ///
    /// # Errors
    ///
    /// There is no such hierarchy, or the kernel refuses it.
    pub(super) fn attach(
        &mut self,
        name: &'static str,
        hook: CgroupHook,
        program: BorrowedFd<'_>,
        pins: Option<&Pins>,
    ) -> io::Result<()> {
        let pin = pins.map(|pins| pins.path(name));
        let link = CgroupLink {
            name,
            hook,
            program: program.try_clone_to_owned()?,
            link: new_link(program, hook, pin.as_ref())?,
            pin,
            is_missing: false,
        };
        self.0.push(link);
        Ok(())
    }

    /// Puts those back that somebody took off, and tells.
    pub(super) fn check(&mut self) {
        for link in &mut self.0 {
            link.check();
        }
    }
}

impl CgroupLink {
    fn check(&mut self) {
        // What cannot be asked is not known to be off.
        if bpf::info(self.link.as_fd()).map_or(true, |info: LinkInfo| info.cgroup != 0) {
            return;
        }
        let program = self.name;
        match new_link(self.program.as_fd(), self.hook, self.pin.as_ref()) {
            Ok(link) => {
                tracing::warn!(
                    program,
                    "somebody took the program off the cgroups; it is attached again"
                );
                (self.link, self.is_missing) = (link, false);
            }
            Err(error) if !self.is_missing => {
                tracing::warn!(
                    program, %error,
                    "somebody took the program off the cgroups, and it cannot be attached again; it is tried every few seconds"
                );
                self.is_missing = true;
            }
            Err(_) => {}
        }
    }
}

fn new_link(
    program: BorrowedFd<'_>,
    hook: CgroupHook,
    pin: Option<&PathBuf>,
) -> io::Result<OwnedFd> {
    let root = cgroup_root::open()?;
    let link = bpf::link_create(program, root.as_raw_fd() as u32, hook as u32, 0)?;
    if let Some(path) = pin {
        pins::unpin(path)?;
        bpf::pin(link.as_fd(), path)?;
    }
    Ok(link)
}
