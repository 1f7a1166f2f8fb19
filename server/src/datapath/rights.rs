//! Which of the rights that the datapath needs this process lacks.

use procfs::process::Process;

/// A capability (capabilities(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capability {
    name: &'static str,
    bit: u32,
    /// CAP_SYS_ADMIN stands for it.
    by_admin: bool,
}

pub(super) const BPF: Capability = capability("CAP_BPF", 39, true);
pub(super) const NET_ADMIN: Capability = capability("CAP_NET_ADMIN", 12, false);
pub(super) const PERFMON: Capability = capability("CAP_PERFMON", 38, true);
pub(super) const SYS_ADMIN: Capability = capability("CAP_SYS_ADMIN", 21, false);
pub(super) const SYS_PTRACE: Capability = capability("CAP_SYS_PTRACE", 19, false);
/// What all programs need.
pub(super) const PROGRAMS: [Capability; 3] = [BPF, NET_ADMIN, PERFMON];

const fn capability(name: &'static str, bit: u32, by_admin: bool) -> Capability {
    Capability {
        name,
        bit,
        by_admin,
    }
}

/// What of it all programs lack.
pub(super) fn missing() -> Option<String> {
    lacking(&PROGRAMS)
}

/// The capabilities among these that are missing, in words; nothing when none is, or
/// when it cannot be told.
pub(super) fn lacking(needed: &[Capability]) -> Option<String> {
    let status = Process::myself().and_then(|process| process.status());
    missing_of(status.ok()?.capeff, needed)
}

/// Their names.
pub(super) fn names(capabilities: &[Capability]) -> String {
    let names: Vec<&str> = capabilities.iter().map(|one| one.name).collect();
    match names.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        last => last.map_or("", |(last, _)| last).to_owned(),
    }
}

fn missing_of(effective: u64, needed: &[Capability]) -> Option<String> {
    let has = |bit: u32| effective & (1 << bit) != 0;
    let is_missing = |one: &&Capability| !(has(one.bit) || one.by_admin && has(SYS_ADMIN.bit));
    let missing: Vec<Capability> = needed.iter().filter(is_missing).copied().collect();
    (!missing.is_empty()).then(|| names(&missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let bits = |bits: &[u32]| bits.iter().fold(0, |all, bit| all | 1_u64 << bit);
        for (effective, expect) in [
            (bits(&[]), Some("CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON")),
            (bits(&[39, 12]), Some("CAP_PERFMON")),
            (bits(&[39, 38]), Some("CAP_NET_ADMIN")),
            (bits(&[12, 21]), None),
            (bits(&[21]), Some("CAP_NET_ADMIN")),
            (bits(&[12]), Some("CAP_BPF and CAP_PERFMON")),
            (bits(&[39, 12, 38]), None),
            (u64::MAX, None),
        ] {
            assert_eq!(missing_of(effective, &PROGRAMS).as_deref(), expect);
        }
        assert_eq!(
            missing_of(bits(&[21]), &[SYS_PTRACE]).as_deref(),
            Some("CAP_SYS_PTRACE")
        );
    }
}
