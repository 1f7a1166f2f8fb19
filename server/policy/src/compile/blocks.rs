//! Blocks of ports that begin with the same bits, as the tables have them: a number
//! with a one before the bits that are told. The block around another one is its
//! number without the last bits.

/// All ports.
pub(super) const ALL: u32 = 1;

/// Number of the block around a port that tells this many bits.
pub(super) fn around(port: u16, length: u32) -> u32 {
    1 << length | u32::from(port) >> (16 - length)
}

/// Bits that a block tells.
pub(super) fn length(block: u32) -> u32 {
    block.ilog2()
}

/// The first port of a block.
pub(super) fn first_port(block: u32) -> u16 {
    let length = length(block);
    ((block - (1 << length)) << (16 - length)) as u16
}

/// The fewest blocks that are the ports of a range: at most 30.
pub(super) fn of_range(first: u16, last: u16) -> impl Iterator<Item = u32> {
    let mut next = u32::from(first);
    let end = u32::from(last) + 1;
    std::iter::from_fn(move || {
        if next >= end {
            return None;
        }
        let aligned = next.trailing_zeros().min(16);
        let fitting = (end - next).ilog2();
        let bits = aligned.min(fitting);
        let block = around(next as u16, 16 - bits);
        next += 1 << bits;
        Some(block)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{Ports, Which, protocol::TCP};

    #[test]
    fn blocks_are_those_that_the_judge_takes_a_range_apart_into() {
        for (first, last) in [
            (0, 0),
            (0, 65_535),
            (1, 65_535),
            (0, 65_534),
            (1, 65_534),
            (80, 80),
            (65_535, 65_535),
            (1_000, 2_999),
        ] {
            let blocks: Vec<_> = of_range(first, last).collect();
            assert!(blocks.len() <= 30, "{first}-{last}: {}", blocks.len());
            let ports = Ports {
                protocol: TCP,
                which: Which::Range(first, last),
            };
            for port in 0..=65_535 {
                let within = |block: &&u32| around(port, length(**block)) == **block;
                let mut found = blocks.iter().filter(within);
                let bits = found.next().map(|block| length(*block) as u8);
                assert_eq!(found.next(), None, "{port} of {first}-{last}");
                let told = ports.matched_bits(TCP, port, |_| None);
                assert_eq!(bits, told, "{port} of {first}-{last}");
            }
        }
    }

    #[test]
    fn a_block_tells_its_first_port() {
        assert_eq!(around(443, 0), ALL);
        assert_eq!(first_port(ALL), 0);
        assert_eq!(first_port(around(443, 16)), 443);
        assert_eq!(first_port(around(0xffff, 1)), 0x8000);
    }
}
