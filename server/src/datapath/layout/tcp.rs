//! Where a connection's socket has its ends.

use btf_rs::Btf;
use sextant_ebpf_common::EndsLayout;

use super::{LayoutError, offset};

/// The layout of this kernel.
pub(in super::super) fn find(btf: &Btf) -> Result<EndsLayout, LayoutError> {
    let offset = |path: &str| offset(btf, "sock_common", path);
    Ok(EndsLayout {
        family: offset("skc_family")?,
        own4: offset("skc_rcv_saddr")?,
        other4: offset("skc_daddr")?,
        own6: offset("skc_v6_rcv_saddr")?,
        other6: offset("skc_v6_daddr")?,
        own_port: offset("skc_num")?,
        other_port: offset("skc_dport")?,
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Types, VMLINUX},
        *,
    };

    #[test]
    fn this_kernel_tells_the_ends_of_a_socket() {
        if !std::path::Path::new(VMLINUX).exists() {
            println!("SKIPPED: no {VMLINUX}");
            return;
        }
        let found = Types::default().find(find).unwrap();
        // Side by side, as look-ups by both at once need them.
        assert_eq!(found.own4, found.other4 + 4);
        assert_eq!(found.own6, found.other6 + 16);
        assert_eq!(found.own_port, found.other_port + 2);
    }
}
