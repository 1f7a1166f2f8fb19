//! ClientHellos of any bytes: by themselves, and in segments that are cut anywhere and
//! come in any order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sextant_fuzz::bounded;
use sextantd::{
    flow::Interner,
    sni::{Asked, Connection, Malformed, Packet, Watcher, read},
};

fuzz_target!(|input: &[u8]| {
    for is_partial in [false, true] {
        let name = bounded("reading", || read(input, is_partial));
        if let Ok(Some(name)) = name {
            is_name(&name);
        }
    }
    // The first bytes say how the rest is cut and in what order it comes.
    let Some((plan, bytes)) = input.split_first_chunk::<8>() else {
        return;
    };
    bounded("watching", || watch(plan, bytes));
});

fn is_name(name: &str) {
    assert!(!name.is_empty() && name.len() <= 253, "{name}");
    let fits = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
    assert!(name.bytes().all(fits), "{name}");
}

fn watch(plan: &[u8; 8], bytes: &[u8]) {
    let mut watcher = Watcher::default();
    let connection = Connection {
        zone: 0,
        client: ([10, 0, 0, 1], 40_000).into(),
        server: ([10, 0, 0, 2], 443).into(),
    };
    let mut parts = Vec::new();
    let mut at = 0;
    for cut in plan.iter().cycle().take(1000) {
        let end = (at + 1 + usize::from(*cut)).min(bytes.len());
        parts.push((at, end));
        // What was sent is sent again, and more.
        at = end - usize::from(cut % 5).min(end);
        if end == bytes.len() {
            break;
        }
    }
    match plan[0] % 3 {
        0 => {}
        1 => parts.reverse(),
        _ => parts.rotate_left(1),
    }
    let mut names = 0;
    for (begin, end) in parts {
        let seen = watcher.take(Packet {
            connection,
            began: u64::from(plan[1] % 2),
            offset: begin as u32,
            bytes: &bytes[begin..end],
        });
        if let Some(seen) = seen {
            is_name(&seen.name);
            names += 1;
        }
    }
    assert!(names <= 1, "one name to a connection");
    let asked = watcher.asked(
        &connection,
        u64::from(plan[1] % 2),
        &mut Interner::default(),
    );
    assert_eq!(names == 1, matches!(asked, Asked::Name(_)));
    let counts = watcher.counts();
    assert!(counts.hellos + counts.malformed.iter().sum::<u64>() <= 1);
    assert_eq!(counts.malformed.len(), Malformed::ALL.len());
}
