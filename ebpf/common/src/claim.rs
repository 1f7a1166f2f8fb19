//! How slots of the flow table are found and taken, by programs on several CPUs at
//! once and without a lock. A key has `WINDOWS` windows of `WINDOW` slots; a
//! flow is in the first slot that was free.
//!
//! Who wants a slot claims it with the tag of its key, then looks whether the key
//! is elsewhere too: claims and looks are in one order for all CPUs, so of two that
//! claim slots for one key at least one sees the other; the lower slot stays. The
//! daemon alone frees slots: it marks one (`state::ENDING`), lets all programs
//! that run finish, and takes it.
//!
//! What is beyond the first window is looked for only if something of that window
//! is (`Slot::spilled`, counted before such a slot is claimed).

use crate::slot::{is_beyond, state, word};

/// Access to the slots that one key may have: by number from 0, and by where they are in
/// the table. Windows may overlap, so several numbers may be of one slot.
pub trait Slots {
    /// A slot.
    type Place: Copy;
    /// Slots of a window.
    const WINDOW: u32;
    /// Windows of a key.
    const WINDOWS: u32;

    /// Keeps where a slot is. Not in a variable, since a verifier would follow each that it
    /// may be.
    fn keep(&self, kept: Kept, at: u32);
    /// What was kept last.
    fn kept(&self, kept: Kept) -> u32;
    /// Where a slot is; those of a window follow each other.
    fn at(&self, number: u32) -> u32;
    /// A slot by where it is.
    fn place(&self, at: u32) -> Option<Self::Place>;
    /// Its word.
    fn word(&self, place: Self::Place) -> u32;
    /// Whether it has the key.
    fn has_key(&self, place: Self::Place) -> bool;
    /// How many flows are beyond the window that begins with this slot.
    fn spilled(&self, first: Self::Place) -> u32;
    /// One more is, or is no more. Ordered.
    fn spill(&self, first: Self::Place, more: bool);
    /// Replaces a free word; tells whether it was. Ordered.
    fn claim(&self, place: Self::Place, word: u32) -> bool;
    /// Writes key and flow.
    fn write(&self, place: Self::Place);
    /// Sets the word of a slot that was claimed; what was written before is seen by
    /// who sees it.
    fn settle(&self, place: Self::Place, word: u32);
    /// Looks at all of them. A verifier follows this and `wait` for each try, unless they
    /// are functions of their own.
    #[inline(always)]
    fn look(&self, hash: u64) -> Look
    where
        Self: Sized,
    {
        look(self, hash)
    }
    /// Waits until one that is claimed is settled.
    #[inline(always)]
    fn wait(&self, at: u32, hash: u64)
    where
        Self: Sized,
    {
        wait(self, at, hash);
    }
}

/// What is kept on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The slot that was claimed.
    Mine,
    /// The first one that is free.
    Free,
}

/// Looks at the slots: two where nobody is in the way.
const TRIES: u32 = 8;
/// Looks at one that is claimed, until it is settled: to write it takes about as long as
/// a few of them.
const WAITS: u32 = 128;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<P> {
    /// Another CPU was first.
    Found(P),
    /// The flow is new.
    Inserted(P),
    /// All slots of the key are taken.
    Full,
    /// Another CPU claimed a slot for the same key, and did not come to an end.
    Contended,
}

/// The slot of a key, if it is in the first window.
#[inline(always)]
pub fn find_near<S: Slots>(slots: &S, hash: u64) -> Option<S::Place> {
    find_from(slots, hash, 0, S::WINDOW).map(|(place, _)| place)
}

/// Where the slot of a key is, if it is in another one.
#[inline(always)]
pub fn find_far<S: Slots>(slots: &S, hash: u64) -> Option<u32> {
    if slots.spilled(slots.place(slots.at(0))?) == 0 {
        return None;
    }
    find_from(slots, hash, S::WINDOW, S::WINDOW * S::WINDOWS).map(|(_, at)| at)
}

#[inline(always)]
fn find_from<S: Slots>(slots: &S, hash: u64, from: u32, to: u32) -> Option<(S::Place, u32)> {
    for number in from..to {
        let at = slots.at(number);
        let place = slots.place(at)?;
        if slots.word(place) == word(hash, state::LIVE) && slots.has_key(place) {
            return Some((place, at));
        }
    }
    None
}

/// What a look at the slots of a key showed, beside the one that was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is in this slot.
    Found(u32),
    /// Somebody writes this slot for the key.
    Claimed(u32),
    /// All that are taken are of other keys.
    Others,
}

impl Look {
    /// As a number, for a function that may return nothing else.
    #[inline(always)]
    #[must_use]
    pub const fn to_number(self) -> u64 {
        match self {
            Self::Found(at) => 2 << 32 | at as u64,
            Self::Claimed(at) => 1 << 32 | at as u64,
            Self::Others => 0,
        }
    }

