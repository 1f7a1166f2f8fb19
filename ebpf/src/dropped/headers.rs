//! Reads the headers of a dropped packet: as much as there is, and no more.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use sextant_ebpf_common::{
    Cause, ICMP_MESSAGE,
    protocol::{DCCP, FRAGMENT, ICMP, ICMP6, SCTP, TCP, UDP, UDP_LITE},
};

use super::{
    Dropped,
    skb::{self, Place},
};
use crate::{
    maps,
    parse::{MAX_EXTENSIONS, extension_length, icmp_query, is_extension},
};

/// More than the length fields of IP can tell.
const LARGE: u64 = 1 << 16;

/// Reads the headers. What is missing behind the IP header is counted; the
/// packet is told all the same.
#[inline(always)]
pub(super) unsafe fn read(it: *mut Dropped) -> Result<(), Cause> {
    let place = skb::locate(it)?;
    let ip_bytes = if (*it).key.family == 4 { 20 } else { 40 };
    if place.l3 + ip_bytes > place.end {
        return Err(missing(&place, place.l3 + ip_bytes));
    }
    copy((&raw mut (*it).ip).cast(), ip_bytes as u32, place.l3)?;
    let has_transport = if ip_bytes == 20 {
        ipv4(it, &place)?
    } else {
        ipv6(it, &place)?
    };
    if !has_transport {
        return Ok(());
    }
    let needs = header_bytes((*it).key.protocol);
    let (at, limit) = ((*it).at, (*it).limit);
    let there = limit.min(place.end).saturating_sub(at);
    if there < needs {
        // Beyond the packet's own end there is nothing in fragments either.
        let cause = if at + needs > limit {
            Cause::DropTruncated
        } else {
            missing(&place, at + needs)
        };
        maps::count(cause, 1, 0);
    }
    let take = there.min(16) as u32;
    copy((&raw mut (*it).first.l4).cast(), take, at)?;
    (*it).first.l4_len = take as u8;
    transport(it);
    Ok(())
}

/// Why the bytes up to `needed` cannot be read.
#[inline(always)]
fn missing(place: &Place, needed: u64) -> Cause {
    if needed > place.end + place.beyond {
        Cause::DropTruncated
    } else {
        Cause::DropNotLinear
    }
}

#[inline(always)]
unsafe fn copy(to: *mut u8, bytes: u32, from: u64) -> Result<(), Cause> {
    match bpf_probe_read_kernel(to.cast(), bytes, from as *const _) {
        0 => Ok(()),
        _ => Err(Cause::DropUnreadable),
    }
}

/// Addresses and protocol (RFC 791); whether a transport header follows, which
/// then is at `at`, and where the packet ends, which is at `limit`.
#[inline(always)]
unsafe fn ipv4(it: *mut Dropped, place: &Place) -> Result<bool, Cause> {
    let word = |index: usize| (*it).ip[index].to_ne_bytes();
    let ([version, _, high, low], [_, _, fragment_high, fragment_low]) = (word(0), word(1));
    let header = u64::from(version & 0xf) * 4;
    let mut total = u64::from(u16::from_be_bytes([high, low]));
    let whole = place.end + place.beyond - place.l3;
    if total == 0 && whole >= LARGE {
        // Segments that are not cut yet may be more than the field can tell.
        total = whole;
    }
    if version >> 4 != 4 || header < 20 || total < header {
        return Err(Cause::DropMalformedIp);
    }
    (*it).key.protocol = word(2)[1];
    (*it).key.source[0] = (*it).ip[3];
    (*it).key.destination[0] = (*it).ip[4];
    (*it).at = place.l3 + header;
    (*it).limit = place.l3 + total;
    // Later fragments have none.
    Ok(u16::from_be_bytes([fragment_high, fragment_low]) & 0x1fff == 0)
}

