//! The tables of flows: arrays of slots, which programs fill and the daemon, which
//! has them in its memory, takes back. How they are shared is in
//! `sextant_ebpf_common::claim`.

use core::marker::PhantomData;

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, PerCpuArray},
};
use sextant_ebpf_common::{
    Cause, Entry, Key4, Key6, Tally,
    claim::{self, Kept, Look, NONE, Outcome, Slots},
    slot::{self, Hashed, SEEDS, Slot, WINDOW, WINDOWS, window},
};

use crate::{atomic, maps};

/// IPv4 flows. A live flow is never evicted in silence.
#[map]
static FLOWS4: Array<Slot<Key4>> = Array::with_max_entries(131_072, BPF_F_MMAPABLE);

/// IPv6 flows.
#[map]
static FLOWS6: Array<Slot<Key6>> = Array::with_max_entries(65_536, BPF_F_MMAPABLE);

/// Which slots of them are of flows, a bit each: a walk looks at those alone.
#[map]
static TAKEN4: Array<u64> = Array::with_max_entries(2048, BPF_F_MMAPABLE);
#[map]
static TAKEN6: Array<u64> = Array::with_max_entries(1024, BPF_F_MMAPABLE);

/// Where a new entry is made.
#[map]
static FRESH: PerCpuArray<Entry> = PerCpuArray::with_max_entries(1, 0);

/// Where slots are on the way, by `Kept`: what the verifier reads back from a map, it
/// knows nothing of.
#[map]
static KEPT: PerCpuArray<u32> = PerCpuArray::with_max_entries(2, 0);

/// How many slots they have; set by the loader.
#[unsafe(no_mangle)]
static SLOTS4: u32 = 131_072;
#[unsafe(no_mangle)]
static SLOTS6: u32 = 65_536;

/// Secret numbers of the hash, other ones at each start; set by the loader.
#[unsafe(no_mangle)]
static HASH_SEEDS: [u64; SEEDS] = [0; SEEDS];

/// What is different for the two families.
pub trait Family {
    /// Key of a flow.
    type Key: LookedUp;
    /// There was no room.
    const FULL: Cause;
    /// Entries made; the daemon learns by it how full the table is, without a walk.
    const CREATED: Tally;
    /// A slot of the table.
    fn slot(at: u32) -> Option<*mut Slot<Self::Key>>;
    /// How many there are.
    fn slots() -> u32;
    /// A word of the bits that tell which are of flows.
    fn taken(word: u32) -> Option<*mut u64>;
}

/// IPv4.
pub struct Ipv4;
/// IPv6.
pub struct Ipv6;

impl Family for Ipv4 {
    type Key = Key4;
    const FULL: Cause = Cause::Table4Full;
    const CREATED: Tally = Tally::Created4;

    #[inline(always)]
    fn slot(at: u32) -> Option<*mut Slot<Key4>> {
        FLOWS4.get_ptr_mut(at)
    }

    #[inline(always)]
    fn slots() -> u32 {
        // SAFETY: a static of this program; volatile, since the loader rewrites it.
        unsafe { core::ptr::read_volatile(&raw const SLOTS4) }
    }

    #[inline(always)]
    fn taken(word: u32) -> Option<*mut u64> {
        TAKEN4.get_ptr_mut(word)
    }
}

impl Family for Ipv6 {
    type Key = Key6;
    const FULL: Cause = Cause::Table6Full;
    const CREATED: Tally = Tally::Created6;

    #[inline(always)]
    fn slot(at: u32) -> Option<*mut Slot<Key6>> {
        FLOWS6.get_ptr_mut(at)
    }

    #[inline(always)]
    fn slots() -> u32 {
        // SAFETY: as above.
        unsafe { core::ptr::read_volatile(&raw const SLOTS6) }
    }

    #[inline(always)]
    fn taken(word: u32) -> Option<*mut u64> {
        TAKEN6.get_ptr_mut(word)
    }
}