    /// What such a number says.
    #[inline(always)]
    #[must_use]
    pub const fn of_number(number: u64) -> Self {
        match number >> 32 {
            2 => Self::Found(number as u32),
            1 => Self::Claimed(number as u32),
            _ => Self::Others,
        }
    }
}

/// Where no slot is.
pub const NONE: u32 = u32::MAX;

/// Finds the slot of a key, or takes one for it.
#[inline(always)]
pub fn find_or_insert<S: Slots>(slots: &S, hash: u64) -> Outcome<S::Place> {
    slots.keep(Kept::Mine, NONE);
    for _ in 0..TRIES {
        match slots.look(hash) {
            Look::Found(at) => {
                withdraw(slots);
                let Some(place) = slots.place(at) else {
                    return Outcome::Contended;
                };
                return Outcome::Found(place);
            }
            Look::Claimed(at) => {
                // Of two the first in the table stays.
                if at < slots.kept(Kept::Mine) {
                    withdraw(slots);
                }
                slots.wait(at, hash);
            }
            Look::Others if slots.kept(Kept::Mine) != NONE => {
                let Some(place) = slots.place(slots.kept(Kept::Mine)) else {
                    break;
                };
                slots.write(place);
                slots.settle(place, word(hash, state::LIVE));
                return Outcome::Inserted(place);
            }
            Look::Others if slots.kept(Kept::Free) == NONE => return Outcome::Full,
            Look::Others => claim(slots, hash),
        }
    }
    withdraw(slots);
    Outcome::Contended
}

/// Looks at all slots of a key.
#[inline(always)]
pub fn look<S: Slots>(slots: &S, hash: u64) -> Look {
    let (live, claimed) = (word(hash, state::LIVE), word(hash, state::CLAIMED));
    slots.keep(Kept::Free, NONE);
    for number in 0..S::WINDOW * S::WINDOWS {
        if number == S::WINDOW && ends_with_window(slots) {
            break;
        }
        let at = slots.at(number);
        let Some(place) = slots.place(at) else {
            continue;
        };
        let found = slots.word(place);
        if found == state::FREE {
            if slots.kept(Kept::Free) == NONE {
                slots.keep(Kept::Free, at);
            }
        } else if found == claimed {
            if at != slots.kept(Kept::Mine) {
                return Look::Claimed(at);
            }
        } else if found == live && slots.has_key(place) {
            return Look::Found(at);
        }
    }
    Look::Others
}

/// Whether nothing can be found beyond the first window, and nothing is wanted there.
#[inline(always)]
fn ends_with_window<S: Slots>(slots: &S) -> bool {
    let is_wanted = slots.kept(Kept::Free) == NONE && slots.kept(Kept::Mine) == NONE;
    let spilled = slots
        .place(slots.at(0))
        .map_or(0, |first| slots.spilled(first));
    !is_wanted && spilled == 0
}

/// Claims the first free slot, if it still is.
#[inline(always)]
fn claim<S: Slots>(slots: &S, hash: u64) {
    let free = slots.kept(Kept::Free);
    let (Some(first), Some(place)) = (slots.place(slots.at(0)), slots.place(free)) else {
        return;
    };
    let is_far = is_far(slots, free);
    if is_far {
        slots.spill(first, true);
    }
    if slots.claim(place, word(hash, state::CLAIMED)) {
        slots.keep(Kept::Mine, slots.kept(Kept::Free));
    } else if is_far {
        slots.spill(first, false);
    }
}

/// Whether a slot is beyond the first window.
#[inline(always)]
fn is_far<S: Slots>(slots: &S, at: u32) -> bool {
    is_beyond(at, slots.at(0), S::WINDOW)
}

/// Gives a claimed slot back.
#[inline(always)]
fn withdraw<S: Slots>(slots: &S) {
    if slots.kept(Kept::Mine) == NONE {
        return;
    }
    if let Some(place) = slots.place(slots.kept(Kept::Mine)) {
        slots.settle(place, state::FREE);
    }
    if is_far(slots, slots.kept(Kept::Mine))
        && let Some(first) = slots.place(slots.at(0))
    {
        slots.spill(first, false);
    }
    slots.keep(Kept::Mine, NONE);
}

/// Waits for who writes a slot for the key.
#[inline(always)]
pub fn wait<S: Slots>(slots: &S, at: u32, hash: u64) {
    let Some(place) = slots.place(at) else {
        return;
    };
    for _ in 0..WAITS {
        if slots.word(place) != word(hash, state::CLAIMED) {
            break;
        }
    }
}

#[cfg(test)]
mod model;
