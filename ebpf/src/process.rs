//! Tells of a process what the daemon may not find any more when it looks: a
//! process that lives for a millisecond is gone by then.
//!
//! All is read from the kernel's structures, at the places that the daemon found.
//! Bound: as many components of a path as a record has.

use aya_ebpf::helpers::generated::{
    bpf_probe_read_kernel, bpf_probe_read_kernel_str, bpf_probe_read_user,
};
use sextant_ebpf_common::{
    CGROUP_DEPTH, CGROUP_NAME, CGROUP_PATH, COMMAND_LINE, EXE_DEPTH, EXE_NAME, NO_FIELD,
    ProcessRecord, TOO_DEEP, Told, WhoLayout,
};

/// Components and mounts on the way from an executable to the root, at most.
const STEPS: u32 = 16;
/// Components on the way from a cgroup to the root, at most: anybody may make them deep, to
/// hide what is outermost.
const CGROUP_STEPS: u32 = 512;

/// Set when the programs are loaded.
#[unsafe(no_mangle)]
static WHO_LAYOUT: WhoLayout = WhoLayout {
    task_leader: 0,
    task_start: 0,
    task_tgid: 0,
    task_parent: 0,
    task_cred: 0,
    cred_uid: 0,
    task_executed: 0,
    task_comm: 0,
    task_mm: 0,
    mm_exe: 0,
    mm_arguments: NO_FIELD,
    mm_arguments_end: NO_FIELD,
    file_mount: 0,
    file_dentry: 0,
    dentry_parent: 0,
    dentry_name: 0,
    vfsmount_root: 0,
    mount_vfsmount: 0,
    mount_parent: 0,
    mount_point: 0,
    task_cgroups: 0,
    css_set_unified: 0,
    css_set_pids: 0,
    css_cgroup: 0,
    cgroup_node: 0,
    node_parent: 0,
    node_name: 0,
    node_id: 0,
    socket_sock: 0,
    sock_kernel: 0,
    sock_kernel_mask: 0,
    tells_whole: 0,
};

/// Where in kernel structures things are.
#[inline(always)]
pub fn layout() -> &'static WhoLayout {
    // SAFETY: a static of this program, written before it is loaded.
    unsafe { &*(&raw const WHO_LAYOUT) }
}

/// A value of the kernel's memory; 0 where it cannot be read.
#[inline(always)]
pub unsafe fn read<T: Copy + Default>(base: u64, offset: u32) -> T {
    let mut value = T::default();
    let from = base.wrapping_add(u64::from(offset)) as *const core::ffi::c_void;
    bpf_probe_read_kernel((&raw mut value).cast(), size_of::<T>() as u32, from);
    value
}

/// A field that may be changed or be a constant.
#[inline(always)]
pub fn field(field: &u32) -> u32 {
    // SAFETY: of the static; volatile, since the loader rewrites it.
    unsafe { core::ptr::read_volatile(field) }
}

/// The leader of a task's thread group, which is the process.
#[inline(always)]
pub unsafe fn leader(task: u64) -> u64 {
    read(task, field(&layout().task_leader))
}

/// When a process started, in nanoseconds since boot.
#[inline(always)]
pub unsafe fn start(leader: u64) -> u64 {
    read(leader, field(&layout().task_start))
}

/// Whether it is a thread of the kernel, which works for others.
#[inline(always)]
pub unsafe fn is_of_kernel(leader: u64) -> bool {
    read::<u64>(leader, field(&layout().task_mm)) == 0
}

/// What makes it worth telling again: it executed a file, or is another user's or in another
/// cgroup.
#[inline(always)]
pub unsafe fn state(leader: u64, cgroup: u64) -> Told {
    Told {
        start_ns: start(leader),
        cgroup,
        executed: read(leader, field(&layout().task_executed)),
        uid: user(leader),
        pad: 0,
    }
}

#[inline(always)]
unsafe fn user(leader: u64) -> u32 {
    let cred: u64 = read(leader, field(&layout().task_cred));
    read(cred, field(&layout().cred_uid))
}

/// A process, by the leader of its threads.
#[inline(never)]
pub unsafe fn tell(record: *mut ProcessRecord, leader: u64) {
    let layout = layout();
    (*record).start_ns = start(leader);
    (*record).tgid = read(leader, field(&layout.task_tgid));
    let parent: u64 = read(leader, field(&layout.task_parent));
    (*record).ppid = read(parent, field(&layout.task_tgid));
    (*record).uid = user(leader);
    (*record).comm = read(leader, field(&layout.task_comm));
    (*record).command_length = 0;
    (*record).cgroup = 0;
    (*record).exe_depth = 0;
    (*record).cgroup_depth = 0;
    (*record).cgroup_nodes = [0; CGROUP_DEPTH];
    (*record).pad = 0;
    tell_executable(record, leader);
    tell_cgroup(record, leader);
}

/// The command line of the running process, whose record it is, as it is now: of
/// what is not in memory nothing is told, since nobody may wait here.
#[inline(never)]
pub unsafe fn tell_command_line(record: *mut ProcessRecord, leader: u64) {
    let layout = layout();
    let place = field(&layout.mm_arguments);
    let mm: u64 = read(leader, field(&layout.task_mm));
    if place == NO_FIELD || mm == 0 {
        return;
    }
    let from: u64 = read(mm, place);
    let end: u64 = read(mm, field(&layout.mm_arguments_end));
    let length = end.saturating_sub(from);
    let known = match length < COMMAND_LINE as u64 {
        true => length as u32,
        false => COMMAND_LINE as u32,
    };
    let to = (&raw mut (*record).command_line).cast();
    if known > 0 && bpf_probe_read_user(to, known, from as *const _) == 0 {
        (*record).command_length = length as u32;
    }
}

