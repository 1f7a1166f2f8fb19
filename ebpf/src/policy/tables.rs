//! The tables that the daemon writes, and where a question is put together.

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_MMAPABLE},
    macros::map,
    maps::{Array, PerCpuArray},
};
use sextant_ebpf_common::{
    DIRECT_SLOTS, EXTRA_SLOTS,
    policy::{
        BLOCKS, BY_PART, Control, Entry, Group, NO_SUBJECT, PARTS, Range4, Range6, Span, Subject,
        is_over, part_of,
    },
};

use crate::{clock, maps};

/// Which part is in force.
#[map]
static CONTROL: Array<Control> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// What is judged at an interface, by part and slot.
#[map]
static GUARDS: Array<u32> =
    Array::with_max_entries(PARTS * (DIRECT_SLOTS + EXTRA_SLOTS), BPF_F_MMAPABLE);

/// Ranges of IPv4 addresses by block, by part.
#[map]
static SPANS4: Array<Span> = Array::with_max_entries(PARTS * BLOCKS, BPF_F_MMAPABLE);

/// The following are as long as the daemon says, in each part.
#[map]
static RANGES4: Array<Range4> = Array::with_max_entries(PARTS, BPF_F_MMAPABLE);
#[map]
static RANGES6: Array<Range6> = Array::with_max_entries(PARTS, BPF_F_MMAPABLE);
#[map]
static SUBJECTS: Array<Subject> = Array::with_max_entries(PARTS, BPF_F_MMAPABLE);
#[map]
static GROUPS: Array<Group> = Array::with_max_entries(PARTS, BPF_F_MMAPABLE);
#[map]
static ENTRIES: Array<Entry> = Array::with_max_entries(PARTS, BPF_F_MMAPABLE);

/// How long they are, in the order above; set by the loader.
#[unsafe(no_mangle)]
static POLICY_ROOMS: [u32; 5] = [1; 5];

/// Where a question is put together, for the sake of the stack, and so that the verifier
/// knows nothing of what is asked.
#[map]
static QUESTION: PerCpuArray<Question> = PerCpuArray::with_max_entries(1, 0);

/// The packet that a policy denied last on this CPU.
#[map]
static DENIED_HERE: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// What is asked.
#[repr(C)]
pub struct Question {
    /// Who is judged.
    pub subject: u32,
    /// Who is at the other end.
    pub class: u32,
    /// The server's port, or the type of an ICMP message.
    pub port: u32,
    /// Whether the subject opens the connection.
    pub egress: u32,
    /// The generation that answers.
    pub generation: u32,
    /// IP protocol number.
    pub protocol: u8,
    /// Zero.
    pub pad: [u8; 3],
}

/// The part in force, as it was read for this packet.
#[derive(Clone, Copy)]
pub struct Part {
    /// Its generation.
    pub generation: u32,
}

#[inline(always)]
fn control() -> Option<&'static Control> {
    CONTROL.get(0)
}

/// Whether any policy ever was in force.
#[inline(always)]
pub fn is_in_force() -> bool {
    generation() != 0
}

/// The generation in force; 0 before the first policy.
#[inline(always)]
fn generation() -> u32 {
    let Some(control) = control() else {
        return 0;
    };
    // SAFETY: the daemon writes whole words. A generation is in force before the end of the
    // one before is taken away, so that one that was taken back is not read without its end.
    let (until, generation) = unsafe {
        (
            (&raw const control.until).read_volatile(),
            (&raw const control.generation).read_volatile(),
        )
    };
    if until == 0 || !is_over(until, clock::precise_now()) {
        return generation;
    }
    // SAFETY: as above.
    unsafe { (&raw const control.fallback).read_volatile() }
}

#[inline(always)]
fn room(table: usize) -> u32 {
    // SAFETY: a static of this program; volatile, since the loader rewrites it.
    unsafe { core::ptr::read_volatile(&raw const POLICY_ROOMS[table]) }
}

/// Where packets are put together.
#[inline(always)]
pub fn question() -> Option<*mut Question> {
    QUESTION.get_ptr_mut(0)
}

