//! How policies are enforced, and what they never lock out.

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
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            enforcement: Enforcement::Default,
            management: vec![22],
            max_rules: 1 << 16,
            max_ranges: 1 << 17,
            max_endpoints: 1 << 12,
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
    section.finish();
}

fn enforcement(text: &str) -> values::Parsed<Enforcement> {
    match text {
        "default" => Ok(Enforcement::Default),
        "always" => Ok(Enforcement::Always),
        "never" => Ok(Enforcement::Never),
        _ => Err(format!(
            "`{text}` is not a choice; write `default`, `always` or `never`"
        )),
    }
}