/// What a verifier follows once, in functions of their own, and not at each way that leads
/// there: with arguments that it knows by their types alone, as `table::sextant_update`.
pub trait LookedUp: Hashed {
    /// `claim::find_far`, or `NONE`.
    fn find_far(&self, hash: u64) -> u32;
    /// `claim::look`.
    fn look(&self, hash: u64) -> Look;
    /// `claim::wait`.
    fn wait(&self, hash: u64, at: u32);
}

macro_rules! looked_up {
    ($key:ty, $family:ty, $far:ident, $look:ident, $wait:ident) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        unsafe extern "C" fn $far(key: *const $key, hash: u64) -> u32 {
            let far = |key| claim::find_far(&View::<$family>::new(key, hash), hash);
            key.as_ref().and_then(far).unwrap_or(NONE)
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        unsafe extern "C" fn $look(key: *const $key, hash: u64) -> u64 {
            match key.as_ref() {
                Some(key) => claim::look(&View::<$family>::new(key, hash), hash).to_number(),
                None => Look::Others.to_number(),
            }
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        unsafe extern "C" fn $wait(key: *const $key, hash: u64, at: u32) -> u32 {
            if let Some(key) = key.as_ref() {
                claim::wait(&View::<$family>::new(key, hash), at, hash);
            }
            0
        }

        impl LookedUp for $key {
            #[inline(always)]
            fn find_far(&self, hash: u64) -> u32 {
                // SAFETY: a key that lives as long as the call, as in the following.
                unsafe { $far(self, hash) }
            }

            #[inline(always)]
            fn look(&self, hash: u64) -> Look {
                // SAFETY: as above.
                Look::of_number(unsafe { $look(self, hash) })
            }

            #[inline(always)]
            fn wait(&self, hash: u64, at: u32) {
                // SAFETY: as above.
                unsafe { $wait(self, hash, at) };
            }
        }
    };
}

looked_up!(Key4, Ipv4, sextant_far4, sextant_look4, sextant_wait4);
looked_up!(Key6, Ipv6, sextant_far6, sextant_look6, sextant_wait6);

/// The hash of a key.
#[inline(always)]
pub fn hash<F: Family>(key: &F::Key) -> u64 {
    // SAFETY: as above; numbers are below `SEEDS`.
    key.hash(|n| unsafe { core::ptr::read_volatile(&raw const HASH_SEEDS[n]) })
}

/// The entry of a flow. Nearly all are in the first window, which is looked at on the
/// spot.
#[inline(always)]
pub fn find<F: Family>(key: &F::Key, hash: u64) -> Option<*mut Entry> {
    match claim::find_near(&View::<F>::new(key, hash), hash) {
        Some(slot) => entry_of(slot),
        None => match key.find_far(hash) {
            NONE => None,
            at => entry_of(F::slot(at)?),
        },
    }
}

#[inline(always)]
fn entry_of<K>(slot: *mut Slot<K>) -> Option<*mut Entry> {
    // SAFETY: a slot of the table.
    Some(unsafe { &raw mut (*slot).entry })
}

/// Where an entry is made, for `insert`. Apart, for the sake of the stack.
#[inline(always)]
pub fn fresh() -> Option<*mut Entry> {
    FRESH.get_ptr_mut(0)
}

/// Puts what was made in `fresh` into the table, unless another CPU was faster,
/// whose entry is as good; without room the packet is counted by cause.
#[inline(never)]
pub fn insert<F: Family>(key: &F::Key, hash: u64, packets: u64, bytes: u64) -> Option<*mut Entry> {
    let view = View::<F>::new(key, hash);
    let slot = match claim::find_or_insert(&view, hash) {
        Outcome::Found(slot) => slot,
        Outcome::Inserted(slot) => {
            view.mark_taken();
            maps::tally(F::CREATED, 1, 0);
            slot
        }
        Outcome::Full => {
            maps::count(F::FULL, packets, bytes);
            return None;
        }
        Outcome::Contended => {
            maps::count(Cause::InsertFailed, packets, bytes);
            return None;
        }
    };
    entry_of(slot)
}

/// The slots that a key may have.
struct View<'a, F: Family> {
    key: &'a F::Key,
    hash: u64,
    first: u32,
    family: PhantomData<F>,
}

