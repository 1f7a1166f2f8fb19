//! How far the look for a TLS ClientHello is in a TCP connection: four bits of its
//! entry, which are only ever set until the entry begins anew.

/// Bytes from a client's first on in which its ClientHello is looked for.
pub const HELLO_BYTES: u32 = 4096;
/// Packets of a client in which it is looked for: of the smallest segments.
pub const HELLO_PACKETS: u64 = 128;

/// Bytes of a step.
const STEP: u32 = 640;
/// It is over: all was copied, or it is no TLS.
pub const HELLO_OVER: u8 = 15;

/// What the bits are once a ClientHello began that ends before this byte.
#[inline(always)]
#[must_use]
pub const fn hello_until(end: u32) -> u8 {
    let end = if end < HELLO_BYTES { end } else { HELLO_BYTES };
    end.div_ceil(STEP) as u8
}

/// Before which byte segments are copied.
#[inline(always)]
#[must_use]
pub const fn hello_end(bits: u8) -> u32 {
    match bits {
        0 => HELLO_BYTES,
        HELLO_OVER => 0,
        steps if steps as u32 * STEP < HELLO_BYTES => steps as u32 * STEP,
        _ => HELLO_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u8 = hello_until(HELLO_BYTES);

    #[test]
    fn the_bits_hold_at_least_the_end_and_are_over_only_when_told() {
        assert_eq!(hello_end(0), HELLO_BYTES);
        assert_eq!(hello_end(HELLO_OVER), 0);
        for end in 1..=2 * HELLO_BYTES {
            let bits = hello_until(end);
            assert!(bits > 0 && bits < HELLO_OVER, "{end}");
            let until = hello_end(bits);
            assert!(until >= end.min(HELLO_BYTES) && until < end + STEP, "{end}");
        }
        // Set by two CPUs at once.
        for one in 0..=MOST {
            for other in 0..=MOST {
                assert_ne!(one | other, HELLO_OVER);
            }
        }
    }
}
