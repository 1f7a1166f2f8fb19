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

impl CgroupHook {
    /// What is not known without it.
    fn unknown(self) -> &'static str {
        match self {
            Self::SocketCreate => "it is not known who is behind new sockets",
            Self::Connect4 => {
                "it is not known who connects by IPv4, nor is what policies deny refused at once"
            }
            Self::Connect6 => {
                "it is not known who connects by IPv6, nor is what policies deny refused at once"
            }
        }
    }
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
    /// Why it could not be put back, which was told.
    missing: Option<String>,
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
            missing: None,
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

    /// Of those that could not be put back, what that means and why.
    pub(super) fn missing(&self) -> Vec<String> {
        let text = |link: &CgroupLink| {
            let (what, program) = (link.hook.unknown(), link.name);
            let why = link.missing.as_ref()?;
            Some(format!(
                "{what}: somebody took {program} off the cgroups, and it cannot be attached again: {why}"
            ))
        };
        self.0.iter().filter_map(text).collect()
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
                (self.link, self.missing) = (link, None);
            }
            Err(error) => {
                if self.missing.is_none() {
                    tracing::warn!(
                        program, %error,
                        "somebody took the program off the cgroups, and it cannot be attached again; it is tried every few seconds"
                    );
                }
                self.missing = Some(error.to_string());
            }
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
