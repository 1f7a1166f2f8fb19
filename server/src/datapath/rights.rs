//! Which of the rights that the datapath needs this process lacks.

use procfs::process::Process;

/// Each by its bit, and whether CAP_SYS_ADMIN stands for it.
const NEEDED: [(&str, u32, bool); 3] = [
    ("CAP_BPF", 39, true),
    ("CAP_NET_ADMIN", 12, false),
    ("CAP_PERFMON", 38, true),
];
const SYS_ADMIN: u32 = 21;

/// The capabilities that are missing, in words; nothing when none is, or when it
/// cannot be told.
pub(super) fn missing() -> Option<String> {
    let status = Process::myself().and_then(|process| process.status());
    missing_of(status.ok()?.capeff)
}

fn missing_of(effective: u64) -> Option<String> {
    let has = |bit: u32| effective & (1 << bit) != 0;
    let missing = NEEDED
        .iter()
        .filter(|(_, bit, by_admin)| !(has(*bit) || *by_admin && has(SYS_ADMIN)));
    let names: Vec<&str> = missing.map(|(name, ..)| *name).collect();
    let (last, before) = names.split_last()?;
    Some(match before {
        [] => (*last).to_owned(),
        before => format!("{} and {last}", before.join(", ")),
    })
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
            assert_eq!(missing_of(effective).as_deref(), expect);
        }
    }
}
