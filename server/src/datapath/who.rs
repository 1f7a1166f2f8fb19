//! What is needed to know who is behind a socket, as far as this kernel and our
//! rights give it: attached before the first packet, refused with a reason.

use std::{fs, os::fd::AsFd as _};

use aya::{
    Btf, Ebpf,
    maps::{Array, MapData},
    programs::{
        CgroupAttachMode, CgroupSock, CgroupSockAddr, Iter,
        links::{FdLink, LinkError},
    },
};
use sextant_ebpf_common::{NO_FIELD, WhoLayout};

use super::{
    cgroup_root,
    holders::{Found, Holders},
    kernel,
    layout::{self, Types},
    pins::{self, Pins},
    refusal::chain,
    settings::Settings,
};

/// Number of the initial pid namespace (`PROC_PID_INIT_INO`), of which the kernel
/// tells pids.
const INITIAL_PIDS: &str = "pid:[4026531836]";
/// The same for cgroups.
const INITIAL_CGROUPS: &str = "cgroup:[4026531835]";

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Not wanted.
    Off,
    /// It is known; with what is not, if anything.
    Known(Option<String>),
    /// It is not, and why.
    Refused(String),
}

/// Where things are in this kernel, before anything is loaded.
pub(super) fn layout(settings: &Settings, types: &Types) -> (WhoLayout, Who) {
    if !settings.who {
        return (WhoLayout::default(), Who::Off);
    }
    if let Some(reason) = foreign_pids() {
        return (WhoLayout::default(), Who::Refused(reason));
    }
    match types.find(layout::who::find) {
        Ok(mut layout) => {
            if !settings.command_lines {
                layout.mm_arguments = NO_FIELD;
            }
            (layout, Who::Known(None))
        }
        Err(reason) => (WhoLayout::default(), Who::Refused(reason)),
    }
}

/// Attaches to new sockets, then looks who has those that are there. With `pins` sockets
/// are told apart when the daemon has ended, too. Last what came of processes that connect,
/// if it was tried.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    round: Array<MapData, u32>,
    found: &Found,
    pins: Option<&Pins>,
) -> (Who, Option<Holders>, Option<Result<(), String>>) {
    if let Err(reason) = attach_to_new(ebpf, pins) {
        return (Who::Refused(reason), None, None);
    }
    let connecting = attach_to_connecting(ebpf, pins);
    let not_connecting = connecting
        .as_ref()
        .err()
        .map(|reason| format!("not who connects a socket that another process made: {reason}"));
    let (not_old, holders) = match look_at_old(ebpf, round, found) {
        Ok(holders) => (None, Some(holders)),
        Err(reason) => {
            let reason = format!("not of sockets from before the start, or passed on: {reason}");
            (Some(reason), None)
        }
    };
    let limits = [not_old, not_connecting, own_cgroups_only()];
    let limits: Vec<_> = limits.into_iter().flatten().collect();
    let limits = (!limits.is_empty()).then(|| limits.join("; "));
    (Who::Known(limits), holders, Some(connecting))
}

/// To processes that connect.
pub(super) fn attach_to_connecting(ebpf: &mut Ebpf, pins: Option<&Pins>) -> Result<(), String> {
    for name in ["sextant_connect4", "sextant_connect6"] {
        let root = cgroup_root::open().map_err(|error| error.to_string())?;
        let program: &mut CgroupSockAddr = ebpf
            .program_mut(name)
            .and_then(|program| program.try_into().ok())
            .ok_or("the build has no program for it")?;
        let attached = program
            .load()
            .and_then(|()| program.attach(root, CgroupAttachMode::Single));
        let link = attached.map_err(|error| chain(&error))?;
        if let Some(pins) = pins {
            let link = program.take_link(link).map_err(|error| chain(&error))?;
            keep(pins, name, link.try_into())?;
        }
    }
    Ok(())
}

/// Pins a link in the place of the daemon's before, which meanwhile does the same.
fn keep(pins: &Pins, name: &str, link: Result<FdLink, LinkError>) -> Result<(), String> {
    let path = pins.path(name);
    pins::unpin(&path).map_err(|error| error.to_string())?;
    let link = link.map_err(|error| chain(&error))?;
    link.pin(path).map(drop).map_err(|error| chain(&error))
}

fn attach_to_new(ebpf: &mut Ebpf, pins: Option<&Pins>) -> Result<(), String> {
    let root = cgroup_root::open()
        .map_err(|error| format!("the root of the cgroup2 hierarchy cannot be opened: {error}"))?;
    let program: &mut CgroupSock = ebpf
        .program_mut("sextant_sock")
        .and_then(|program| program.try_into().ok())
        .ok_or("the build has no program for it")?;
    let attached = program
        .load()
        // aya asks for a flag that a link does not take, if several are allowed;
        // with a link several are.
        .and_then(|()| program.attach(root, CgroupAttachMode::Single));
    let link = attached.map_err(|error| format!("{}; {}", chain(&error), kernel::remedy()))?;
    if let Some(pins) = pins {
        let link = program.take_link(link).map_err(|error| chain(&error))?;
        keep(pins, "sextant_sock", link.try_into())?;
    }
    Ok(())
}

fn look_at_old(
    ebpf: &mut Ebpf,
    round: Array<MapData, u32>,
    found: &Found,
) -> Result<Holders, String> {
    let program: &mut Iter = ebpf
        .program_mut("sextant_holders")
        .and_then(|program| program.try_into().ok())
        .ok_or("the build has no program for it")?;
    let types = Btf::from_sys_fs().map_err(|error| chain(&error))?;
    program
        .load("task_file", &types)
        .map_err(|error| chain(&error))?;
    let fd = program.fd().map_err(|error| chain(&error))?;
    Holders::new(fd.as_fd(), round, found.clone()).map_err(|error| error.to_string())
}

/// Why the pids of this process are not those of the kernel.
fn foreign_pids() -> Option<String> {
    let own = fs::read_link("/proc/self/ns/pid").ok()?;
    (own.as_os_str() != INITIAL_PIDS).then(|| {
        "sextantd runs in a pid namespace of its own, where processes of the host have other numbers; run it in the host's (docker run --pid=host, hostPID: true)".into()
    })
}

fn own_cgroups_only() -> Option<String> {
    let own = fs::read_link("/proc/self/ns/cgroup").ok()?;
    (own.as_os_str() != INITIAL_CGROUPS).then(|| {
        "not of new sockets of other cgroups, since sextantd runs in a cgroup namespace of its own; run it in the host's (docker run --cgroupns=host)".into()
    })
}
