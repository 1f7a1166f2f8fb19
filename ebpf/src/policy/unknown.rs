//! Packets that cannot be judged: whether they go on is a setting (`[policy] unknown`).
//!
//! These are packets that are not understood, fragments whose first one was not seen, and
//! segments of TCP of which nothing tells who opened the connection, since there was no
//! room for it. What is no IP, or encrypted, is none of them. One that does not go on is told by the
//! tracepoint of drops, as those of others are: no policy is to be named.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use sextant_ebpf_common::{CAUSES, Cause, CauseCount, initiator, protocol::TCP, reason};

use super::tables::Part;
use crate::packet::Packet;

/// Those that did not go on, by why they are in no flow.
#[map]
static UNJUDGED: PerCpuArray<CauseCount> = PerCpuArray::with_max_entries(CAUSES.len() as u32, 0);

/// Whether they are denied; 0 or 1, set by the loader.
#[unsafe(no_mangle)]
static DENY_UNKNOWN: u32 = 0;

/// Of a packet that was not understood, for this cause; what comes of it is in
/// `Packet::judgement`.
#[inline(always)]
pub unsafe fn judge(packet: &mut Packet, cause: Cause, packets: u64, bytes: u64) {
    (&raw mut packet.judgement).write_volatile(0);
    if !are_denied() || shows_no_ip(cause) || !is_guarded(packet) {
        return;
    }
    if let Some(count) = UNJUDGED.get_ptr_mut(cause as u32) {
        (*count).packets += packets;
        (*count).bytes += bytes;
    }
    (&raw mut packet.judgement).write_volatile(reason::DENIED);
}

/// Of one that found no room, and that nothing denies: who opened the connection is a guess
/// by ports alone. Datagrams are judged as if they opened it, then.
#[inline(always)]
pub unsafe fn judge_alone(packet: &mut Packet) {
    let opened_by = packet.opened_by;
    let is_guess = opened_by & initiator::GUESSED != 0 && opened_by & initiator::BY_SOCKET == 0;
    if !is_guess || packet.protocol != TCP {
        return;
    }
    let cause = if packet.family == 4 {
        Cause::Table4Full
    } else {
        Cause::Table6Full
    };
    judge(packet, cause, packet.packets, packet.bytes);
}

/// What is in MACsec is judged where it comes out of it.
#[inline(always)]
fn shows_no_ip(cause: Cause) -> bool {
    matches!(cause, Cause::NotIp | Cause::Encrypted)
}

#[inline(always)]
fn are_denied() -> bool {
    // SAFETY: a static of this program; volatile, since the loader rewrites it.
    unsafe { (&raw const DENY_UNKNOWN).read_volatile() != 0 }
}

/// Whether anything is judged where it is.
#[inline(always)]
fn is_guarded(packet: &Packet) -> bool {
    Part::in_force().is_some_and(|part| part.guard(packet.point) != 0)
}
