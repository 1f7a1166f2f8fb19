//! The program that learns when a socket of this host sends a segment of TCP again.
//! Without it that is told with the next event of the flow.

use aya::{Ebpf, programs::RawTracePoint};

use super::{kernel, refusal::chain};

/// Attached when the kernel's structures are known; else why it is not.
pub(super) fn watch(ebpf: &mut Ebpf) -> Result<(), String> {
    let program: &mut RawTracePoint = ebpf
        .program_mut("sextant_again")
        .and_then(|program| program.try_into().ok())
        .ok_or("the build has no program for it")?;
    program
        .load()
        .and_then(|()| program.attach("tcp_retransmit_skb"))
        .map(drop)
        .map_err(|error| format!("{}; {}", chain(&error), kernel::remedy()))
}