/// From its dentry up to the root, over the mounts that it is under.
#[inline(never)]
unsafe fn tell_executable(record: *mut ProcessRecord, leader: u64) {
    let layout = layout();
    let mm: u64 = read(leader, field(&layout.task_mm));
    // A thread of the kernel has none.
    if mm == 0 {
        return;
    }
    let file: u64 = read(mm, field(&layout.mm_exe));
    let mut dentry: u64 = read(file, field(&layout.file_dentry));
    let mut mount: u64 = read(file, field(&layout.file_mount));
    // Kept in the record: what the verifier reads back from a map it knows nothing of, so
    // the ways of a step join again behind it.
    let depth = &raw mut (*record).exe_depth;
    for _ in 0..STEPS {
        let root: u64 = read(mount, field(&layout.vfsmount_root));
        if dentry == root {
            let whole = mount.wrapping_sub(u64::from(field(&layout.mount_vfsmount)));
            let parent: u64 = read(whole, field(&layout.mount_parent));
            if parent == whole || parent == 0 {
                break;
            }
            dentry = read(whole, field(&layout.mount_point));
            mount = parent.wrapping_add(u64::from(field(&layout.mount_vfsmount)));
            continue;
        }
        let parent: u64 = read(dentry, field(&layout.dentry_parent));
        let at = depth.read_volatile();
        if parent == dentry || parent == 0 || at >= EXE_DEPTH as u32 {
            break;
        }
        let name: u64 = read(dentry, field(&layout.dentry_name));
        let place = (&raw mut (*record).exe[at as usize]).cast();
        bpf_probe_read_kernel_str(place, EXE_NAME as u32, name as *const _);
        depth.write_volatile(at + 1);
        dentry = parent;
    }
}

/// Number of its cgroup in the unified hierarchy.
#[inline(always)]
pub unsafe fn cgroup(leader: u64) -> u64 {
    read(unified(leader), field(&layout().node_id))
}

/// The node of that cgroup.
#[inline(always)]
unsafe fn unified(leader: u64) -> u64 {
    let layout = layout();
    let set: u64 = read(leader, field(&layout.task_cgroups));
    let cgroup: u64 = read(set, field(&layout.css_set_unified));
    read(cgroup, field(&layout.cgroup_node))
}

/// From its node up to the root of the hierarchy.
#[inline(never)]
unsafe fn tell_cgroup(record: *mut ProcessRecord, leader: u64) {
    let layout = layout();
    let set: u64 = read(leader, field(&layout.task_cgroups));
    let mut node = unified(leader);
    (*record).cgroup = read(node, field(&layout.node_id));
    let parent: u64 = read(node, field(&layout.node_parent));
    let pids = field(&layout.css_set_pids);
    // All processes are in the root of a hierarchy that nobody uses.
    if parent == 0 && pids != NO_FIELD {
        let state: u64 = read(set, pids);
        let cgroup: u64 = read(state, field(&layout.css_cgroup));
        node = read(cgroup, field(&layout.cgroup_node));
    }
    pass_cgroups(record, node);
    tell_outermost(record);
}

/// Goes up to the root; of the nodes that it passes the last ones are kept, each after
/// `CGROUP_DEPTH` others in the same place.
#[inline(never)]
unsafe fn pass_cgroups(record: *mut ProcessRecord, mut node: u64) {
    let place = field(&layout().node_parent);
    // Kept in the record, as above.
    let depth = &raw mut (*record).cgroup_depth;
    for _ in 0..CGROUP_STEPS {
        let parent: u64 = read(node, place);
        if parent == 0 {
            return;
        }
        let at = depth.read_volatile();
        (*record).cgroup_nodes[at as usize & (CGROUP_DEPTH - 1)] = node;
        depth.write_volatile(at.wrapping_add(1));
        node = parent;
    }
    depth.write_volatile(TOO_DEEP);
}

/// The names of the nodes that were passed last, from the root on.
#[inline(never)]
unsafe fn tell_outermost(record: *mut ProcessRecord) {
    let name_of = field(&layout().node_name);
    let depth = (&raw mut (*record).cgroup_depth).read_volatile();
    let used = &raw mut (*record).cgroup_bytes;
    used.write_volatile(0);
    for n in 0..CGROUP_DEPTH as u32 {
        if depth == TOO_DEEP || n >= depth {
            break;
        }
        let node = &raw mut (*record).cgroup_nodes[(depth - 1 - n) as usize & (CGROUP_DEPTH - 1)];
        let at = used.read_volatile();
        if at as usize > CGROUP_PATH - CGROUP_NAME {
            break;
        }
        let name: u64 = read(node.read_volatile(), name_of);
        let place = (&raw mut (*record).cgroup_path)
            .cast::<u8>()
            .add(at as usize);
        let bytes = bpf_probe_read_kernel_str(place.cast(), CGROUP_NAME as u32, name as *const _);
        if bytes > 0 {
            used.write_volatile(at + bytes as u32);
        }
    }
    // Addresses of the kernel are nobody's business.
    (*record).cgroup_nodes = [0; CGROUP_DEPTH];
}
