//! Where in the kernel's structures that is found which tells a process.

use btf_rs::{Btf, Type};
use sextant_ebpf_common::{NO_FIELD, WhoLayout};

use super::{LayoutError, as_struct, offset};

/// Numbers of the controllers of cgroups.
const SUBSYSTEMS: &str = "cgroup_subsys_id";
/// Helpers of programs, and the one that is asked for.
const HELPERS: &str = "bpf_func_id";
const TO_WHOLE: &str = "BPF_FUNC_skc_to_mptcp_sock";
/// Sockets of Multipath TCP.
const WHOLE: &str = "mptcp_sock";
/// The one whose hierarchy has all processes where the unified one has none.
const PIDS: &str = "pids_cgrp_id";

/// The layout of this kernel.
pub(in super::super) fn find(btf: &Btf) -> Result<WhoLayout, LayoutError> {
    let offset = |root: &str, path: &str| offset(btf, root, path);
    let kernel_socket = bit(btf, "sock", "sk_kern_sock")?;
    Ok(WhoLayout {
        task_leader: offset("task_struct", "group_leader")?,
        task_start: offset("task_struct", "start_boottime")?,
        task_tgid: offset("task_struct", "tgid")?,
        task_parent: offset("task_struct", "real_parent")?,
        task_cred: offset("task_struct", "cred")?,
        cred_uid: offset("cred", "uid.val")?,
        task_executed: offset("task_struct", "self_exec_id")?,
        task_comm: offset("task_struct", "comm")?,
        task_mm: offset("task_struct", "mm")?,
        mm_exe: offset("mm_struct", "exe_file")?,
        mm_arguments: offset("mm_struct", "arg_start")?,
        mm_arguments_end: offset("mm_struct", "arg_end")?,
        file_mount: offset("file", "f_path.mnt")?,
        file_dentry: offset("file", "f_path.dentry")?,
        dentry_parent: offset("dentry", "d_parent")?,
        dentry_name: offset("dentry", "d_name.name")?,
        vfsmount_root: offset("vfsmount", "mnt_root")?,
        mount_vfsmount: offset("mount", "mnt")?,
        mount_parent: offset("mount", "mnt_parent")?,
        mount_point: offset("mount", "mnt_mountpoint")?,
        task_cgroups: offset("task_struct", "cgroups")?,
        css_set_unified: offset("css_set", "dfl_cgrp")?,
        css_set_pids: pids_state(btf)?,
        css_cgroup: offset("cgroup_subsys_state", "cgroup")?,
        cgroup_node: offset("cgroup", "kn")?,
        // Renamed in 6.15.
        node_parent: offset("kernfs_node", "parent")
            .or_else(|_| offset("kernfs_node", "__parent"))?,
        node_name: offset("kernfs_node", "name")?,
        node_id: offset("kernfs_node", "id")?,
        socket_sock: offset("socket", "sk")?,
        sock_kernel: kernel_socket / 8,
        sock_kernel_mask: 1 << (kernel_socket % 8),
        tells_whole: u32::from(tells_whole(btf)),
    })
}

/// The place of the pids controller's state in a `css_set`.
fn pids_state(btf: &Btf) -> Result<u32, LayoutError> {
    let subsystems = super::reasons::members(btf, SUBSYSTEMS)?;
    let pids = subsystems.iter().find(|(_, name)| name == PIDS);
    let Some((pids, _)) = pids else {
        return Ok(NO_FIELD);
    };
    Ok(offset(btf, "css_set", "subsys")? + pids * size_of::<u64>() as u32)
}

/// Whether programs may ask for the socket of a whole connection of Multipath TCP.
fn tells_whole(btf: &Btf) -> bool {
    let has_sockets = btf.resolve_types_by_name(WHOLE).is_ok();
    let helpers = super::reasons::members(btf, HELPERS).unwrap_or_default();
    has_sockets && helpers.iter().any(|(_, name)| name == TO_WHOLE)
}

/// The offset of a field in bits.
fn bit(btf: &Btf, root: &str, field: &str) -> Result<u32, LayoutError> {
    let missing = || LayoutError::Missing(format!("{root}.{field}"));
    let found = btf.resolve_types_by_name(root)?;
    let found = found.into_iter().find_map(|found: Type| as_struct(found));
    let (bits, _) = super::member(btf, &found.ok_or_else(missing)?, field)?.ok_or_else(missing)?;
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Types, VMLINUX},
        *,
    };

    #[test]
    fn this_kernel_tells_processes() {
        if !std::path::Path::new(VMLINUX).exists() {
            println!("SKIPPED: no {VMLINUX}");
            return;
        }
        let layout = Types::default().find(find).unwrap();
        assert!(layout.task_start > 0 && layout.css_set_unified > 0);
        assert!(layout.sock_kernel_mask.is_power_of_two());
    }
}
