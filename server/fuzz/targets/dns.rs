//! DNS messages of any bytes: by themselves, and in a stream that is cut anywhere.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sextant_fuzz::bounded;
use sextantd::dns::{Malformed, Packet, Watcher, layer7, read};

const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 40_000);
const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 53);

fuzz_target!(|input: &[u8]| {
    for is_partial in [false, true] {
        if let Ok(message) = bounded("reading", || read(input, is_partial)) {
            assert!(message.record_types.len() <= 256 && message.aliases.len() <= 32);
            assert!(message.addresses.len() <= message.record_types.len());
        }
    }
    // The first bytes say where the rest is cut, and which part is missing.
    let Some((plan, bytes)) = input.split_first_chunk::<8>() else {
        return;
    };
    bounded("watching", || watch(plan, bytes));
});

fn watch(plan: &[u8; 8], bytes: &[u8]) {
    let mut watcher = Watcher::default();
    let mut seen = 0;
    let mut at = 0;
    for (step, cut) in plan.iter().cycle().enumerate() {
        let part = &bytes[at..(at + 1 + usize::from(*cut)).min(bytes.len())];
        let is_answer = cut % 2 == 1;
        let packet = Packet {
            at_ns: step as u64,
            zone: 0,
            sequence: (cut % 4 < 3).then_some(at as u32),
            source: if is_answer { SERVER } else { CLIENT }.into(),
            destination: if is_answer { CLIENT } else { SERVER }.into(),
            length: part.len() as u32 + u32::from(cut % 16 == 0),
            bytes: part,
        };
        watcher.take(packet, &mut |found| {
            seen += 1;
            let layer7 = layer7(&found.message, &found.question, found.latency_ns);
            assert!(layer7.record.is_some());
        });
        at += part.len();
        if at == bytes.len() || step == 1000 {
            break;
        }
    }
    let counts = watcher.counts();
    assert_eq!(counts.queries + counts.answers, seen);
    assert_eq!(counts.malformed.len(), Malformed::ALL.len());
}
