//! What is told of how well a TCP connection does.

use crate::NO_FIELD;

/// Above TCP's control bits in their words: a window of 0 was announced (RFC 9293), by
/// another packet than a SYN or RST.
pub const ZERO_WINDOW: u16 = 1 << 9;

/// Above that: a socket of this host sent a segment again. Of no packet: the kernel
/// tells.
pub const SENT_AGAIN: u16 = 1 << 10;

/// Where a connection's socket has its ends (`struct sock_common`); `NO_FIELD`
/// throughout where that is not known.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndsLayout {
    /// Address family.
    pub family: u32,
    /// Own address of IPv4.
    pub own4: u32,
    /// The other's.
    pub other4: u32,
    /// Own address of IPv6, also where IPv4 is mapped.
    pub own6: u32,
    /// The other's.
    pub other6: u32,
    /// Own port, as the host has numbers.
    pub own_port: u32,
    /// The other's, as the network has them.
    pub other_port: u32,
}

impl EndsLayout {
    /// Nothing is known.
    pub const ABSENT: Self = Self {
        family: NO_FIELD,
        own4: NO_FIELD,
        other4: NO_FIELD,
        own6: NO_FIELD,
        other6: NO_FIELD,
        own_port: NO_FIELD,
        other_port: NO_FIELD,
    };
}

/// `Figures::of`: there are none.
pub const NO_FIGURES: u32 = 0;
/// Those of side `a` of the key.
pub const FIGURES_OF_A: u32 = 1;
/// Those of side `b` of the key.
pub const FIGURES_OF_B: u32 = 2;

/// What a socket of this host knows of its connection (`struct tcp_sock`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// `NO_FIGURES`, or whose they are.
    pub of: u32,
    /// Smoothed round-trip time in microseconds; 0 for none measured yet.
    pub srtt_us: u32,
    /// The least round-trip time of late; 0 and `u32::MAX` for none measured yet.
    pub rtt_min_us: u32,
    /// Segments sent again since the connection began.
    pub retrans: u32,
    /// Segments on their way that count as lost now.
    pub lost: u32,
}

/// Bits of a short duration that tell its value; those above tell how often it was halved.
const VALUE_BITS: u32 = 11;

/// Microseconds in 16 bits: exact up to 2047, then to a thousandth. Never 0.
#[inline(always)]
#[must_use]
pub const fn short_micros(micros: u32) -> u16 {
    if micros == 0 {
        return 1;
    }
    let mut value = micros;
    let mut halved = 0;
    // By steps, since a loop would be one for the verifier too.
    let mut step = 16;
    while step > 0 {
        if value >> (VALUE_BITS - 1 + step) != 0 {
            value >>= step;
            halved += step;
        }
        step /= 2;
    }
    if value >> VALUE_BITS != 0 {
        value >>= 1;
        halved += 1;
    }
    (halved << VALUE_BITS | value) as u16
}

/// The microseconds of `short_micros`; 0 for 0.
#[must_use]
pub const fn micros(short: u16) -> u32 {
    let short = short as u32;
    (short & ((1 << VALUE_BITS) - 1)) << (short >> VALUE_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_exact_to_a_thousandth() {
        for us in (0..4096).chain((0..32).flat_map(|bit| {
            let power = 1_u32 << bit;
            [power - 1, power, power + power / 3, power | (power - 1)]
        })) {
            let got = micros(short_micros(us));
            let off = us.max(1).abs_diff(got);
            assert!(off <= us / 1000, "{us} became {got}");
            assert!(us >= 2048 || off == 0, "{us} became {got}");
        }
        assert_eq!(micros(0), 0);
        assert_ne!(short_micros(0), 0);
    }
}
