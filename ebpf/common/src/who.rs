//! Who is behind a side of a flow: the process that made the socket, and what is
//! told of a process once.

/// Kept with each socket: who made it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The process.
    pub tgid: u32,
    /// The last look at all descriptors that found the process holding the socket.
    pub round: u32,
    /// When it started, as `start_of`.
    pub start: u32,
    /// Zero.
    pub pad: u32,
    /// Number of its cgroup in the unified hierarchy, when it became the owner.
    pub cgroup: u64,
}

/// A side of a flow. Without a process (`tgid` 0), `start` is one of `side`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Side {
    /// The process, as the initial pid namespace numbers it.
    pub tgid: u32,
    /// When it started, as `start_of`.
    pub start: u32,
}

/// Why no process is behind a side.
pub mod side {
    /// Its packets were not where its socket could be seen: it is elsewhere.
    pub const ELSEWHERE: u32 = 0;
    /// Its packets are of no process' socket: forwarded, or the kernel's own.
    pub const NO_SOCKET: u32 = 1;
    /// There is a socket, but nobody was seen to make or hold it.
    pub const NO_OWNER: u32 = 2;
}

/// Nanoseconds of the unit in which the kernel tells start times to users
/// (`/proc/PID/stat`, `USER_HZ`).
const USER_TICK_NS: u64 = 10_000_000;

/// A start time since boot, in hundredths of a second, as in `/proc/PID/stat`;
/// wraps after 497 days.
#[inline(always)]
#[must_use]
pub const fn start_of(boottime_ns: u64) -> u32 {
    (boottime_ns / USER_TICK_NS) as u32
}

/// Bytes of a path's component that are kept, with a zero at the end.
pub const EXE_NAME: usize = 64;
/// Components of an executable's path that are kept.
pub const EXE_DEPTH: usize = 12;
/// Bytes of a component of a cgroup's path, with a zero at the end: as long as names of
/// files may be.
pub const CGROUP_NAME: usize = 256;
/// Components of a cgroup's path that are kept: the outermost, whose names are not up to
/// whoever was given a cgroup and makes others below it.
pub const CGROUP_DEPTH: usize = 8;
/// Bytes of all of them; components that find no room are the inner ones.
pub const CGROUP_PATH: usize = 1024;

/// Bytes of a command line.
pub const COMMAND_LINE: usize = 512;

/// A process, told when it first makes a socket, after it executed another file,
/// and of those that had sockets before.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ProcessRecord {
    /// Start since boot, in nanoseconds.
    pub start_ns: u64,
    /// Number of its cgroup in the unified hierarchy.
    pub cgroup: u64,
    /// The process.
    pub tgid: u32,
    /// Its parent.
    pub ppid: u32,
    /// Its user.
    pub uid: u32,
    /// How many components `exe` has.
    pub exe_depth: u32,
    /// How many components the path of its cgroup has; `TOO_DEEP` for more than are
    /// looked at.
    pub cgroup_depth: u32,
    /// Bytes of the command line, as long as it is; `command_line` has the first. 0
    /// where it is not wanted, or not known.
    pub command_length: u32,
    /// Name of the thread group's leader, ended by a zero.
    pub comm: [u8; 16],
    /// Path of its executable, the last component first, each ended by a zero.
    pub exe: [[u8; EXE_NAME]; EXE_DEPTH],
    /// Path of its cgroup: in the unified hierarchy, else in that of the pids controller.
    /// Components one behind the other, the outermost first, each ended by a zero.
    pub cgroup_path: [u8; CGROUP_PATH],
    /// Where the program keeps what it passes on the way; zeros for others.
    pub cgroup_nodes: [u64; CGROUP_DEPTH],
    /// Bytes of `cgroup_path` that are used.
    pub cgroup_bytes: u32,
    /// Zero.
    pub pad: u32,
    /// Its arguments, each ended by a zero.
    pub command_line: [u8; COMMAND_LINE],
}

/// The outermost components of a cgroup's path are not known.
pub const TOO_DEEP: u32 = u32::MAX;

/// What was told of a process, so that it is told once.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Start since boot, in nanoseconds.
    pub start_ns: u64,
    /// Its cgroup.
    pub cgroup: u64,
    /// How many files the process executed.
    pub executed: u64,
    /// Its user.
    pub uid: u32,
    /// Zero.
    pub pad: u32,
}

/// Offset that no field has.
pub const NO_FIELD: u32 = u32::MAX;

/// Where in kernel structures that is found which tells a process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WhoLayout {
    /// `task_struct.group_leader`.
    pub task_leader: u32,
    /// `task_struct.start_boottime`.
    pub task_start: u32,
    /// `task_struct.tgid`.
    pub task_tgid: u32,
    /// `task_struct.real_parent`.
    pub task_parent: u32,
    /// `task_struct.cred`.
    pub task_cred: u32,
    /// `cred.uid`.
    pub cred_uid: u32,
    /// `task_struct.self_exec_id`.
    pub task_executed: u32,
    /// `task_struct.comm`.
    pub task_comm: u32,
    /// `task_struct.mm`.
    pub task_mm: u32,
    /// `mm_struct.exe_file`.
    pub mm_exe: u32,
    /// `mm_struct.arg_start`; `NO_FIELD` if command lines are not wanted.
    pub mm_arguments: u32,
    /// `mm_struct.arg_end`.
    pub mm_arguments_end: u32,
    /// `file.f_path.mnt`.
    pub file_mount: u32,
    /// `file.f_path.dentry`.
    pub file_dentry: u32,
    /// `dentry.d_parent`.
    pub dentry_parent: u32,
    /// `dentry.d_name.name`.
    pub dentry_name: u32,
    /// `vfsmount.mnt_root`.
    pub vfsmount_root: u32,
    /// `mount.mnt`.
    pub mount_vfsmount: u32,
    /// `mount.mnt_parent`.
    pub mount_parent: u32,
    /// `mount.mnt_mountpoint`.
    pub mount_point: u32,
    /// `task_struct.cgroups`.
    pub task_cgroups: u32,
    /// `css_set.dfl_cgrp`.
    pub css_set_unified: u32,
    /// `css_set.subsys[pids_cgrp_id]`; `NO_FIELD` where there is no such controller.
    pub css_set_pids: u32,
    /// `cgroup_subsys_state.cgroup`.
    pub css_cgroup: u32,
    /// `cgroup.kn`.
    pub cgroup_node: u32,
    /// `kernfs_node.parent`, or `__parent`.
    pub node_parent: u32,
    /// `kernfs_node.name`.
    pub node_name: u32,
    /// `kernfs_node.id`.
    pub node_id: u32,
    /// `socket.sk`.
    pub socket_sock: u32,
    /// The byte with `sock.sk_kern_sock`.
    pub sock_kernel: u32,
    /// Its bit.
    pub sock_kernel_mask: u32,
    /// Whether the kernel tells the socket that a part of a connection of Multipath TCP is
    /// of (5.19).
    pub tells_whole: u32,
}

const _: () = {
    assert!(size_of::<Owner>() == 24);
    assert!(size_of::<Side>() == 8);
    assert!(
        size_of::<ProcessRecord>()
            == 16
                + 24
                + 16
                + EXE_NAME * EXE_DEPTH
                + CGROUP_PATH
                + 8 * CGROUP_DEPTH
                + 8
                + COMMAND_LINE
    );
    // Indices of `cgroup_nodes` are masked.
    assert!(CGROUP_DEPTH.is_power_of_two());
    assert!(size_of::<Told>() == 32);
    assert!(size_of::<WhoLayout>() == 32 * 4);
};