/// The tracepoint of drops will not tell this one again.
#[inline(always)]
pub unsafe fn leave_alone(skb: *mut __sk_buff) {
    if let Some(place) = DENIED_HERE.get_ptr_mut(0) {
        place.write_volatile(skb as u64);
    }
}

/// Whether it is one that a policy denied just now.
#[inline(always)]
pub unsafe fn is_left_alone(skb: u64) -> bool {
    let Some(place) = DENIED_HERE.get_ptr_mut(0) else {
        return false;
    };
    let is_it = place.read_volatile() == skb;
    if is_it {
        // Its memory may soon be another packet's.
        place.write_volatile(0);
    }
    is_it
}

impl Part {
    /// The part in force; `None` before the first policy.
    #[inline(always)]
    pub fn in_force() -> Option<Self> {
        match generation() {
            0 => None,
            generation => Some(Self { generation }),
        }
    }

    #[inline(always)]
    fn number(self) -> u32 {
        part_of(self.generation)
    }

    /// What is judged at the interface of a point.
    #[inline(always)]
    pub fn guard(self, point: u32) -> u32 {
        let Some(slot) = maps::slot(point) else {
            return 0;
        };
        let first = self.number() * (DIRECT_SLOTS + EXTRA_SLOTS);
        GUARDS.get(first + slot).copied().unwrap_or(0)
    }

    /// Subject number of this host.
    #[inline(always)]
    pub fn host(self) -> u32 {
        control().map_or(0, |control| pick(&control.host, self.number()))
    }

    /// Whether processes of some cgroups are somebody of their own.
    #[inline(always)]
    pub fn has_groups(self) -> bool {
        self.groups_mask() != 0
    }

    /// Ranges of IPv4 addresses of a block.
    #[inline(always)]
    pub fn span4(self, block: u32) -> Option<&'static Span> {
        SPANS4.get(self.number() * BLOCKS + block)
    }

    /// Where its ranges of IPv4 addresses begin.
    #[inline(always)]
    pub fn first_range4(self) -> u32 {
        self.number() * room(0)
    }

    /// How many ranges of IPv6 there are.
    #[inline(always)]
    pub fn ranges6(self) -> u32 {
        control().map_or(0, |control| pick(&control.ranges6, self.number()))
    }

    /// Where they begin.
    #[inline(always)]
    pub fn first_range6(self) -> u32 {
        self.number() * room(1)
    }

    /// Who is judged.
    #[inline(always)]
    pub fn subject(self, n: u32) -> Option<&'static Subject> {
        SUBJECTS.get(self.number() * room(2) + n)
    }

    /// The class of somebody who is judged, as a peer; 0 for nobody.
    #[inline(always)]
    pub fn own_class(self, n: u32) -> u32 {
        if n == NO_SUBJECT {
            return 0;
        }
        self.subject(n)
            .map_or(0, |subject| subject.ingress.own_class)
    }

    /// Length of the table of groups but for one.
    #[inline(always)]
    pub fn groups_mask(self) -> u32 {
        control().map_or(0, |control| pick(&control.groups_mask, self.number()))
    }

    /// A place of the table of groups.
    #[inline(always)]
    pub fn group(self, at: u32) -> Option<&'static Group> {
        GROUPS.get(self.number() * room(3) + at)
    }

    /// Length of the table of entries but for one.
    #[inline(always)]
    pub fn entries_mask(self) -> u32 {
        control().map_or(0, |control| pick(&control.entries_mask, self.number()))
    }

    /// A place of the table of entries.
    #[inline(always)]
    pub fn entry(self, at: u32) -> Option<&'static Entry> {
        ENTRIES.get(self.number() * room(4) + at)
    }
}

/// A range of IPv4 addresses, of any part.
#[inline(always)]
pub fn range4(n: u32) -> Option<&'static Range4> {
    RANGES4.get(n)
}

/// A range of IPv6 addresses, of any part.
#[inline(always)]
pub fn range6(n: u32) -> Option<&'static Range6> {
    RANGES6.get(n)
}

/// One of all, by part.
#[inline(always)]
fn pick(all: &[u32; BY_PART], part: u32) -> u32 {
    all[part as usize & (BY_PART - 1)]
}