/// As above (RFC 8200).
#[inline(always)]
unsafe fn ipv6(it: *mut Dropped, place: &Place) -> Result<bool, Cause> {
    let word = |index: usize| (*it).ip[index].to_ne_bytes();
    let [high, low, next, _] = word(1);
    if word(0)[0] >> 4 != 6 {
        return Err(Cause::DropMalformedIp);
    }
    let mut payload = u64::from(u16::from_be_bytes([high, low]));
    let whole = place.end + place.beyond - place.l3;
    if payload == 0 && whole >= LARGE {
        payload = whole - 40;
    }
    (*it).key.protocol = next;
    for index in 0..4 {
        (*it).key.source[index] = (*it).ip[2 + index];
        (*it).key.destination[index] = (*it).ip[6 + index];
    }
    (*it).at = place.l3 + 40;
    (*it).limit = place.l3 + 40 + payload;
    Ok(walk_extensions(it, place))
}

/// Moves `at` and the protocol past the extension headers; whether a transport
/// header follows. Their state is in memory, so that the verifier finds each
/// round like the one before.
#[inline(always)]
unsafe fn walk_extensions(it: *mut Dropped, place: &Place) -> bool {
    let (at, protocol) = (&raw mut (*it).at, &raw mut (*it).key.protocol);
    for _ in 0..MAX_EXTENSIONS {
        let number = protocol.read_volatile();
        if !is_extension(number) {
            return true;
        }
        let here = at.read_volatile();
        if here + 8 > (*it).limit {
            maps::count(Cause::DropTruncated, 1, 0);
            return false;
        }
        if here + 8 > place.end {
            maps::count(missing(place, here + 8), 1, 0);
            return false;
        }
        if copy((&raw mut (*it).extension).cast(), 8, here).is_err() {
            maps::count(Cause::DropUnreadable, 1, 0);
            return false;
        }
        let [next, length, high, low, ..] = (&raw const (*it).extension).read_volatile();
        at.write_volatile(here + extension_length(number, length) as u64);
        protocol.write_volatile(next);
        if number == FRAGMENT && u16::from_be_bytes([high, low]) & 0xfff8 != 0 {
            return false;
        }
    }
    if is_extension(protocol.read_volatile()) {
        maps::count(Cause::DropTooManyExtensions, 1, 0);
        return false;
    }
    true
}

/// Bytes of the transport header of this number, without options.
#[inline(always)]
fn header_bytes(protocol: u8) -> u64 {
    match protocol {
        TCP => 20,
        UDP | UDP_LITE => 8,
        SCTP | DCCP => 12,
        ICMP | ICMP6 => 4,
        _ => 0,
    }
}

/// Ports and flags, if they are there.
#[inline(always)]
unsafe fn transport(it: *mut Dropped) {
    let (l4, there) = (&(*it).first.l4, (*it).first.l4_len);
    let pair = |at: usize| u16::from_be_bytes([l4[at], l4[at + 1]]);
    match (*it).key.protocol {
        TCP | UDP | UDP_LITE | SCTP | DCCP if there >= 4 => {
            (*it).key.source_port = pair(0);
            (*it).key.destination_port = pair(2);
        }
        ICMP | ICMP6 if there >= 2 => {
            let id = if there >= 6 { pair(4) } else { 0 };
            // As in the key of its flow.
            let (source, destination) = match icmp_query((*it).key.protocol, l4[0]) {
                Some(query) => (id, query),
                None => (pair(0), ICMP_MESSAGE),
            };
            (*it).key.source_port = source;
            (*it).key.destination_port = destination;
        }
        _ => {}
    }
    match (*it).key.protocol {
        TCP if there >= 14 => (*it).first.tcp_flags = pair(12) & 0x1ff,
        // What is behind a datagram in its packet is none of it (RFC 768).
        UDP if there >= 8 => {
            let length = pair(4);
            if length >= 8 && length < u16::from(there) {
                (*it).first.l4_len = length as u8;
            }
        }
        _ => {}
    }
}
