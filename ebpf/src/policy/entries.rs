//! What the rules of somebody say of a connection: the closest entry.

use sextant_ebpf_common::{
    policy::{
        ANY_CLASS, Decision, EVERY_PROTOCOL, PLACES, decision, first_place, key,
        key_of_every_protocol, verdict,
    },
    protocol::TCP,
};

use super::tables::{self, Part};

/// Bits of a port.
const PORT_BITS: u32 = 16;

/// The decision on what is in `tables::question`. This and the following are verified by
/// themselves, once each, as `sextant_judge`.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn sextant_decide() -> Decision {
    let Some(question) = tables::question() else {
        return decision(verdict::ALLOW, 0);
    };
    let part = Part {
        generation: (*question).generation,
    };
    let asked = Asked {
        subject: (*question).subject,
        is_egress: (*question).egress != 0,
        class: (*question).class,
        protocol: (*question).protocol,
        port: (*question).port as u16,
    };
    decide(part, &asked)
}

/// The same on a connection by TCP that somebody is about to open, asked by arguments: a
/// process may be interrupted by packets, which ask on the same CPU.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn sextant_decide_connect(
    generation: u32,
    subject: u32,
    class: u32,
    port: u32,
) -> Decision {
    let asked = Asked {
        subject,
        is_egress: true,
        class,
        protocol: TCP,
        port: port as u16,
    };
    decide(Part { generation }, &asked)
}

/// A `Question`, in registers.
struct Asked {
    subject: u32,
    is_egress: bool,
    class: u32,
    protocol: u8,
    port: u16,
}

#[inline(always)]
unsafe fn decide(part: Part, asked: &Asked) -> Decision {
    let Some(subject) = part.subject(asked.subject) else {
        return decision(verdict::ALLOW, 0);
    };
    let scope = if asked.is_egress {
        &subject.egress
    } else {
        &subject.ingress
    };
    let (class, protocol, port) = (asked.class, asked.protocol, asked.port);
    for step in 0..=PORT_BITS {
        let length = PORT_BITS - step;
        if scope.lengths >> length & 1 == 0 {
            continue;
        }
        let own = key(scope.rules, class, protocol, length, port);
        let any = key(scope.rules, ANY_CLASS, protocol, length, port);
        let found = either(part, own, any);
        if found != 0 {
            return found;
        }
    }
    if scope.lengths >> EVERY_PROTOCOL & 1 != 0 {
        let own = key_of_every_protocol(scope.rules, class);
        let found = either(part, own, key_of_every_protocol(scope.rules, ANY_CLASS));
        if found != 0 {
            return found;
        }
    }
    if scope.otherwise == 0 {
        return decision(verdict::ALLOW, 0);
    }
    scope.otherwise
}

/// The first entry of two that is there; 0 for none.
#[inline(always)]
unsafe fn either(part: Part, own: u64, any: u64) -> Decision {
    let found = sextant_find(part.generation, own);
    if found != 0 {
        found
    } else {
        sextant_find(part.generation, any)
    }
}

/// The decision of an entry; 0 if there is none with this key.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sextant_find(generation: u32, key: u64) -> Decision {
    let part = Part { generation };
    let mask = part.entries_mask();
    let first = first_place(key, mask);
    for n in 0..PLACES {
        let Some(entry) = part.entry(first.wrapping_add(n) & mask) else {
            return 0;
        };
        if entry.key == key {
            return entry.decision;
        }
        if entry.key == 0 {
            return 0;
        }
    }
    0
}
