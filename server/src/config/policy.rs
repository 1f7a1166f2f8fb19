//! How policies are enforced, and what they never lock out.

use std::path::PathBuf;

use sextant_policy::set::Enforcement;

use super::{draft::set, section::Section, values};

/// Management ports that may be named.
const MAX_PORTS: usize = 64;

/// Policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Who denies by default.
    pub enforcement: Enforcement,
    /// TCP ports of this host that no change denies unless it is forced.
    pub management: Vec<u16>,
    /// Entries of rules in the kernel's tables.
    pub max_rules: u32,
    /// Ranges of IPv4 addresses there, and half as many of IPv6.
    pub max_ranges: u32,
    /// Endpoints that can be judged.
    pub max_endpoints: u32,
    /// What a process hears whose connection they deny.
    pub deny_error: DenyError,
    /// What becomes of connections that they allow no more.
    pub on_deny: OnDeny,
    /// What becomes of packets that cannot be judged.
    pub unknown: Unknown,
    /// Whether they stay in force when the daemon ends.
    pub on_exit: OnExit,
    /// Where what stays in force is kept, on a bpffs.
    pub pins: PathBuf,
}

/// What a process of this host hears when it opens a connection by TCP that a policy denies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DenyError {
    /// Nothing: it waits until its attempts time out.
    #[default]
    Silent,
    /// At once `EPERM`, "Operation not permitted".
    Eperm,
    /// At once `ECONNREFUSED`, as if nobody listened there.
    Refused,
}

/// What becomes of a connection by TCP of this host that policies allow no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDeny {
    /// Its packets are dropped; it ends when it times out, or goes on when it may.
    #[default]
    Drop,
    /// It is ended.
    Destroy,
}

/// What becomes of packets that cannot be judged, where policies are in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unknown {
    /// They go on.
    #[default]
    Allow,
    /// They do not.
    Deny,
}

/// What becomes of policies when the daemon ends, however it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExit {
    /// They are in force no more.
    #[default]
    Remove,
    /// They stay in force, as they were then.
    Keep,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            enforcement: Enforcement::Default,
            management: vec![22],
            max_rules: 1 << 16,
            max_ranges: 1 << 17,
            max_endpoints: 1 << 12,
            deny_error: DenyError::default(),
            on_deny: OnDeny::default(),
            unknown: Unknown::default(),
            on_exit: OnExit::default(),
            pins: "/sys/fs/bpf/sextant".into(),
        }
    }
}

/// Reads `[policy]`.
pub(super) fn policy(mut section: Section<'_>, policy: &mut Policy) {
    set(
        &mut policy.enforcement,
        section.item("enforcement").text(enforcement),
    );
    set(
        &mut policy.management,
        section.item("management").numbers(1..=u16::MAX, MAX_PORTS),
    );
    for (name, place, most) in [
        ("max_rules", &mut policy.max_rules, 1 << 20),
        ("max_ranges", &mut policy.max_ranges, 1 << 20),
        ("max_endpoints", &mut policy.max_endpoints, 65_535),
    ] {
        set(place, section.item(name).number(256..=most));
    }
    set(
        &mut policy.deny_error,
        section.item("deny_error").text(deny_error),
    );
    set(&mut policy.on_deny, section.item("on_deny").text(on_deny));
    set(&mut policy.unknown, section.item("unknown").text(unknown));
    set(&mut policy.on_exit, section.item("on_exit").text(on_exit));
    set(&mut policy.pins, section.item("pins").text(pins));
    section.finish();
}

fn deny_error(text: &str) -> values::Parsed<DenyError> {
    values::choice(
        text,
        &[
            ("silent", DenyError::Silent),
            ("eperm", DenyError::Eperm),
            ("refused", DenyError::Refused),
        ],
    )
}

fn on_deny(text: &str) -> values::Parsed<OnDeny> {
    values::choice(
        text,
        &[("drop", OnDeny::Drop), ("destroy", OnDeny::Destroy)],
    )
}

fn unknown(text: &str) -> values::Parsed<Unknown> {
    values::choice(text, &[("allow", Unknown::Allow), ("deny", Unknown::Deny)])
}

fn on_exit(text: &str) -> values::Parsed<OnExit> {
    values::choice(text, &[("remove", OnExit::Remove), ("keep", OnExit::Keep)])
}

fn pins(text: &str) -> values::Parsed<PathBuf> {
    let path = PathBuf::from(text);
    match path.is_absolute() && path.file_name().is_some() {
        true => Ok(path),
        false => Err(format!(
            "`{text}` is no place for pins; write the whole path of a folder on a bpffs, like `/sys/fs/bpf/sextant`"
        )),
    }
}

fn enforcement(text: &str) -> values::Parsed<Enforcement> {
    values::choice(
        text,
        &[
            ("default", Enforcement::Default),
            ("always", Enforcement::Always),
            ("never", Enforcement::Never),
        ],
    )
}
