//! Judges packets by the policies in force: once for each side of a flow that is on this
//! host, at the interface where it is near; the flow remembers it until they change.
//!
//! Near is who is behind the interface (a container behind its veth), and this host
//! itself, with its units. Replies belong to the connection that was judged. What must
//! always pass is in `exempt`. What it is not: how policies become tables, which is
//! the daemon's.

mod class;
pub mod connect;
mod entries;
mod exempt;
mod host;
pub mod tables;
pub mod unknown;

use aya_ebpf::bindings::__sk_buff;
use sextant_ebpf_common::{
    Entry, Tally, initiator, initiator_of, point_parts,
    policy::{
        DENIED_BY_POLICY, Decision, HOST_CLASS, NO_SUBJECT, NOT_HERE, decision, decision_of,
        guards_behind, guards_host, is_of, remembered, verdict, verdict_of,
    },
    protocol::{ICMP, ICMP6, TCP},
    reason,
};

use crate::{
    atomic,
    clock::{due_after, is_due},
    event, maps,
    packet::{ACK, Packet, SYN},
};
use host::Near;
use tables::{Part, Question};

/// Something else than before is said of either side.
pub const JUDGED: u8 = reason::JUDGED_A | reason::JUDGED_B;

/// Judges a packet of a flow; what comes of it is in `Packet::judgement`.
#[inline(always)]
pub unsafe fn judge(entry: *mut Entry, skb: *mut __sk_buff, packet: &mut Packet) {
    (&raw mut packet.judgement).write_volatile(0);
    if !tables::is_in_force() {
        return;
    }
    let before = (*entry).judged;
    packet.judged = before;
    packet.opened_by = initiator_of((*entry).tags);
    sextant_judge(skb);
    let after = (&raw const packet.judged).read_volatile();
    if after != before {
        (*entry).judged = after;
    }
    if !lets_pass(packet) {
        deny(entry, skb, packet);
    }
}

/// Whether the policies in force let a packet pass by what its flow remembers alone, so
/// that there is nothing to judge. Of each known packet.
#[inline(always)]
pub unsafe fn is_known_to_pass(entry: *const Entry, packet: &Packet) -> bool {
    let Some(part) = Part::in_force() else {
        return true;
    };
    let guard = part.guard(packet.point);
    let (host, behind) = sides(packet);
    let passes = |side: usize| {
        let judged = (*entry).judged[side];
        is_of(judged, part.generation) && !denies(judged)
    };
    (!guards_host(guard) || passes(host))
        && (guards_behind(guard) == NO_SUBJECT
            || passes(behind) && decision_of((*entry).judged[behind]) != NOT_HERE)
}

/// Judges one that has no flow, for want of room: by itself.
#[inline(always)]
pub unsafe fn judge_alone(skb: *mut __sk_buff, packet: &mut Packet) {
    (&raw mut packet.judgement).write_volatile(0);
    if !tables::is_in_force() {
        return;
    }
    packet.judged = [0; 2];
    packet.opened_by = packet.initiator;
    sextant_judge(skb);
    if !lets_pass(packet) {
        tables::leave_alone(skb);
        maps::tally(Tally::DeniedAlone, packet.packets, packet.bytes);
    } else {
        unknown::judge_alone(packet);
    }
}

/// Whether the packet that was judged last goes on.
#[inline(always)]
pub fn lets_pass(packet: &Packet) -> bool {
    // SAFETY: a field. Read back, so that the verifier knows nothing of it.
    let judgement = unsafe { (&raw const packet.judgement).read_volatile() };
    judgement & reason::DENIED == 0
}

/// The side of the key that is this host if it is one of both, and the one that is
/// behind the interface if somebody is there.
#[inline(always)]
fn sides(packet: &Packet) -> (usize, usize) {
    let sender = packet.direction & 1;
    let (_, egress) = point_parts(packet.point);
    if egress {
        (sender, 1 - sender)
    } else {
        (1 - sender, sender)
    }
}

