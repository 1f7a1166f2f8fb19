use std::{cell::Cell, os::fd::AsFd as _};

use nix::sys::memfd::{MFdFlags, memfd_create};
use sextant_ebpf_common::{
    Key4,
    claim::{Kept, Outcome, Slots, find_far, find_near, find_or_insert},
    slot::{self, WINDOWS, slots_for},
};

use super::*;

/// A table in memory that is no map.
fn table(flows: u32) -> FlowTable<Key4> {
    let slots = slots_for(flows);
    let file = |bytes: usize| {
        let file = memfd_create(c"flows", MFdFlags::empty()).unwrap();
        nix::unistd::ftruncate(&file, bytes as i64).unwrap();
        file
    };
    let flows = file(slots as usize * FlowTable::<Key4>::BYTES);
    let taken = file(taken_words(slots) as usize * 8);
    FlowTable::new([flows.as_fd(), taken.as_fd()], slots, seeds().unwrap()).unwrap()
}

/// As the programs do it.
fn insert(view: &View<'_>) -> Outcome<u32> {
    let outcome = find_or_insert(view, view.hash());
    if let Outcome::Inserted(at) = outcome {
        let word = view.table.taken(taken_word(at));
        word.fetch_or(taken_bit(at), Relaxed);
    }
    outcome
}

fn key(n: u32) -> Key4 {
    Key4 {
        a: n,
        port_a: 443,
        protocol: 6,
        ..Key4::default()
    }
}

/// What the programs see of it, for one key.
struct View<'a> {
    table: &'a FlowTable<Key4>,
    key: Key4,
    kept: [Cell<u32>; 2],
}

impl View<'_> {
    fn hash(&self) -> u64 {
        self.key.hash(|n| self.table.seeds[n])
    }
}

impl Slots for View<'_> {
    type Place = u32;
    const WINDOW: u32 = WINDOW;
    const WINDOWS: u32 = WINDOWS;

    fn keep(&self, kept: Kept, at: u32) {
        self.kept[kept as usize].set(at);
    }
    fn kept(&self, kept: Kept) -> u32 {
        self.kept[kept as usize].get()
    }
    fn at(&self, number: u32) -> u32 {
        slot::at(self.hash(), number, self.table.slots)
    }
    fn place(&self, at: u32) -> Option<u32> {
        Some(at)
    }
    fn word(&self, at: u32) -> u32 {
        self.table.state(at).load(Acquire)
    }
    fn has_key(&self, at: u32) -> bool {
        self.table.read(at).key.is(&self.key)
    }
    fn spilled(&self, at: u32) -> u32 {
        self.table.spilled(at).load(Acquire)
    }
    fn spill(&self, at: u32, more: bool) {
        let by = if more { 1 } else { u32::MAX };
        self.table.spilled(at).fetch_add(by, AcqRel);
    }
    fn claim(&self, at: u32, word: u32) -> bool {
        let state = self.table.state(at);
        state.compare_exchange(0, word, AcqRel, Acquire).is_ok()
    }
    fn write(&self, at: u32) {
        let words = [self.key.a, 0, 443, 6];
        for n in 0..2 {
            let word = u64::from(words[2 * n]) | u64::from(words[2 * n + 1]) << 32;
            self.table.word(at, 1 + n).store(word, Relaxed);
        }
    }
    fn settle(&self, at: u32, word: u32) {
        self.table.state(at).store(word, Release);
    }
}

fn view(table: &FlowTable<Key4>, n: u32) -> View<'_> {
    View {
        table,
        key: key(n),
        kept: Default::default(),
    }
}

#[test]
fn what_was_put_in_is_found_and_a_table_that_was_emptied_is_as_new() {
    let table = table(1000);
    for round in 0..3 {
        let (mut inside, mut full) = (Vec::new(), 0);
        // More than there is room for, so that all windows are used.
        for n in round * 10_000..round * 10_000 + 3000 {
            let view = view(&table, n);
            match insert(&view) {
                Outcome::Inserted(at) => inside.push((n, at)),
                Outcome::Full => full += 1,
                outcome => panic!("{n}: {outcome:?}"),
            }
        }
        assert!(inside.len() > 1300 && full > 0, "{} inside", inside.len());
        for (n, at) in &inside {
            let view = view(&table, *n);
            let found = find_near(&view, view.hash()).or_else(|| find_far(&view, view.hash()));
            assert_eq!(found, Some(*at), "{n}");
            assert_eq!(find_or_insert(&view, view.hash()), Outcome::Found(*at));
        }
        let (mut all, mut seen, mut taken) = (Vec::new(), Vec::new(), Vec::new());
        table.each(|flow| {
            all.push(flow.slot());
            seen.push(flow.head().0.a);
        });
        table.take(&all, |key, _| taken.push(key.a));
        assert_eq!(seen, taken);
        seen.sort_unstable();
        assert!(seen.into_iter().eq(inside.iter().map(|(n, _)| *n)));
        for at in 0..table.slots {
            assert_eq!(
                table.word(at, 0).load(Acquire),
                0,
                "state and number of {at}"
            );
        }
        let mut bits = (0..taken_words(table.slots)).map(|word| table.taken(word).load(Acquire));
        assert!(bits.all(|bits| bits == 0));
    }
}

#[test]
fn a_flow_is_taken_out_once() {
    let table = table(10);
    let view = view(&table, 7);
    let Outcome::Inserted(at) = insert(&view) else {
        panic!("there is room");
    };
    table.word(at, FlowTable::<Key4>::ENTRY).store(5, Relaxed);
    let mut packets = Vec::new();
    table.take(&[at, at], |_, entry| packets.push(entry.packets[0]));
    table.take(&[at], |_, entry| packets.push(entry.packets[0]));
    assert_eq!(packets, [5]);
    assert_eq!(
        table.read(at).entry,
        Entry::default(),
        "nothing is left over"
    );
}

#[test]
fn the_head_is_what_each_packet_needs_and_no_more() {
    let table = table(10);
    let view = view(&table, 7);
    let Outcome::Inserted(at) = insert(&view) else {
        panic!("there is room");
    };
    for n in FlowTable::<Key4>::ENTRY..FlowTable::<Key4>::WORDS {
        table.word(at, n).store(u64::MAX, Relaxed);
    }
    let mut found = Vec::new();
    table.each(|flow| found.push((flow.head(), flow.entry())));
    let [((key, head), whole)] = found[..] else {
        panic!("one flow");
    };
    assert_eq!(key.a, 7);
    let max = u32::MAX;
    assert_eq!((head.packets, head.bytes), ([u64::MAX; 2], [u64::MAX; 2]));
    assert_eq!(
        (head.last, head.tcp_flags, head.tags),
        ([max; 2], max, [u16::MAX; 2])
    );
    assert_eq!((head.first_ns, head.news_us, head.judged), (0, 0, [0; 2]));
    assert_eq!((whole.first_ns, whole.judged), (u64::MAX, [max; 2]));
}
