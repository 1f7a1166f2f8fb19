//! Frames of any bytes, on each kind of link.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sextant_fuzz::bounded;
use sextantd::decode::{Link, decode};

/// Numbers of link types end here.
const LINKS: u16 = 300;

fuzz_target!(|frame: &[u8]| {
    for link in (0..LINKS).filter_map(Link::from_number) {
        match bounded("decoding", || decode(link, frame)) {
            Ok(packet) => {
                let fragment = packet.ip.fragment.map_or(0, |fragment| fragment.offset);
                assert!(fragment % 8 == 0, "{packet:?}");
                let (source, destination) = (packet.ip.source, packet.ip.destination);
                assert_eq!(source.is_ipv4(), destination.is_ipv4());
            }
            Err(malformed) => assert!(!malformed.name().is_empty()),
        }
    }
});
