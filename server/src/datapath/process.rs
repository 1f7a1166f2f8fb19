//! A process as the programs tell it.

use sextant_ebpf_common::{ProcessRecord, TOO_DEEP, start_of};
use sextant_flows::printable::printable;

/// A process that has, or had, a socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessSeen {
    /// Its number in the initial pid namespace.
    pub pid: u32,
    /// Hundredths of a second from boot to its start, as in `/proc/PID/stat`.
    pub start: u32,
    /// Its parent.
    pub ppid: u32,
    /// Its user.
    pub uid: u32,
    /// Name of its first thread.
    pub comm: String,
    /// Path of its executable, as its own root has it; empty for a thread of the
    /// kernel. A component longer than 63 bytes, and what is more than 12 above,
    /// is cut, and `…` says so.
    pub exe: String,
    /// Number of its cgroup in the unified hierarchy.
    pub cgroup: u64,
    /// Path of its cgroup; `/` for the root. What is cut off its end, beyond 8 components,
    /// is told by `…`; none where the outermost are not known.
    pub cgroup_path: Option<String>,
    /// Its arguments, a zero behind each, as far as they are known.
    pub command_line: Vec<u8>,
    /// How many bytes they have.
    pub command_length: usize,
}

/// In the place of what was cut.
const CUT: char = '…';

impl From<&ProcessRecord> for ProcessSeen {
    fn from(record: &ProcessRecord) -> Self {
        let command_length = record.command_length as usize;
        let known = record.command_line.get(..command_length);
        Self {
            command_line: known.unwrap_or(&record.command_line).to_vec(),
            command_length,
            pid: record.tgid,
            start: start_of(record.start_ns),
            ppid: record.ppid,
            uid: record.uid,
            comm: text(&record.comm),
            exe: path(&record.exe, record.exe_depth).unwrap_or_default(),
            cgroup: record.cgroup,
            cgroup_path: path_of_cgroup(record),
        }
    }
}

/// The path with these components, the last one first; `None` without any.
fn path<const N: usize>(components: &[[u8; N]], depth: u32) -> Option<String> {
    let known = components.get(..depth as usize).unwrap_or(components);
    let mut path = String::new();
    if known.len() == components.len() {
        path.extend(['/', CUT]);
    }
    for component in known.iter().rev() {
        path.push('/');
        path.push_str(&text(component));
        // What is behind the zero is another's.
        if !component[..N - 1].contains(&0) {
            path.push(CUT);
        }
    }
    (!known.is_empty()).then_some(path)
}

fn path_of_cgroup(record: &ProcessRecord) -> Option<String> {
    if record.cgroup_depth == TOO_DEEP {
        return None;
    }
    let used = record.cgroup_path.get(..record.cgroup_bytes as usize)?;
    let mut path = String::new();
    let mut components = 0;
    for component in used.split_inclusive(|byte| *byte == 0) {
        path.push('/');
        path.push_str(&text(component));
        components += 1;
    }
    if components < record.cgroup_depth {
        path.extend(['/', CUT]);
    }
    if path.is_empty() {
        path.push('/');
    }
    Some(path)
}

/// What is before the first zero; what is not text in it is shown as such.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    let text = String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]);
    printable(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component<const N: usize>(text: &str) -> [u8; N] {
        let mut bytes = [0; N];
        let length = text.len().min(N - 1);
        bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
        bytes
    }

    #[test]
    fn a_path_is_put_together_and_says_what_was_cut() {
        let of = |names: &[&str]| {
            let mut all = [[0; 8]; 3];
            for (place, name) in all.iter_mut().zip(names) {
                *place = component(name);
            }
            path(&all, names.len() as u32)
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["curl", "bin"]).unwrap(), "/bin/curl");
        assert_eq!(of(&["x", "a-long-name"]).unwrap(), "/a-long-…/x");
        assert_eq!(of(&["c", "b", "a"]).unwrap(), "/…/a/b/c");
    }

    #[test]
    fn a_name_cannot_hide_control_characters() {
        assert!(!text(b"a\x1b[2Jb\0rest").contains('\x1b'));
        assert_eq!(text(b"nginx\0\0"), "nginx");
    }
}
