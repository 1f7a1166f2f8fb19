//! Where connection tracking is found in the kernel's structures.

use btf_rs::Btf;
use sextant_ebpf_common::NatLayout;

use super::{LayoutError, offset};

/// Its types, where it is a module.
const MODULE: &str = "/sys/kernel/btf/nf_conntrack";

/// Offsets in `nf_conntrack_tuple` that `Tuple` has.
const TUPLE: [(&str, u32); 6] = [
    ("src.u3", 0),
    ("src.u.all", 16),
    ("dst.u3", 20),
    ("dst.u.all", 36),
    ("dst.protonum", 38),
    ("dst.dir", 39),
];
/// Bytes of a tuple.
const TUPLE_BYTES: u32 = 40;

/// The layout of this kernel.
pub(in super::super) fn find(btf: &Btf) -> Result<NatLayout, LayoutError> {
    match find_in(btf, btf) {
        Err(LayoutError::Missing(_)) => match Btf::from_split_file(MODULE, btf) {
            Ok(module) => find_in(btf, &module),
            Err(_) => Err(LayoutError::Missing(
                "connection tracking, or not loaded yet (modprobe nf_conntrack before the start)"
                    .into(),
            )),
        },
        found => found,
    }
}

fn find_in(kernel: &Btf, module: &Btf) -> Result<NatLayout, LayoutError> {
    for (field, expected) in TUPLE {
        if offset(module, "nf_conntrack_tuple", field)? != expected {
            return Err(LayoutError::Missing(format!(
                "nf_conntrack_tuple with {field} at {expected}"
            )));
        }
    }
    let first = offset(module, "nf_conn", "tuplehash")?;
    let tuple = offset(module, "nf_conntrack_tuple_hash", "tuple")?;
    Ok(NatLayout {
        skb_nfct: offset(kernel, "sk_buff", "_nfct")?,
        conn_status: offset(module, "nf_conn", "status")?,
        conn_original: first + tuple,
        conn_reply: first + tuple + TUPLE_BYTES + tuple,
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Types, VMLINUX},
        *,
    };

    #[test]
    fn this_kernel_tells_translations_or_says_what_is_missing() {
        if !std::path::Path::new(VMLINUX).exists() {
            println!("SKIPPED: no {VMLINUX}");
            return;
        }
        match Types::default().find(find) {
            Ok(layout) => assert_eq!(layout.conn_reply, layout.conn_original + 56),
            Err(reason) => assert!(reason.contains("connection tracking"), "{reason}"),
        }
    }
}
