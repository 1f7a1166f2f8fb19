//! What no policy judges: what the programs in the kernel let pass
//! (`ebpf/common/src/exempt.rs`), and the loopback, which they are not on.

pub use sextant_ebpf_common::exempt::is_dhcp;
use sextant_ebpf_common::exempt::is_of_link;

use crate::endpoint::Endpoint;

/// Whether a connection passes whatever policies say: this host speaks with itself, over
/// the loopback, or it is no connection but a message that keeps the link at work.
#[must_use]
pub fn is_exempt(client: &Endpoint, server: &Endpoint, protocol: u8, port: u16) -> bool {
    let is_here = |end: &Endpoint| end.host_labels().is_some();
    let is_of_link = |kind| is_of_link(protocol, kind);
    is_here(client) && is_here(server) || u8::try_from(port).is_ok_and(is_of_link)
}
