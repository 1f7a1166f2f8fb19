//! The drop reasons of this kernel and of its modules.

use std::{collections::HashMap, sync::Arc};

use btf_rs::{Btf, Type};
use sextant_ebpf_common::PLACES;

use super::LayoutError;

const REASON_ENUM: &str = "skb_drop_reason";
const REASON_PREFIX: &str = "SKB_DROP_REASON_";
/// The reason that says nothing; those before it are no drops.
const NOT_SPECIFIED: &str = "NOT_SPECIFIED";

/// Frees that the kernel counts as drops, but that are part of a healthy
/// connection: duplicates and merged pieces of TCP, queues of closed sockets,
/// frames for other hosts, and copies for packet sockets such as tcpdump's.
const QUIET: [&str; 11] = [
    "OTHERHOST",
    "TCP_OLD_DATA",
    "TCP_OLD_ACK",
    "TCP_TOO_OLD_ACK",
    "TCP_OFOMERGE",
    "TCP_ACK_UNSENT_DATA",
    "TCP_OVERWINDOW",
    "DUP_FRAG",
    "QUEUE_PURGE",
    "SOCKET_CLOSE",
    "PACKET_SOCK_ERROR",
];

/// Modules with reasons of their own: the module, its enum, and the name of its
/// subsystem in `enum skb_drop_reason_subsys`.
const SUBSYSTEMS: [(&str, &str, &str); 2] = [
    ("mac80211", "mac80211_drop_reason", "MAC80211_UNUSABLE"),
    ("openvswitch", "ovs_drop_reason", "OPENVSWITCH"),
];
const SUBSYSTEM_ENUM: &str = "skb_drop_reason_subsys";
/// The subsystem is in the upper half of a reason.
const SUBSYSTEM_SHIFT: u32 = 16;

/// Names of this kernel's drop reasons, by number; shared.
pub type DropReasons = Arc<HashMap<u32, String>>;

/// The reasons.
pub(super) struct Reasons(HashMap<u32, String>);

impl Reasons {
    pub(super) fn find(btf: &Btf) -> Result<Self, LayoutError> {
        let mut names = HashMap::new();
        for (number, name) in members(btf, REASON_ENUM)? {
            let short = name.strip_prefix(REASON_PREFIX);
            if let Some(short) = short.or_else(|| name.strip_prefix("SKB_")) {
                names.insert(number, short.to_owned());
            }
        }
        if names.is_empty() {
            return Err(LayoutError::Missing(format!(
                "enum {REASON_ENUM} (it came with 5.17)"
            )));
        }
        let subsystems = members(btf, SUBSYSTEM_ENUM)?;
        for (module, its_enum, subsystem) in SUBSYSTEMS {
            let number = subsystems
                .iter()
                .find(|(_, name)| name.ends_with(subsystem));
            if let Some((number, _)) = number {
                names.extend(of_module(btf, module, its_enum, *number));
            }
        }
        Ok(Self(names))
    }

    pub(super) fn number(&self, name: &str) -> Option<u32> {
        let mut known = self.0.iter();
        known
            .find(|(_, known)| *known == name)
            .map(|(number, _)| *number)
    }

    pub(super) fn unspecified(&self) -> Result<u32, LayoutError> {
        self.number(NOT_SPECIFIED)
            .ok_or_else(|| LayoutError::Missing(format!("{REASON_PREFIX}{NOT_SPECIFIED}")))
    }

    /// Bit set of the reasons that are not observed.
    pub(super) fn quiet(&self) -> [u64; 4] {
        let mut quiet = [0_u64; 4];
        for reason in QUIET.iter().filter_map(|name| self.number(name)) {
            if let Some(word) = quiet.get_mut(reason as usize / 64) {
                *word |= 1 << (reason % 64);
            }
        }
        quiet
    }

    /// All names, with those of these places, which drop without a reason.
    pub(super) fn names(mut self, places: &[&str]) -> DropReasons {
        for (number, place) in (PLACES..).zip(places) {
            self.0.insert(number, format!("{NOT_SPECIFIED} ({place})"));
        }
        Arc::new(self.0)
    }
}

/// The reasons of a module, if it is loaded. One that is loaded later has its
/// reasons told by number.
fn of_module(btf: &Btf, module: &str, its_enum: &str, subsystem: u32) -> Vec<(u32, String)> {
    let path = format!("/sys/kernel/btf/{module}");
    let Ok(split) = Btf::from_split_file(path, btf) else {
        return Vec::new();
    };
    let mut found = members(&split, its_enum).unwrap_or_default();
    for (number, name) in &mut found {
        *number = (subsystem << SUBSYSTEM_SHIFT) | (*number & 0xffff);
        *name = name.trim_start_matches('_').to_owned();
    }
    found
}

/// Numbers and names of an enum's members; none if there is no such enum.
pub(super) fn members(btf: &Btf, name: &str) -> Result<Vec<(u32, String)>, LayoutError> {
    let found = btf.resolve_types_by_name(name).unwrap_or_default();
    let Some(found) = found.into_iter().find_map(|found| match found {
        Type::Enum(found) => Some(found),
        _ => None,
    }) else {
        return Ok(Vec::new());
    };
    let members = found.members.iter();
    members
        .map(|member| Ok((member.val(), btf.resolve_name(member)?)))
        .collect()
}
