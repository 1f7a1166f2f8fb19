//! A table of flows as the daemon has it: the kernel's array of slots, mapped into
//! its memory. Programs fill slots, this alone frees them. A walk is no system call;
//! what a flow counted is exact when it is taken out, since no program is left that
//! might still count there.
//!
//! Bound: the slots that the map was made with. They are the kernel's memory, though
//! the daemon's resident size has it too.

use std::{
    fmt, io,
    marker::PhantomData,
    mem::MaybeUninit,
    os::fd::BorrowedFd,
    ptr,
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

use sextant_ebpf_common::{
    Entry,
    slot::{
        Hashed, SEEDS, Slot, WINDOW, is_beyond, state, taken_bit, taken_word, taken_words, window,
    },
};

use super::{ages::is_old, bpf::Plain, grace, mapping::Mapping};

/// Secret numbers of the programs' hash.
pub(super) type Seeds = [u64; SEEDS];

/// Other ones at each start.
pub(super) fn seeds() -> io::Result<Seeds> {
    let mut seeds = [0; SEEDS];
    for seed in &mut seeds {
        *seed = getrandom::u64().map_err(io::Error::from)?;
    }
    Ok(seeds)
}

/// The slots of one family of addresses.
pub(super) struct FlowTable<K> {
    memory: Mapping,
    /// Bits of slots that are of flows.
    taken: Mapping,
    slots: u32,
    seeds: Seeds,
    keys: PhantomData<K>,
}

impl<K> FlowTable<K> {
    /// Bytes of a slot: whole words, as the kernel's arrays have them.
    const BYTES: usize = size_of::<Slot<K>>();
    const WORDS: usize = Self::BYTES / size_of::<u64>();
    const ENTRY: usize = std::mem::offset_of!(Slot<K>, entry) / size_of::<u64>();
    /// Words of an entry's first part, which `Live::head` reads.
    const HEAD: usize = std::mem::offset_of!(Entry, first_ns) / size_of::<u64>();
}

impl<K: Hashed> FlowTable<K>
where
    Slot<K>: Plain,
{
    /// Maps the arrays of slots, of which there are so many, and of their bits.
    pub(super) fn new(
        [map, taken]: [BorrowedFd<'_>; 2],
        slots: u32,
        seeds: Seeds,
    ) -> io::Result<Self> {
        const {
            assert!(Self::BYTES.is_multiple_of(size_of::<u64>()));
            // State and key are read as they are laid out there.
            assert!(std::mem::offset_of!(Slot<K>, key) == size_of::<u64>());
        }
        Ok(Self {
            memory: Mapping::new(map, slots as usize * Self::BYTES)?,
            taken: Mapping::new(taken, taken_words(slots) as usize * size_of::<u64>())?,
            slots,
            seeds,
            keys: PhantomData,
        })
    }

    /// Calls `each` for every flow.
    pub(super) fn each(&self, mut each: impl FnMut(Live<'_, K>)) {
        for word in 0..taken_words(self.slots) {
            self.ask_for_heads(word + 1);
            for at in self.taken_of(word) {
                if self.state(at).load(Acquire) & state::MASK == state::LIVE {
                    each(Live { table: self, at });
                }
            }
        }
    }

    /// The slots of flows whose bits are in a word; of none beyond the last one.
    fn taken_of(&self, word: u32) -> impl Iterator<Item = u32> + use<K> {
        let mut bits = match word < taken_words(self.slots) {
            true => self.taken(word).load(Acquire),
            false => 0,
        };
        std::iter::from_fn(move || {
            let bit = bits.trailing_zeros();
            bits &= bits.wrapping_sub(1);
            (bit < u64::BITS).then(|| word * u64::BITS + bit)
        })
    }

    /// Asks for what a walk reads of them: memory is slower than the walk, and what comes
    /// next is no pattern that the CPU would find.
    fn ask_for_heads(&self, word: u32) {
        for at in self.taken_of(word) {
            let first = at as usize * Self::BYTES;
            self.memory.ask_for(first);
            let last = Self::ENTRY + Self::HEAD - 1;
            self.memory.ask_for(first + last * size_of::<u64>());
        }
    }

    /// Makes flows forget what policies said of them in generations that are too old.
    pub(super) fn forget_judged(&self, generation: u32) {
        self.each(|flow| {
            for place in self.judged(flow.at) {
                let word = place.load(Relaxed);
                if word != 0 && is_old(word, generation) {
                    // A program that judges it meanwhile wins.
                    let _ = place.compare_exchange(word, 0, AcqRel, Relaxed);
                }
            }
        });
    }

    fn judged(&self, at: u32) -> &[AtomicU32; 2] {
        const { assert!(std::mem::offset_of!(Entry, judged).is_multiple_of(size_of::<u64>())) }
        let word = Self::ENTRY + std::mem::offset_of!(Entry, judged) / size_of::<u64>();
        // SAFETY: both halves of that word.
        unsafe { &*ptr::from_ref(self.word(at, word)).cast::<[AtomicU32; 2]>() }
    }

    /// Takes flows out, by the numbers of their slots; `each` gets what they counted in
    /// the end. Waits for programs that run, some milliseconds.
    pub(super) fn take(&self, flows: &[u32], mut each: impl FnMut(&K, &Entry)) {
        let is_found_no_more = |at: &&u32| {
            let state = self.state(**at);
            let live = state.load(Acquire);
            let ending = live & !state::MASK | state::ENDING;
            live & state::MASK == state::LIVE
                && state
                    .compare_exchange(live, ending, AcqRel, Acquire)
                    .is_ok()
        };
        let ending: Vec<u32> = flows.iter().filter(is_found_no_more).copied().collect();
        if ending.is_empty() {
            return;
        }
        grace::wait_for_programs();
        for at in ending {
            let slot = self.read(at);
            self.free(at, &slot.key);
            each(&slot.key, &slot.entry);
        }
    }

    fn free(&self, at: u32, key: &K) {
        for n in Self::ENTRY..Self::WORDS {
            self.word(at, n).store(0, Relaxed);
        }
        // While nobody else may have it.
        self.taken(taken_word(at))
            .fetch_and(!taken_bit(at), Relaxed);
        self.state(at).store(state::FREE, Release);
        let hash = key.hash(|n| self.seeds[n]);
        let first = window(hash, 0, self.slots);
        if is_beyond(at, first, WINDOW) {
            self.spilled(first).fetch_sub(1, AcqRel);
        }
    }

    /// A copy, field by field as of slightly different moments.
    fn read(&self, at: u32) -> Slot<K> {
        self.read_to(at, Self::WORDS)
    }

    /// The first words of it; what is behind them is zero.
    #[inline(always)]
    fn read_to(&self, at: u32, words: usize) -> Slot<K> {
        let mut slot = MaybeUninit::<Slot<K>>::zeroed();
        for n in 0..words.min(Self::WORDS) {
            let word = self.word(at, n).load(Relaxed);
            // SAFETY: within the slot.
            unsafe { slot.as_mut_ptr().cast::<u64>().add(n).write(word) };
        }
        // SAFETY: a slot is plain, so valid for any bytes.
        unsafe { slot.assume_init() }
    }

    fn taken(&self, word: u32) -> &AtomicU64 {
        debug_assert!(word < taken_words(self.slots));
        // SAFETY: within the mapping, which is aligned to pages.
        unsafe { self.taken.elements().add(word as usize).as_ref() }
    }

    fn word(&self, at: u32, n: usize) -> &AtomicU64 {
        debug_assert!(at < self.slots && n < Self::WORDS);
        // SAFETY: within the mapping, which is aligned to pages.
        unsafe {
            self.memory
                .elements()
                .add(at as usize * Self::WORDS + n)
                .as_ref()
        }
    }

    fn state(&self, at: u32) -> &AtomicU32 {
        // SAFETY: the first half of the first word.
        unsafe { &*ptr::from_ref(self.word(at, 0)).cast::<AtomicU32>() }
    }

    fn spilled(&self, at: u32) -> &AtomicU32 {
        // SAFETY: the second half of it.
        unsafe { &*ptr::from_ref(self.word(at, 0)).cast::<AtomicU32>().add(1) }
    }
}

/// A flow that a walk comes to. Reads go to the table.
pub(super) struct Live<'a, K> {
    table: &'a FlowTable<K>,
    at: u32,
}

impl<K: Hashed> Live<'_, K>
where
    Slot<K>: Plain,
{
    /// The number of its slot.
    pub(super) fn slot(&self) -> u32 {
        self.at
    }

    /// Its key, and of its entry what each packet needs, up to `Entry::tags`. The rest is
    /// zero.
    pub(super) fn head(&self) -> (K, Entry) {
        let words = FlowTable::<K>::ENTRY + FlowTable::<K>::HEAD;
        let slot = self.table.read_to(self.at, words);
        (slot.key, slot.entry)
    }

    /// All of its entry.
    pub(super) fn entry(&self) -> Entry {
        self.table.read(self.at).entry
    }
}

impl<K> fmt::Debug for FlowTable<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowTable")
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
