//! What is needed to know who is behind a socket, as far as this kernel and our
//! rights give it: attached before the first packet, refused with a reason.

use std::{fs, os::fd::AsFd as _};

use aya::{
    Btf, Ebpf,
    maps::{Array, MapData},
    programs::{CgroupSock, CgroupSockAddr, Iter},
};
use sextant_ebpf_common::{NO_FIELD, WhoLayout};

use super::{
    cgroup_links::{CgroupHook, CgroupLinks},
    holders::{Found, Holders},
    kernel,
    layout::{self, Types},
    pins::Pins,
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
    links: &mut CgroupLinks,
    pins: Option<&Pins>,
) -> (Who, Option<Holders>, Option<Result<(), String>>) {
    if let Err(reason) = attach_to_new(ebpf, links, pins) {
        return (Who::Refused(reason), None, None);
    }
    let connecting = attach_to_connecting(ebpf, links, pins);
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
pub(super) fn attach_to_connecting(
    ebpf: &mut Ebpf,
    links: &mut CgroupLinks,
    pins: Option<&Pins>,
) -> Result<(), String> {
    for (name, hook) in [
        ("sextant_connect4", CgroupHook::Connect4),
        ("sextant_connect6", CgroupHook::Connect6),
    ] {
        let program: &mut CgroupSockAddr = ebpf
            .program_mut(name)
            .and_then(|program| program.try_into().ok())
            .ok_or("the build has no program for it")?;
        program.load().map_err(|error| chain(&error))?;
        let fd = program.fd().map_err(|error| chain(&error))?;
        let attached = links.attach(name, hook, fd.as_fd(), pins);
        attached.map_err(|error| format!("attaching it to the cgroups: {error}"))?;
    }
    Ok(())
}

fn attach_to_new(
    ebpf: &mut Ebpf,
    links: &mut CgroupLinks,
    pins: Option<&Pins>,
) -> Result<(), String> {
    let name = "sextant_sock";
    let program: &mut CgroupSock = ebpf
        .program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or("the build has no program for it")?;
    let refused = |error: String| format!("{error}; {}", kernel::remedy());
    program.load().map_err(|error| refused(chain(&error)))?;
    let fd = program.fd().map_err(|error| chain(&error))?;
    links
        .attach(name, CgroupHook::SocketCreate, fd.as_fd(), pins)
        .map_err(|error| refused(format!("attaching it to the cgroups: {error}")))
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
