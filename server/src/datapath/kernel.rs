//! Which kernel this is, and what keeps it from taking eBPF programs.

use std::fs;

/// The oldest that Sextant is tried on.
const OLDEST: (u32, u32) = (6, 1);
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

/// Its release, such as `6.18.5`; empty if it cannot be read.
pub(super) fn release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map(|release| release.trim().to_owned())
        .unwrap_or_default()
}

/// What to do when it refuses a program.
pub(super) fn remedy() -> String {
    let lockdown = fs::read_to_string(LOCKDOWN).unwrap_or_default();
    remedy_for(&release(), &lockdown)
}

fn remedy_for(release: &str, lockdown: &str) -> String {
    if lockdown.contains("[confidentiality]") {
        return "the kernel is locked down for confidentiality, so no eBPF program may read its memory, which packets that it drops and [[datapath.namespace]] need; boot it without `lockdown=confidentiality`, or do without the two".into();
    }
    if version(release) < OLDEST {
        let (major, minor) = OLDEST;
        return format!(
            "Linux {release} is older than {major}.{minor}, the oldest that Sextant is tried on; use a later one"
        );
    }
    "set SEXTANT_LOG=debug to see what its verifier says".into()
}

/// Major and minor number.
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_explained_by_what_the_kernel_is() {
        let locked = remedy_for("6.12.1", "none integrity [confidentiality]");
        assert!(locked.contains("locked down"), "{locked}");
        let old = remedy_for("5.10.0-30-amd64", "[none] integrity confidentiality");
        assert!(old.contains("older than 6.1"), "{old}");
        let neither = remedy_for("6.1.0-56-cloud-amd64", "none [integrity] confidentiality");
        assert!(neither.contains("SEXTANT_LOG"), "{neither}");
    }
}
