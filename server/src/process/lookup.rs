//! Looks a process up by its number, if the programs could not tell it.

use procfs::{
    Current as _,
    process::{Process, Stat},
};
use sextant_ebpf_common::Side;

use crate::{datapath::ProcessSeen, flow::Time};

/// Why a path of the kernel's says that its file was removed.
const DELETED: &str = " (deleted)";

/// The process with this number, if it is still the one that started then: the number
/// may have been given to another since.
pub(super) fn same(side: Side) -> Option<(Process, Stat)> {
    let process = Process::new(i32::try_from(side.tgid).ok()?).ok()?;
    let stat = process.stat().ok()?;
    (stat.starttime as u32 == side.start).then_some((process, stat))
}

/// What is known of it.
pub(super) fn find(side: Side) -> Option<ProcessSeen> {
    let (process, stat) = same(side)?;
    let exe = process.exe().unwrap_or_default();
    let exe = exe.to_string_lossy();
    let groups = process.cgroups().map(|groups| groups.0).unwrap_or_default();
    let path_of = |is_it: &dyn Fn(&procfs::ProcessCGroup) -> bool| {
        let found = groups.iter().find(|group| is_it(group));
        found.map(|group| group.pathname.clone())
    };
    // As the programs have it: the unified hierarchy, if anybody uses it.
    let unified = path_of(&|group| group.hierarchy == 0).filter(|path| path != "/");
    let pids = || path_of(&|group| group.controllers.iter().any(|name| name == "pids"));
    Some(ProcessSeen {
        // Reading it could take as long as its process likes.
        command_line: Vec::new(),
        command_length: 0,
        pid: side.tgid,
        start: side.start,
        ppid: u32::try_from(stat.ppid).unwrap_or(0),
        uid: process.status().map(|status| status.euid).unwrap_or(0),
        comm: stat.comm,
        exe: exe.strip_suffix(DELETED).unwrap_or(&exe).to_owned(),
        cgroup: 0,
        cgroup_path: unified.or_else(pids).unwrap_or_else(|| "/".into()),
    })
}

/// Wall time of the boot, by the clocks as they are now.
pub(super) fn boot_ns() -> i64 {
    let since = procfs::Uptime::current();
    let since = since.map(|uptime| uptime.uptime).unwrap_or(0.0);
    Time::now().as_nanos() - (since * 1e9) as i64
}
