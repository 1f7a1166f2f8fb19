//! Functions of the kernel that drop packets without giving a reason, where
//! that is a drop and not the end of a copy: routes that lead nowhere, and
//! generic XDP.
//!
//! By their addresses in `/proc/kallsyms`. Where they are hidden from us
//! (`kernel.kptr_restrict`, no CAP_SYSLOG) such drops are counted by cause only.

use std::{
    fs::File,
    io::{BufRead, BufReader},
};

use sextant_ebpf_common::PLACE_COUNT;

const SYMBOLS: &str = "/proc/kallsyms";

/// The functions, those of XDP at the end. A compiler may have put one into
/// another that is here too.
const PLACES: [&str; PLACE_COUNT] = [
    // Blackhole, prohibit and unreachable routes, on the way in.
    "ip_error",
    "ip6_pkt_drop",
    "ip6_pkt_discard",
    "ip6_pkt_prohibit",
    // Routes that are gone.
    "dst_discard_out",
    "netif_receive_generic_xdp",
    "do_xdp_generic",
];

/// First address and the one after the last of each; 0 where it is not known.
pub(super) fn find() -> ([[u64; 2]; PLACE_COUNT], [&'static str; PLACE_COUNT]) {
    let mut places = [[0; 2]; PLACE_COUNT];
    match File::open(SYMBOLS) {
        Ok(file) => read(BufReader::new(file), &mut places),
        Err(error) => tracing::debug!(%error, "{SYMBOLS} not read"),
    }
    (places, PLACES)
}

/// Symbols are in order of their addresses, those of the kernel itself first.
fn read(mut symbols: impl BufRead, places: &mut [[u64; 2]; PLACE_COUNT]) {
    let mut line = String::new();
    let mut open: Vec<usize> = Vec::new();
    loop {
        line.clear();
        if symbols.read_line(&mut line).unwrap_or(0) == 0 || line.contains('[') {
            break;
        }
        let mut words = line.trim_ascii_end().splitn(3, ' ');
        let (Some(address), Some(name)) = (words.next(), words.nth(1)) else {
            continue;
        };
        // The compiler's copies have the name and a suffix.
        let name = name.split('.').next().unwrap_or(name);
        let place = PLACES.iter().position(|place| *place == name);
        // There are some 200,000: of most nothing is wanted.
        if open.is_empty() && place.is_none() {
            continue;
        }
        let Ok(address) = u64::from_str_radix(address, 16) else {
            continue;
        };
        open.retain(|index| {
            let [first, end] = &mut places[*index];
            if address > *first {
                *end = address;
            }
            address <= *first
        });
        if let Some(index) = place
            && address != 0
        {
            places[index] = [address, 0];
            open.push(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_ends_where_the_next_begins() {
        let symbols = "\
ffffffff81000000 T _text
ffffffff81000010 t ip_error
ffffffff81000010 t an_alias
ffffffff81000040 T dst_discard_out.isra.0
ffffffff81000050 T netif_receive_generic_xdp
ffffffff81000050 t do_xdp_generic
ffffffff81000070 T _etext
ffffffffc0000000 t ip6_pkt_drop\t[other]
";
        let mut places = [[0; 2]; PLACE_COUNT];
        read(symbols.as_bytes(), &mut places);
        let base = 0xffff_ffff_8100_0000;
        let of = |first: u64, end: u64| [base + first, base + end];
        assert_eq!(
            places,
            [
                of(0x10, 0x40),
                [0; 2],
                [0; 2],
                [0; 2],
                of(0x40, 0x50),
                of(0x50, 0x70),
                of(0x50, 0x70)
            ]
        );
    }

    #[test]
    fn places_of_xdp_are_known_for_such() {
        for (index, place) in PLACES.iter().enumerate() {
            let is_xdp = index >= sextant_ebpf_common::FIRST_XDP_PLACE;
            assert_eq!(place.contains("xdp"), is_xdp, "{place}");
        }
    }

    #[test]
    fn hidden_addresses_are_no_places() {
        let mut places = [[0; 2]; PLACE_COUNT];
        let symbols = "0000000000000000 t ip_error\n0000000000000000 t ip6_pkt_drop\n";
        read(symbols.as_bytes(), &mut places);
        assert_eq!(places, [[0; 2]; PLACE_COUNT]);
    }
}