impl<'a, F: Family> View<'a, F> {
    #[inline(always)]
    fn new(key: &'a F::Key, hash: u64) -> Self {
        Self {
            key,
            hash,
            first: window(hash, 0, F::slots()),
            family: PhantomData,
        }
    }

    /// The slot that was claimed is of a flow. It is so a moment before a walk finds it.
    #[inline(always)]
    fn mark_taken(&self) {
        let at = self.kept(Kept::Mine);
        if let Some(word) = F::taken(slot::taken_word(at)) {
            // SAFETY: of the map.
            unsafe { atomic::set_bits64(word, slot::taken_bit(at)) };
        }
    }
}

impl<F: Family> Slots for View<'_, F> {
    type Place = *mut Slot<F::Key>;
    const WINDOW: u32 = WINDOW;
    const WINDOWS: u32 = WINDOWS;

    #[inline(always)]
    fn keep(&self, kept: Kept, at: u32) {
        if let Some(place) = KEPT.get_ptr_mut(kept as u32) {
            // SAFETY: a per-CPU slot; volatile, so that it is read back.
            unsafe { place.write_volatile(at) };
        }
    }

    #[inline(always)]
    fn kept(&self, kept: Kept) -> u32 {
        // SAFETY: as above.
        KEPT.get_ptr(kept as u32)
            .map_or(0, |place| unsafe { place.read_volatile() })
    }

    #[inline(always)]
    fn at(&self, number: u32) -> u32 {
        if number < WINDOW {
            self.first + number
        } else {
            slot::at(self.hash, number, F::slots())
        }
    }

    #[inline(always)]
    fn place(&self, at: u32) -> Option<Self::Place> {
        F::slot(at)
    }

    #[inline(always)]
    fn word(&self, slot: Self::Place) -> u32 {
        // SAFETY: a slot of the table, as in the following.
        unsafe { (&raw const (*slot).state).read_volatile() }
    }

    #[inline(always)]
    fn has_key(&self, slot: Self::Place) -> bool {
        // SAFETY: as above.
        unsafe { (*slot).key.is(self.key) }
    }

    #[inline(always)]
    fn spilled(&self, slot: Self::Place) -> u32 {
        // SAFETY: as above.
        unsafe { (&raw const (*slot).spilled).read_volatile() }
    }

    #[inline(always)]
    fn spill(&self, slot: Self::Place, more: bool) {
        let by = if more { 1 } else { u32::MAX };
        // SAFETY: as above.
        unsafe { atomic::fetch_add32(&raw mut (*slot).spilled, by) };
    }

    #[inline(always)]
    fn claim(&self, slot: Self::Place, word: u32) -> bool {
        // SAFETY: as above.
        unsafe { atomic::replace(&raw mut (*slot).state, 0, word).is_ok() }
    }

    #[inline(always)]
    fn write(&self, slot: Self::Place) {
        let Some(fresh) = fresh() else {
            return;
        };
        // SAFETY: a claimed slot, which nobody else writes to; by words, as there is no
        // copying of longer pieces on this target.
        unsafe {
            (*slot).key = *self.key;
            let (from, to) = (fresh.cast::<u64>(), (&raw mut (*slot).entry).cast::<u64>());
            for n in 0..size_of::<Entry>() / 8 {
                *to.add(n) = *from.add(n);
            }
        }
    }

    #[inline(always)]
    fn settle(&self, slot: Self::Place, word: u32) {
        // SAFETY: as above.
        unsafe { atomic::set(&raw mut (*slot).state, word) };
    }

    #[inline(always)]
    fn look(&self, hash: u64) -> Look {
        self.key.look(hash)
    }

    #[inline(always)]
    fn wait(&self, at: u32, hash: u64) {
        self.key.wait(hash, at);
    }
}
