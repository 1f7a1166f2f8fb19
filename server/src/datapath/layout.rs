//! Finds fields of kernel structures and drop reasons in the kernel's BTF.
//!
//! Rust eBPF has no CO-RE, so the daemon looks offsets up when it loads the
//! programs and passes them as constants. Where something is not found the
//! feature is off and says so.

pub(super) mod nat;
mod places;
mod reasons;
pub(super) mod tcp;
pub(super) mod who;

use std::cell::OnceCell;

use btf_rs::{Btf, BtfType, Struct, Type};
use sextant_ebpf_common::{DropLayout, NetLayout, SKB_BYTES};

use super::namespace::own_cookie;
pub use reasons::DropReasons;
use reasons::Reasons;

const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Tells the drops.
const TRACEPOINT: &str = "kfree_skb";

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

/// The types of this kernel: read once, when something is first looked up in them,
/// since they are some 20 MiB.
#[derive(Default)]
pub(super) struct Types(OnceCell<Result<Btf, String>>);

impl Types {
    /// Gives their memory up; they are read again when they are needed.
    pub(super) fn forget(&mut self) {
        self.0.take();
    }

    /// What is found in them, or why it is not.
    pub(super) fn find<T>(
        &self,
        find: impl FnOnce(&Btf) -> Result<T, LayoutError>,
    ) -> Result<T, String> {
        let read = || Btf::from_file(VMLINUX).map_err(|error| LayoutError::from(error).to_string());
        match self.0.get_or_init(read) {
            Ok(btf) => find(btf).map_err(|error| error.to_string()),
            Err(reason) => Err(reason.clone()),
        }
    }
}

/// The layout and the reasons of this kernel.
pub(super) fn find(btf: &Btf) -> Result<(DropLayout, DropReasons), LayoutError> {
    let reasons = Reasons::find(btf)?;
    let (places, known) = places::find();
    let net = find_net(btf)?;
    let offset = |root: &str, path: &str| offset(btf, root, path);
    let mut layout = DropLayout {
        quiet: reasons.quiet(),
        places,
        net,
        skb_head: offset("sk_buff", "head")?,
        skb_data: offset("sk_buff", "data")?,
        skb_tail: offset("sk_buff", "tail")?,
        skb_end: offset("sk_buff", "end")?,
        skb_len: offset("sk_buff", "len")?,
        skb_data_len: offset("sk_buff", "data_len")?,
        skb_sk: offset("sk_buff", "sk")?,
        skb_iif: offset("sk_buff", "skb_iif")?,
        skb_protocol: offset("sk_buff", "protocol")?,
        skb_network: offset("sk_buff", "network_header")?,
        skb_mac: offset("sk_buff", "mac_header")?,
        dev_ifindex: offset("net_device", "ifindex")?,
        dev_type: offset("net_device", "type")?,
        sock_net: offset("sock", "__sk_common.skc_net.net")?,
        no_socket: reasons.number("NO_SOCKET").unwrap_or(u32::MAX),
        unspecified: reasons.unspecified()?,
        has_receiver: u32::from(arguments(btf, TRACEPOINT)? > 3),
        skb_vlan: offset("sk_buff", "vlan_all").unwrap_or(0),
        ..DropLayout::ABSENT
    };
    layout.skb_bytes = skb_bytes(&layout)?;
    Ok((layout, reasons.names(&known)))
}

/// How much of an `sk_buff` has all that is read of it.
fn skb_bytes(layout: &DropLayout) -> Result<u32, LayoutError> {
    let fields = [
        layout.net.skb_dev,
        layout.skb_head,
        layout.skb_data,
        layout.skb_tail,
        layout.skb_end,
        layout.skb_len,
        layout.skb_data_len,
        layout.skb_sk,
        layout.skb_iif,
        layout.skb_protocol,
        layout.skb_network,
        layout.skb_mac,
        layout.skb_vlan,
    ];
    // The widest of them are pointers.
    let bytes = fields.into_iter().max().unwrap_or(0) + 8;
    if bytes > SKB_BYTES {
        return Err(LayoutError::Missing(format!(
            "sk_buff of at most {SKB_BYTES} bytes"
        )));
    }
    Ok(bytes)
}

/// How many arguments a tracepoint has.
fn arguments(btf: &Btf, tracepoint: &str) -> Result<usize, LayoutError> {
    let missing = || LayoutError::Missing(format!("tracepoint {tracepoint}"));
    for found in btf.resolve_types_by_name(&format!("btf_trace_{tracepoint}"))? {
        let Type::Typedef(found) = found else {
            continue;
        };
        let Type::Ptr(pointer) = btf.resolve_chained_type(&found)? else {
            continue;
        };
        if let Type::FuncProto(function) = btf.resolve_chained_type(&pointer)? {
            // The first one is the tracepoint's own.
            return Ok(function.parameters.len().saturating_sub(1));
        }
    }
    Err(missing())
}

/// Where the network namespace of a packet is found.
pub(super) fn find_net(btf: &Btf) -> Result<NetLayout, LayoutError> {
    Ok(NetLayout {
        own: own_cookie()?,
        skb_dev: offset(btf, "sk_buff", "dev")?,
        dev_net: offset(btf, "net_device", "nd_net.net")?,
        net_cookie: offset(btf, "net", "net_cookie")?,
        pad: 0,
    })
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
        let (layout, reasons) = Types::default().find(find).unwrap();
        assert!(layout.skb_network > 0 && layout.net.dev_net > 0 && layout.net.net_cookie > 0);
        assert!(reasons.values().any(|name| name == "NETFILTER_DROP"));
        assert!(reasons.values().any(|name| name == "NO_SOCKET"));
        assert!(layout.skb_bytes > layout.skb_data && layout.skb_bytes <= SKB_BYTES);
    }
}
