//! Finds fields of kernel structures and drop reasons in the kernel's BTF.
//!
//! Rust eBPF has no CO-RE, so the daemon looks offsets up when it loads the
//! programs and passes them as constants. Where something is not found the
//! feature is off and says so.

use std::{collections::HashMap, sync::Arc};

use btf_rs::{Btf, BtfType, Struct, Type};
use sextant_ebpf_common::{DropLayout, NetLayout};

use super::namespace::own_cookie;

const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
const REASON_ENUM: &str = "skb_drop_reason";
const REASON_PREFIX: &str = "SKB_DROP_REASON_";
/// The last reason that says nothing.
const NOT_SPECIFIED: &str = "NOT_SPECIFIED";

/// Frees that the kernel counts as drops, but that are part of a healthy
/// connection: duplicates and merged pieces of TCP, queues of closed sockets,
/// frames for other hosts.
const QUIET: [&str; 10] = [
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
];

/// Names of this kernel's drop reasons, by number; shared.
pub type DropReasons = Arc<HashMap<u32, String>>;

/// What this kernel does not tell.
#[derive(Debug, thiserror::Error)]
pub(super) enum LayoutError {
    /// No BTF.
    #[error("cannot read {VMLINUX}: {0}")]
    Btf(#[from] btf_rs::Error),
    /// The type is not there, or is another than expected.
    #[error("this kernel has no {0}")]
    Missing(String),
    /// The cookie of the network namespace is not known.
    #[error("cannot tell the own network namespace (it came with 5.14): {0}")]
    Namespace(#[from] std::io::Error),
}

/// The layout and the reasons of this kernel.
pub(super) fn find() -> Result<(DropLayout, DropReasons), LayoutError> {
    let btf = Btf::from_file(VMLINUX)?;
    let reasons = reasons(&btf)?;
    let number = |name: &str| {
        reasons
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(number, _)| *number)
    };
    let mut quiet = [0_u64; 4];
    for reason in QUIET.iter().filter_map(|name| number(name)) {
        if let Some(word) = quiet.get_mut(reason as usize / 64) {
            *word |= 1 << (reason % 64);
        }
    }
    let net = net(&btf)?;
    let offset = |root: &str, path: &str| offset(&btf, root, path);
    let layout = DropLayout {
        quiet,
        net,
        skb_head: offset("sk_buff", "head")?,
        skb_len: offset("sk_buff", "len")?,
        skb_sk: offset("sk_buff", "sk")?,
        skb_iif: offset("sk_buff", "skb_iif")?,
        skb_protocol: offset("sk_buff", "protocol")?,
        skb_network: offset("sk_buff", "network_header")?,
        skb_mac: offset("sk_buff", "mac_header")?,
        dev_ifindex: offset("net_device", "ifindex")?,
        sock_net: offset("sock", "__sk_common.skc_net.net")?,
        no_socket: number("NO_SOCKET").unwrap_or(u32::MAX),
        pad: 0,
        first_reason: number(NOT_SPECIFIED)
            .ok_or_else(|| LayoutError::Missing(format!("{REASON_PREFIX}{NOT_SPECIFIED}")))?,
    };
    Ok((layout, Arc::new(reasons)))
}

/// Where the network namespace of a packet is found.
pub(super) fn find_net() -> Result<NetLayout, LayoutError> {
    net(&Btf::from_file(VMLINUX)?)
}

fn net(btf: &Btf) -> Result<NetLayout, LayoutError> {
    Ok(NetLayout {
        own: own_cookie()?,
        skb_dev: offset(btf, "sk_buff", "dev")?,
        dev_net: offset(btf, "net_device", "nd_net.net")?,
        net_cookie: offset(btf, "net", "net_cookie")?,
        pad: 0,
    })
}

fn reasons(btf: &Btf) -> Result<HashMap<u32, String>, LayoutError> {
    for found in btf.resolve_types_by_name(REASON_ENUM)? {
        let Type::Enum(found) = found else { continue };
        let mut names = HashMap::new();
        for member in &found.members {
            let name = btf.resolve_name(member)?;
            if let Some(short) = name.strip_prefix(REASON_PREFIX) {
                names.insert(member.val(), short.to_owned());
            } else if let Some(short) = name.strip_prefix("SKB_") {
                names.insert(member.val(), short.to_owned());
            }
        }
        return Ok(names);
    }
    Err(LayoutError::Missing(format!(
        "enum {REASON_ENUM} (it came with 5.17)"
    )))
}

/// The offset of a field in bytes; `path` goes through nested structures.
fn offset(btf: &Btf, root: &str, path: &str) -> Result<u32, LayoutError> {
    let missing = || LayoutError::Missing(format!("{root}.{path}"));
    let found = btf
        .resolve_types_by_name(root)?
        .into_iter()
        .find_map(as_struct);
    let mut current = found.ok_or_else(missing)?;
    let mut bits = 0;
    for name in path.split('.') {
        let (offset, member) = member(btf, &current, name)?.ok_or_else(missing)?;
        bits += offset;
        if let Some(next) = member {
            current = next;
        }
    }
    Ok(bits / 8)
}

/// A member's offset in bits and, if it is one, its structure; also looks into
/// anonymous structures and unions.
fn member(
    btf: &Btf,
    within: &Struct,
    name: &str,
) -> Result<Option<(u32, Option<Struct>)>, LayoutError> {
    for field in &within.members {
        let field_name = btf.resolve_name(field).unwrap_or_default();
        let kind = as_struct(resolved(btf, field)?);
        if field_name == name {
            return Ok(Some((field.bit_offset(), kind)));
        }
        if field_name.is_empty()
            && let Some(anonymous) = kind
            && let Some((offset, kind)) = member(btf, &anonymous, name)?
        {
            return Ok(Some((field.bit_offset() + offset, kind)));
        }
    }
    Ok(None)
}

/// The type of a field, through typedefs and qualifiers.
fn resolved(btf: &Btf, field: &dyn BtfType) -> Result<Type, LayoutError> {
    let mut found = btf.resolve_chained_type(field)?;
    while let Type::Typedef(_) | Type::Const(_) | Type::Volatile(_) = found {
        found = match found.as_btf_type() {
            Some(inner) => btf.resolve_chained_type(inner)?,
            None => break,
        };
    }
    Ok(found)
}

fn as_struct(kind: Type) -> Option<Struct> {
    match kind {
        Type::Struct(found) | Type::Union(found) => Some(found),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_what_drops_need() {
        if !std::path::Path::new(VMLINUX).exists() {
            println!("SKIPPED: no {VMLINUX}");
            return;
        }
        let (layout, reasons) = find().unwrap();
        assert!(layout.skb_network > 0 && layout.net.dev_net > 0 && layout.net.net_cookie > 0);
        assert!(reasons.values().any(|name| name == "NETFILTER_DROP"));
        assert!(reasons.values().any(|name| name == "NO_SOCKET"));
    }
}