#[inline(always)]
fn denies(remembered: u32) -> bool {
    verdict_of(remembered) == verdict::DENY
}

#[inline(always)]
fn lets(remembered: u32) -> bool {
    matches!(verdict_of(remembered), verdict::ALLOW | verdict::AUDIT)
}

/// What each denied packet costs: the tracepoint of drops, which sees it next on this
/// CPU, leaves it alone, and the flow counts it.
#[inline(always)]
unsafe fn deny(entry: *mut Entry, skb: *mut __sk_buff, packet: &mut Packet) {
    tables::leave_alone(skb);
    let dropped = &raw mut (*entry).dropped[packet.direction & 1];
    atomic::add32_up_to_full(dropped, packet.packets as u32);
    (*entry).drop_reason = DENIED_BY_POLICY;
}

/// Of a packet that was counted elsewhere before: what is new is told, and what is denied
/// when it is due.
#[inline(never)]
pub unsafe fn tell(entry: *mut Entry, skb: *mut __sk_buff, packet: &mut Packet) {
    let judgement = packet.judgement;
    if judgement & reason::DENIED != 0 && is_due((*entry).due, packet.now) {
        (*entry).due = due_after(packet.now);
    } else if judgement & JUDGED == 0 {
        return;
    }
    (&raw mut packet.reasons).write_volatile(judgement);
    event::raise(entry, skb, packet);
}

/// Judges what is near, as far as it was not judged yet by the policies that are in force
/// now. The packet is the one in `maps::SCRATCH`: a function with the context alone is
/// verified by itself, once, and not again at each way that leads to it (kernel 5.6).
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn sextant_judge(skb: *mut __sk_buff) -> u32 {
    if skb.is_null() {
        return 0;
    }
    let (Some(part), Some(packet)) = (Part::in_force(), maps::SCRATCH.get_ptr_mut(0)) else {
        return 0;
    };
    let packet = &mut *packet;
    let guard = part.guard(packet.point);
    if guard == 0 {
        return 0;
    }
    packet.guard = guard;
    let (host, behind) = sides(packet);
    // Whatever came before: else whoever sends something that looks like an answer first
    // would be let in.
    if opens(packet) || !is_known(packet, part, host, behind) {
        look_up(skb, packet, part);
    }
    let is_denied = guards_host(guard) && denies(packet.judged[host])
        || guards_behind(guard) != NO_SUBJECT && denies(packet.judged[behind]);
    if is_denied {
        packet.judgement |= reason::DENIED;
    }
    0
}

#[inline(always)]
fn is_known(packet: &Packet, part: Part, host: usize, behind: usize) -> bool {
    let of_host = packet.judged[host];
    let of_behind = packet.judged[behind];
    (!guards_host(packet.guard) || is_of(of_host, part.generation))
        && (guards_behind(packet.guard) == NO_SUBJECT
            || is_of(of_behind, part.generation) && decision_of(of_behind) != NOT_HERE)
}

/// Looks up what policies say.
#[inline(never)]
unsafe fn look_up(skb: *mut __sk_buff, packet: &mut Packet, part: Part) {
    let Some(question) = tables::question() else {
        return;
    };
    if exempt::is_exempt(skb, packet) {
        packet.judged = [remembered(decision(verdict::ALLOW, 0), part.generation); 2];
        return;
    }
    (*question).protocol = packet.protocol;
    (*question).port = port(skb, packet);
    (*question).generation = part.generation;
    let near = Near::find(skb, packet, part);
    let (host, behind) = sides(packet);
    let is_known = is_of(packet.judged[host], part.generation);
    let is_asked = !is_known || opens(packet) && near.subject != NO_SUBJECT;
    if guards_host(packet.guard) && is_asked {
        let mut found = NOT_HERE;
        if near.subject != NO_SUBJECT {
            (*question).subject = near.subject;
            (*question).class = class_of_other(packet, host, part);
            (*question).egress = u32::from(opened_by(packet) == host);
            found = entries::sextant_decide();
        }
        settle(packet, host, found, part);
    }
    if guards_behind(packet.guard) != NO_SUBJECT {
        (*question).subject = guards_behind(packet.guard);
        (*question).class = if near.class != 0 {
            near.class
        } else {
            class::of_side(packet, 1 - behind, part)
        };
        (*question).egress = u32::from(opened_by(packet) == behind);
        let found = entries::sextant_decide();
        settle(packet, behind, found, part);
    }
}

