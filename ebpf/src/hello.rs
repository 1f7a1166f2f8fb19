//! Looks for the TLS ClientHello that a TCP connection may begin with.
//!
//! By the place in the stream, which the SYN's sequence number tells, so that it may
//! come in several segments, in any order and again. Bound: the first `HELLO_BYTES`
//! and `HELLO_PACKETS` of the client; once it is known to be there whole, or to be
//! something else, two compares a packet.

use aya_ebpf::bindings::__sk_buff;
use sextant_ebpf_common::{
    Entry, HELLO_BYTES, HELLO_OVER, HELLO_PACKETS, has_opening, hello_end, hello_of, hello_until,
    hello_word, initiator, initiator_of, protocol::TCP,
};

use crate::{
    atomic,
    opening::load,
    packet::{ACK, Packet, SYN},
};

/// Content type of a handshake message (RFC 8446, 5.1), and the major version.
const HANDSHAKE: u8 = 22;
const VERSION: u8 = 3;
/// Type of the handshake message.
const CLIENT_HELLO: u8 = 1;
/// Where it is: behind the head of the record.
const RECORD: u32 = 5;
/// Head of the record and of the message.
const HEADS: u32 = 9;

/// Whether a packet may have a part of it, by the packets of its direction before it.
#[inline(always)]
pub unsafe fn may_be_in(entry: *mut Entry, packet: &Packet, before: u64) -> bool {
    if before >= HELLO_PACKETS || packet.protocol != TCP {
        return false;
    }
    let tags = (*entry).tags;
    hello_of(tags) != HELLO_OVER
        && has_opening(tags)
        && initiator_of(tags) & initiator::B == packet.sender()
}

/// Where the bytes of the packet are in what the client sends, if they are wanted.
#[inline(always)]
pub unsafe fn place(
    entry: *mut Entry,
    skb: *mut __sk_buff,
    packet: &Packet,
    length: u32,
) -> Option<u32> {
    let sequence = u32::from_be(load::<u32>(skb, packet.l4 as u32 + 4)?);
    // A SYN may carry bytes (RFC 7413); it takes a number itself.
    let is_syn = packet.tcp_flags & (SYN | ACK) == SYN;
    let first = u32::from_be((*entry).opening).wrapping_add(1);
    let offset = sequence.wrapping_add(u32::from(is_syn)).wrapping_sub(first);
    if offset == 0 {
        let bits = begin(skb, packet.headers, length);
        if bits == 0 || bits == HELLO_OVER {
            set(entry, HELLO_OVER);
            return (bits != 0).then_some(0);
        }
        set(entry, bits);
        return Some(0);
    }
    (offset < hello_end(hello_of((*entry).tags))).then_some(offset)
}

/// The bits of the entry after the first segment; 0 if it is something else. As far as
/// it goes: it may be shorter than the heads.
#[inline(always)]
unsafe fn begin(skb: *mut __sk_buff, at: u32, length: u32) -> u8 {
    let is = |place: u32, value: u8| length <= place || load::<u8>(skb, at + place) == Some(value);
    if !is(0, HANDSHAKE) || !is(1, VERSION) || !is(RECORD, CLIENT_HELLO) {
        return 0;
    }
    let several = hello_until(HELLO_BYTES);
    if length < HEADS {
        return several;
    }
    let (Some(record), Some(message)) = (
        load::<u16>(skb, at + 3).map(u16::from_be),
        load::<u32>(skb, at + RECORD).map(u32::from_be),
    ) else {
        return several;
    };
    let message = message & 0xff_ffff;
    if u32::from(record) < message + HEADS - RECORD {
        return several;
    }
    let end = message + HEADS;
    if length >= end || length >= HELLO_BYTES {
        HELLO_OVER
    } else {
        hello_until(end)
    }
}

#[inline(always)]
unsafe fn set(entry: *mut Entry, bits: u8) {
    // Aligned: it lies behind words alone.
    let word = (&raw mut (*entry).tags).cast::<u32>();
    atomic::set_bits(word, hello_word(bits));
}
