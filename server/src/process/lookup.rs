//! Looks a process up by its number, if the programs could not tell it. Texts are as those
//! that programs tell (`datapath::process`): what is not text is shown as such.

use procfs::{
    Current as _,
    process::{Process, Stat},
};
use sextant_ebpf_common::Side;
use sextant_flows::printable::printable;

use super::endpoint::unit_at;
use crate::{
    datapath::ProcessSeen,
    flow::{Endpoint, Time},
};

/// Why a path of the kernel's says that its file was removed.
const DELETED: &str = " (deleted)";

/// The process with this number, if it is still the one that started then: the number
/// may have been given to another since.
pub(super) fn same(side: Side) -> Option<(Process, Stat)> {
    let process = Process::new(i32::try_from(side.tgid).ok()?).ok()?;
    let stat = process.stat().ok()?;
    (stat.starttime as u32 == side.start).then_some((process, stat))
}

/// The unit that a process is in, as an endpoint without an identity.
pub(crate) fn unit_of(process: &Process) -> Option<Endpoint> {
    unit_at(&cgroup_of(process)?, &exe_of(process))
}

/// The path of the cgroup of the process with this number, if that is still the one.
pub(super) fn cgroup_path(side: Side) -> Option<String> {
    cgroup_of(&same(side)?.0)
}

/// The file that it executes.
fn exe_of(process: &Process) -> String {
    let exe = process.exe().unwrap_or_default();
    let exe = exe.to_string_lossy();
    printable(exe.strip_suffix(DELETED).unwrap_or(&exe)).into_owned()
}

/// The path of its cgroup as the programs have it: of the unified hierarchy, if anybody
/// uses it.
fn cgroup_of(process: &Process) -> Option<String> {
    let groups = process.cgroups().map(|groups| groups.0).unwrap_or_default();
    let path_of = |is_it: &dyn Fn(&procfs::ProcessCGroup) -> bool| {
        let found = groups.iter().find(|group| is_it(group));
        found.map(|group| printable(&group.pathname).into_owned())
    };
    let unified = path_of(&|group| group.hierarchy == 0).filter(|path| path != "/");
    let pids = || path_of(&|group| group.controllers.iter().any(|name| name == "pids"));
    unified.or_else(pids)
}

/// What is known of it.
pub(super) fn find(side: Side) -> Option<ProcessSeen> {
    let (process, stat) = same(side)?;
    Some(ProcessSeen {
        // Reading it could take as long as its process likes.
        command_line: Vec::new(),
        command_length: 0,
        pid: side.tgid,
        start: side.start,
        ppid: u32::try_from(stat.ppid).unwrap_or(0),
        uid: process.status().map(|status| status.euid).unwrap_or(0),
        comm: printable(&stat.comm).into_owned(),
        exe: exe_of(&process),
        cgroup: 0,
        cgroup_path: Some(cgroup_of(&process).unwrap_or_else(|| "/".into())),
    })
}

/// Wall time of the boot, by the clocks as they are now.
pub(super) fn boot_ns() -> i64 {
    let since = procfs::Uptime::current();
    let since = since.map(|uptime| uptime.uptime).unwrap_or(0.0);
    Time::now().as_nanos() - (since * 1e9) as i64
}
