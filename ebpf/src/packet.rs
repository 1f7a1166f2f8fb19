//! What is known of a packet.

use sextant_ebpf_common::{A_TO_B, Ends, initiator};

/// TCP's control bits (RFC 9293).
pub const FIN: u16 = 1;
/// Opens a connection.
pub const SYN: u16 = 1 << 1;
/// Resets a connection.
pub const RST: u16 = 1 << 2;
/// Acknowledges.
pub const ACK: u16 = 1 << 4;

/// A packet, filled in step by step: in place, for the sake of the stack. Of
/// IPv4 addresses only the first word is set.
pub struct Packet {
    /// Coarse time.
    pub now: u64,
    /// Packets on the wire.
    pub packets: u64,
    /// Bytes on the wire.
    pub bytes: u64,
    /// Sender; IPv4 in the first word, the others are left over.
    pub source: [u32; 4],
    /// Receiver.
    pub destination: [u32; 4],
    /// Offset of the network header.
    pub l3: usize,
    /// Offset of the transport header.
    pub l4: usize,
    /// Direction in the key.
    pub direction: usize,
    /// Length of all headers up to the payload, for GSO.
    pub headers: u32,
    /// GSO: payload of a segment; 0 for a packet that goes as it is.
    pub segment: u32,
    /// Bytes of the frame, a VLAN tag in the metadata included, before GSO.
    pub len: u32,
    /// Length of the VLAN tag in the metadata.
    pub tag_len: u32,
    /// Length of a jumbo payload option (RFC 2675), with which the kernel marks GSO
    /// packets beyond 64 KiB and which their segments do not have.
    pub jumbo: u32,
    /// Observation point.
    pub point: u32,
    /// VLAN ids, outer first.
    pub vlan: [u16; 2],
    /// Of unusual layouts: what is at `l3`.
    pub ethertype: u16,
    /// Port of the sender, or the ICMP id.
    pub source_port: u16,
    /// Port of the receiver, or the ICMP class.
    pub destination_port: u16,
    /// TCP control bits, and `ZERO_WINDOW`.
    pub tcp_flags: u16,
    /// Address space.
    pub zone: u16,
    /// Of unusual layouts: VLAN tags so far.
    pub tags: u8,
    /// 4 or 6.
    pub family: u8,
    /// IP protocol number.
    pub protocol: u8,
    /// The ports belong to the sides (not so for ICMP).
    pub sided: bool,
    /// For ICMP: the message answers another.
    pub answer: bool,
    /// A fragment, the first one too.
    pub fragment: bool,
    /// A fragment but not the first: there is no transport header.
    pub later_fragment: bool,
    /// A first fragment of TCP without its flags (RFC 1858): it may open a connection.
    pub cut: bool,
    /// The link has a MAC header.
    pub has_mac: bool,
    /// Of a new flow: as in `Entry`.
    pub initiator: u8,
    /// Why it is news. Here, so that the verifier knows nothing of it and walks the ways
    /// behind it once.
    pub reasons: u8,
    /// What policies add to that.
    pub judgement: u8,
    /// Whether it counts where it is.
    pub counts: u8,
    /// As in the entry of its flow, while it is judged.
    pub opened_by: u8,
    /// The same.
    pub judged: [u32; 2],
    /// What is judged where it is.
    pub guard: u32,
}

impl Packet {
    /// What of it goes into its key beside the addresses.
    #[inline(always)]
    pub fn ends(&self) -> Ends {
        Ends {
            source_port: self.source_port,
            destination_port: self.destination_port,
            sided: self.sided,
            answer: self.answer,
            protocol: self.protocol,
            zone: self.zone,
        }
    }

    /// The side of the key that sent it.
    #[inline(always)]
    pub fn sender(&self) -> u8 {
        if self.direction == A_TO_B {
            initiator::A
        } else {
            initiator::B
        }
    }

    /// The sender's address, without what is left over behind an IPv4 one.
    #[inline(always)]
    pub fn source_address(&self) -> [u32; 4] {
        address(&self.source, self.family)
    }

    /// The receiver's.
    #[inline(always)]
    pub fn destination_address(&self) -> [u32; 4] {
        address(&self.destination, self.family)
    }

    /// The port of the sender in a direction of the key, or of the receiver.
    #[inline(always)]
    pub fn port_of(&self, direction: usize, sender: bool) -> u16 {
        if (direction == self.direction) == sender {
            self.source_port
        } else {
            self.destination_port
        }
    }
}

/// An address without what is left over behind an IPv4 one.
#[inline(always)]
pub fn address(words: &[u32; 4], family: u8) -> [u32; 4] {
    if family == 4 {
        [words[0], 0, 0, 0]
    } else {
        *words
    }
}