/// Of who speaks with this host: by an address of the link it is who is behind the
/// interface, since everybody has one there beside his own.
#[inline(always)]
fn class_of_other(packet: &Packet, host: usize, part: Part) -> u32 {
    let other = 1 - (host & 1);
    if class::is_of_link(packet, other) {
        let class = part.own_class(guards_behind(packet.guard));
        if class != 0 {
            return class;
        }
    }
    class::of_side(packet, other, part)
}

/// That it is another decision than before is news.
#[inline(always)]
unsafe fn settle(packet: &mut Packet, side: usize, found: Decision, part: Part) {
    let place = &raw mut packet.judged[side & 1];
    if opens(packet) && verdict_of(found) == verdict::DENY && lets(place.read_volatile()) {
        // It may be forged: it does not end a connection that was let through.
        packet.judgement |= reason::DENIED;
        return;
    }
    if found != NOT_HERE && decision_of(place.read_volatile()) != found {
        packet.judgement |= if side == 0 {
            reason::JUDGED_A
        } else {
            reason::JUDGED_B
        };
    }
    place.write_volatile(remembered(found, part.generation));
}

/// The server's port, or the type of an ICMP message that opened the flow.
#[inline(always)]
unsafe fn port(skb: *mut __sk_buff, packet: &Packet) -> u32 {
    let protocol = packet.protocol;
    if protocol == ICMP || protocol == ICMP6 {
        let kind = exempt::kind(skb, packet);
        let is_answer = opened_by(packet) != packet.direction & 1;
        return u32::from(match (protocol, kind) {
            // Of an answer: what was asked.
            (ICMP, 0) if is_answer => 8,
            (ICMP, 14) if is_answer => 13,
            (ICMP6, 129) if is_answer => 128,
            (_, kind) => kind,
        });
    }
    u32::from(if opened_by(packet) == packet.direction & 1 {
        packet.destination_port
    } else {
        packet.source_port
    })
}

/// Whether it opens a connection, or may.
#[inline(always)]
pub fn opens(packet: &Packet) -> bool {
    packet.protocol == TCP && (packet.cut || packet.tcp_flags & (SYN | ACK) == SYN)
}

/// Whether the first packet of a flow comes in with an address of this host, which the
/// kernel does not take: nobody opened anything by it. The packet is the one in
/// `maps::SCRATCH`.
#[inline(always)]
pub unsafe fn is_forged(packet: &Packet) -> bool {
    let (_, egress) = point_parts(packet.point);
    match Part::in_force() {
        Some(part) if !egress && part.guard(packet.point) != 0 => {
            class::of_side(packet, packet.direction & 1, part) == HOST_CLASS
        }
        _ => false,
    }
}

/// The side that opened the connection. Of datagrams whose beginning was not seen nothing
/// but this packet tells: else whoever chooses his ports would be let in as an answer. A
/// segment of no connection is refused by TCP itself.
#[inline(always)]
fn opened_by(packet: &Packet) -> usize {
    let known = packet.opened_by;
    if opens(packet) {
        return packet.direction & 1;
    }
    let is_guess = known & initiator::GUESSED != 0 && known & initiator::BY_SOCKET == 0;
    if is_guess && packet.protocol != TCP {
        return packet.direction & 1;
    }
    usize::from(known & initiator::B)
}
