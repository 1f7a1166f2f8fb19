//! The protocol in every order in which CPUs may run it (loom), with tables as small
//! as they can be. What an instruction of the programs with a lock orders, a
//! fence does here.

use loom::{
    model::Builder,
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicU32,
            Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
            fence,
        },
    },
    thread,
};

use super::{Kept, Outcome, Slots, find_far, find_near, find_or_insert};
use crate::slot::{state, word};

/// All keys are of one hash.
const HASH: u64 = 5;

#[derive(Default)]
struct Cell {
    word: AtomicU32,
    spilled: AtomicU32,
    key: AtomicU32,
    packets: AtomicU32,
}

/// Two windows of two slots.
struct Table {
    /// Where the second one begins.
    second: u32,
    cells: [Cell; 4],
    /// Held while that CPU runs a program.
    runs: [Mutex<()>; 2],
    /// Packets of flows that were ended, by key.
    ended: [AtomicU32; 2],
    lost: AtomicU32,
}

impl Table {
    fn new(second: u32) -> Self {
        Self {
            second,
            cells: Default::default(),
            runs: Default::default(),
            ended: Default::default(),
            lost: AtomicU32::new(0),
        }
    }

    fn count(&self, cpu: usize, key: u32) {
        let _runs = self.runs[cpu].lock().unwrap();
        let view = View {
            table: self,
            key,
            kept: Default::default(),
        };
        let found = find_near(&view, HASH).or_else(|| find_far(&view, HASH));
        let place = found.or_else(|| match find_or_insert(&view, HASH) {
            Outcome::Found(place) | Outcome::Inserted(place) => Some(place),
            Outcome::Full | Outcome::Contended => None,
        });
        match place {
            Some(place) => self.cells[place as usize].packets.fetch_add(1, Relaxed),
            None => self.lost.fetch_add(1, Relaxed),
        };
    }

    /// The daemon ends whatever flow it finds.
    fn sweep(&self) {
        let is_live = |cell: &&Cell| cell.word.load(Acquire) & state::MASK == state::LIVE;
        let live = word(HASH, state::LIVE);
        for cell in self.cells.iter().filter(is_live) {
            let ending = word(HASH, state::ENDING);
            if cell
                .word
                .compare_exchange(live, ending, AcqRel, Acquire)
                .is_err()
            {
                continue;
            }
            // For programs that run to finish.
            for run in &self.runs {
                drop(run.lock().unwrap());
            }
            let key = cell.key.load(Relaxed) as usize;
            self.ended[key].fetch_add(cell.packets.swap(0, Relaxed), Relaxed);
            cell.word.store(state::FREE, Release);
        }
    }

    /// Packets of a key, and its slots.
    fn total(&self, key: u32) -> (u32, u32) {
        let cells = self.cells.iter().filter(|cell| {
            cell.word.load(Acquire) == word(HASH, state::LIVE) && cell.key.load(Relaxed) == key
        });
        let ended = self.ended[key as usize].load(Relaxed);
        cells.fold((ended, 0), |(packets, slots), cell| {
            (packets + cell.packets.load(Relaxed), slots + 1)
        })
    }
}

struct View<'a> {
    table: &'a Table,
    key: u32,
    kept: [std::cell::Cell<u32>; 2],
}

impl Slots for View<'_> {
    type Place = u32;
    const WINDOW: u32 = 2;
    const WINDOWS: u32 = 2;

    fn keep(&self, kept: Kept, at: u32) {
        self.kept[kept as usize].set(at);
    }

    fn kept(&self, kept: Kept) -> u32 {
        self.kept[kept as usize].get()
    }

    fn at(&self, number: u32) -> u32 {
        match number {
            0 | 1 => number,
            _ => self.table.second + number - 2,
        }
    }

    fn place(&self, at: u32) -> Option<u32> {
        Some(at)
    }

    fn word(&self, place: u32) -> u32 {
        let found = self.table.cells[place as usize].word.load(Acquire);
        if found & state::MASK == state::CLAIMED {
            thread::yield_now();
        }
        found
    }

    fn has_key(&self, place: u32) -> bool {
        self.table.cells[place as usize].key.load(Relaxed) == self.key
    }

    fn spilled(&self, first: u32) -> u32 {
        self.table.cells[first as usize].spilled.load(Acquire)
    }

    fn spill(&self, first: u32, more: bool) {
        let by = if more { 1 } else { u32::MAX };
        fence(SeqCst);
        self.table.cells[first as usize]
            .spilled
            .fetch_add(by, AcqRel);
        fence(SeqCst);
    }

    fn claim(&self, place: u32, word: u32) -> bool {
        fence(SeqCst);
        let cell = &self.table.cells[place as usize].word;
        let claimed = cell.compare_exchange(state::FREE, word, AcqRel, Acquire);
        fence(SeqCst);
        claimed.is_ok()
    }

    fn write(&self, place: u32) {
        self.table.cells[place as usize]
            .key
            .store(self.key, Relaxed);
    }

    fn settle(&self, place: u32, word: u32) {
        self.table.cells[place as usize].word.store(word, Release);
    }
}

fn explore(preemptions: usize, run: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(run);
}

/// Two CPUs have one packet each, a flow that may be in the way ends meanwhile.
fn two_packets(second: u32, keys: [u32; 2], before: u32, sweeps: bool) {
    // Three threads have many more orders than two.
    explore(if sweeps { 2 } else { 4 }, move || {
        let table = Arc::new(Table::new(second));
        for n in 0..before {
            // Of another key, in the first slots.
            let cell = &table.cells[n as usize];
            cell.word.store(word(HASH, state::LIVE), Release);
            cell.key.store(1, Relaxed);
        }
        let other = Arc::clone(&table);
        let cpu = thread::spawn(move || other.count(1, keys[1]));
        let daemon = sweeps.then(|| {
            let table = Arc::clone(&table);
            thread::spawn(move || table.sweep())
        });
        table.count(0, keys[0]);
        cpu.join().unwrap();
        if let Some(daemon) = daemon {
            daemon.join().unwrap();
        }
        assert_eq!(table.lost.load(Relaxed), 0);
        for key in [0, 1] {
            let sent = keys.iter().filter(|sent| **sent == key).count() as u32;
            let (packets, slots) = table.total(key);
            assert_eq!(packets, sent, "packets of {key}");
            if key == 0 || before == 0 {
                assert!(slots <= 1, "{slots} slots of {key}");
            }
        }
    });
}

#[test]
fn two_packets_of_a_new_flow_have_one_slot() {
    two_packets(2, [0, 0], 0, false);
}

#[test]
fn two_flows_that_want_one_slot_have_two() {
    two_packets(2, [0, 1], 0, false);
}

#[test]
fn packets_count_once_while_a_slot_before_theirs_becomes_free() {
    two_packets(2, [0, 0], 1, true);
}

#[test]
fn packets_count_once_where_windows_spill() {
    two_packets(2, [0, 0], 2, true);
}

#[test]
fn packets_count_once_where_windows_overlap() {
    two_packets(1, [0, 0], 2, false);
    two_packets(1, [0, 0], 1, false);
}

#[test]
fn the_totals_of_a_flow_that_ends_are_exact() {
    two_packets(2, [0, 0], 0, true);
}
