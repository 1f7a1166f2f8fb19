//! The tables that the programs judge by, written part by part: `sextant_ebpf_common`
//! has their layout. What is written is decided elsewhere (`sextant_policy::compile`).
//!
//! Bound: the room that the maps were made with; what does not fit is refused before
//! anything is written.

use std::{
    mem::offset_of,
    os::fd::AsFd as _,
    sync::atomic::{AtomicU32, Ordering::Release},
    time::{Duration, Instant},
};

use aya::{Ebpf, maps::Map};
use sextant_ebpf_common::policy::{
    BLOCKS, BY_PART, Control, Entry, Group, PARTS, PLACES, Range4, Range6, Span, Subject,
    first_place, guard, is_over, part_of, until,
};
use sextant_policy::compile::Tables;

use super::{
    DatapathError,
    ages::Ages,
    bpf::{Plain, monotonic_ns},
    grace::Settling,
    rooms::{NoRoom, Rooms, SLOTS},
    shared::Shared,
};

// SAFETY: plain integers without padding, as the layout says.
unsafe impl Plain for Control {}
// SAFETY: as above.
unsafe impl Plain for Span {}
// SAFETY: as above.
unsafe impl Plain for Range4 {}
// SAFETY: as above.
unsafe impl Plain for Range6 {}
// SAFETY: as above.
unsafe impl Plain for Subject {}
// SAFETY: as above.
unsafe impl Plain for Group {}
// SAFETY: as above.
unsafe impl Plain for Entry {}
// SAFETY: an integer.
unsafe impl Plain for u32 {}

/// The loopback's slot: its index is 1 in each namespace.
const LOOPBACK: usize = 1;
/// Words of `Control` that programs act upon.
const GENERATION: usize = offset_of!(Control, generation) / size_of::<u32>();
const UNTIL: usize = offset_of!(Control, until) / size_of::<u32>();
const FALLBACK: usize = offset_of!(Control, fallback) / size_of::<u32>();
/// Interfaces that nothing was said of: packets of this host are judged.
const UNKNOWN: u32 = guard(0, true);

/// What is to be in force, beside the tables: where it is judged and whom.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    /// What is judged at interfaces, by slot; where nothing is said, packets of this
    /// host.
    pub guards: Vec<(u32, u32)>,
    /// Cgroups that are somebody of their own.
    pub groups: Vec<Group>,
    /// Subject number of this host.
    pub host: u32,
}

/// The tables in the kernel.
#[derive(Debug)]
pub struct RuleTables {
    rooms: Rooms,
    control: Shared<Control>,
    guards: Shared<u32>,
    spans4: Shared<Span>,
    ranges4: Shared<Range4>,
    ranges6: Shared<Range6>,
    subjects: Shared<Subject>,
    groups: Shared<Group>,
    entries: Shared<Entry>,
    /// As it is in the map.
    now: Control,
    /// The highest generation that there was.
    latest: u32,
    /// By part: no program reads it any more since this change.
    unread_since: [u64; BY_PART],
    settling: Settling,
    /// What is in force is another daemon's.
    is_taken_over: bool,
    ages: Ages,
}

impl RuleTables {
    /// Those of the programs, which are loaded.
    pub(super) fn take(ebpf: &Ebpf, rooms: Rooms) -> Result<Self, DatapathError> {
        let map = |name: &'static str| match ebpf.map(name) {
            Some(Map::Array(map)) => Ok(map.fd().as_fd()),
            _ => Err(DatapathError::Missing { what: "map", name }),
        };
        let failed = |source| DatapathError::System {
            action: "mapping the tables of policies",
            source,
        };
        let all = |count: u32| (PARTS * count) as usize;
        let control: Shared<Control> = Shared::new(map("CONTROL")?, 1).map_err(failed)?;
        let (now, ages) = (control.read(0), Ages::default());
        let is_taken_over = now.generation != 0;
        // Flows remember both.
        let latest = now.generation.max(now.fallback);
        Ok(Self {
            rooms,
            control,
            guards: Shared::new(map("GUARDS")?, PARTS as usize * SLOTS).map_err(failed)?,
            spans4: Shared::new(map("SPANS4")?, all(BLOCKS)).map_err(failed)?,
            ranges4: Shared::new(map("RANGES4")?, all(rooms.ranges4)).map_err(failed)?,
            ranges6: Shared::new(map("RANGES6")?, all(rooms.ranges6)).map_err(failed)?,
            subjects: Shared::new(map("SUBJECTS")?, all(rooms.subjects)).map_err(failed)?,
            groups: Shared::new(map("GROUPS")?, all(rooms.groups)).map_err(failed)?,
            entries: Shared::new(map("ENTRIES")?, all(rooms.entries)).map_err(failed)?,
            latest: if is_taken_over {
                ages.take_over(latest)
            } else {
                latest
            },
            // Of what was before, programs may still run.
            unread_since: [u64::from(is_taken_over); BY_PART],
            settling: Settling::start(u64::from(is_taken_over)).map_err(DatapathError::thread)?,
            is_taken_over,
            now,
            ages,
        })
    }

    /// For the sweeper.
    pub(super) fn ages(&self) -> Ages {
        self.ages.clone()
    }

    /// What there is room for.
    #[must_use]
    pub fn rooms(&self) -> Rooms {
        self.rooms
    }

    /// What is in force is what a daemon before put there.
    #[must_use]
    pub fn is_taken_over(&self) -> bool {
        self.is_taken_over
    }

    /// The generation in force; 0 for none yet.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.now.generation
    }

    /// Whether something comes back by itself, or did.
    #[must_use]
    pub fn comes_back(&self) -> bool {
        self.now.until != 0
    }

    /// Whether the time was over before something else was said.
    #[must_use]
    pub fn went_back(&self) -> bool {
        self.comes_back() && is_over(self.now.until, monotonic_ns())
    }

    /// Whether it fits.
    ///
    /// # Errors
    ///
    /// It does not, and what.
    pub fn check(&self, tables: &Tables, placement: &Placement) -> Result<(), NoRoom> {
        let rooms = &self.rooms;
        for (what, needed, room) in [
            (
                "ranges of IPv4 addresses",
                tables.ranges4.len(),
                rooms.ranges4,
            ),
            (
                "ranges of IPv6 addresses",
                tables.ranges6.len(),
                rooms.ranges6,
            ),
            (
                "endpoints that are judged",
                tables.subjects.len(),
                rooms.subjects,
            ),
            (
                "places of cgroups",
                placement.groups.len() * 2,
                rooms.groups,
            ),
            ("places of rules", tables.entries.len(), rooms.entries),
        ] {
            if needed > room as usize {
                return Err(NoRoom { what, needed, room });
            }
        }
        Ok(())
    }

    /// Puts it in force: each packet is judged by all of it or by none of it. Tells how
    /// long the last step took in nanoseconds, after which it is in force. Unless something
    /// else is said within `back_after`, what was in force comes back by itself.
    ///
    /// # Errors
    ///
    /// It does not fit; all is as before, what was said of the time too.
    pub fn put_in_force(
        &mut self,
        tables: &Tables,
        placement: &Placement,
        back_after: Option<Duration>,
    ) -> Result<u64, NoRoom> {
        let next = self.write(tables, placement)?;
        if let Some(within) = back_after {
            self.come_back_after(within);
        }
        let before = std::mem::replace(&mut self.now.generation, next);
        let began = Instant::now();
        self.word(GENERATION).store(next, Release);
        let took = began.elapsed().as_nanos() as u64;
        self.is_taken_over = false;
        if before != self.now.fallback {
            self.left(before);
        }
        Ok(took)
    }

    /// What is in force now comes back by itself: for the change that follows.
    fn come_back_after(&mut self, within: Duration) {
        if self.went_back() {
            // Programs went back already: that is what is in force.
            let gone = std::mem::replace(&mut self.now.generation, self.now.fallback);
            self.word(GENERATION).store(self.now.fallback, Release);
            self.left(gone);
        }
        let before = std::mem::replace(&mut self.now.fallback, self.now.generation);
        self.now.until = until_after(within);
        self.tell_fallback();
        if before != self.now.generation {
            self.left(before);
        }
    }

    /// Unless something else is said in time, another set comes into force by itself after
    /// so long; what was said of the time before stays.
    ///
    /// # Errors
    ///
    /// It does not fit; all is as before.
    pub fn put_behind(
        &mut self,
        tables: &Tables,
        placement: &Placement,
        within: Duration,
    ) -> Result<(), NoRoom> {
        let next = self.write(tables, placement)?;
        let before = std::mem::replace(&mut self.now.fallback, next);
        // If it is over, it is not to begin anew.
        if self.now.until == 0 {
            self.now.until = until_after(within);
        }
        self.tell_fallback();
        if before != self.now.generation {
            self.left(before);
        }
        Ok(())
    }

    /// What comes back by itself does so after this time from now. False: it did already.
    pub fn wait_longer(&mut self, within: Duration) -> bool {
        if self.went_back() {
            return false;
        }
        if self.comes_back() {
            self.now.until = until_after(within);
            self.word(UNTIL).store(self.now.until, Release);
        }
        true
    }

    /// What is in force stays.
    pub fn stay(&mut self) {
        if self.now.until == 0 {
            return;
        }
        self.now.until = 0;
        self.word(UNTIL).store(0, Release);
        let before = std::mem::take(&mut self.now.fallback);
        if before != self.now.generation {
            self.left(before);
        }
    }

    /// Before the generation that it is for.
    fn tell_fallback(&self) {
        self.word(FALLBACK).store(self.now.fallback, Release);
        self.word(UNTIL).store(self.now.until, Release);
    }

    fn word(&self, n: usize) -> &AtomicU32 {
        self.control.word(0, n)
    }

    /// Programs that run may still read what was of this generation.
    fn left(&mut self, generation: u32) {
        if generation != 0 {
            self.unread_since[part_of(generation) as usize] = self.settling.begin();
        }
    }

    /// Writes a part that no program reads; tells its generation.
    fn write(&mut self, tables: &Tables, placement: &Placement) -> Result<u32, NoRoom> {
        self.check(tables, placement)?;
        let next = following(self.latest, [self.now.generation, self.now.fallback]);
        let part = part_of(next) as usize;
        self.settling.wait_for(self.unread_since[part]);
        self.ages.wait_for_room(next);
        let groups_mask = self.write_groups(part, &placement.groups)?;
        self.write_guards(part, &placement.guards);
        let rooms = self.rooms;
        self.spans4.write(part * BLOCKS as usize, &tables.spans4);
        self.ranges4
            .write(part * rooms.ranges4 as usize, &tables.ranges4);
        self.ranges6
            .write(part * rooms.ranges6 as usize, &tables.ranges6);
        self.subjects
            .write(part * rooms.subjects as usize, &tables.subjects);
        self.entries
            .write(part * rooms.entries as usize, &tables.entries);
        let control = &mut self.now;
        control.host[part] = placement.host;
        control.ranges6[part] = tables.ranges6.len() as u32;
        control.entries_mask[part] = (tables.entries.len() as u32).saturating_sub(1);
        control.groups_mask[part] = groups_mask;
        self.control.write(0, &[self.now]);
        self.latest = next;
        self.ages.came(next);
        Ok(next)
    }

    fn write_guards(&self, part: usize, guards: &[(u32, u32)]) {
        let mut all = vec![UNKNOWN; SLOTS];
        all[LOOPBACK] = 0;
        for (slot, guard) in guards {
            if let Some(place) = all.get_mut(*slot as usize) {
                *place = *guard;
            }
        }
        self.guards.write(part * SLOTS, &all);
    }

    /// By open addressing, as programs look; tells the mask, 0 if there is none.
    fn write_groups(&self, part: usize, groups: &[Group]) -> Result<u32, NoRoom> {
        if groups.is_empty() {
            return Ok(0);
        }
        let mut len = (groups.len() * 2).next_power_of_two().max(2);
        let placed = loop {
            if len > self.rooms.groups as usize {
                return Err(NoRoom {
                    what: "places of cgroups",
                    needed: len,
                    room: self.rooms.groups,
                });
            }
            if let Some(placed) = placed(groups, len) {
                break placed;
            }
            len *= 2;
        };
        self.groups
            .write(part * self.rooms.groups as usize, &placed);
        Ok(len as u32 - 1)
    }
}

/// The next generation whose part is of none of these, which are in force or may be; 0 is
/// none.
fn following(latest: u32, used: [u32; 2]) -> u32 {
    let used = used.map(|used| (used != 0).then(|| part_of(used)));
    let is_free = |next: &u32| {
        let part = part_of(*next);
        *next != 0 && part < PARTS && !used.contains(&Some(part))
    };
    // Where numbers begin anew, 0 is one of them.
    let mut nexts = (1..=2 * BY_PART as u32).map(|step| latest.wrapping_add(step));
    nexts.find(is_free).unwrap_or(1)
}

fn until_after(within: Duration) -> u32 {
    let within = u64::try_from(within.as_nanos()).unwrap_or(u64::MAX);
    until(monotonic_ns().saturating_add(within))
}

/// Each group at a place where programs look for it; `None` if one finds none.
fn placed(groups: &[Group], len: usize) -> Option<Vec<Group>> {
    let mask = len as u32 - 1;
    let mut table = vec![Group::default(); len];
    for group in groups {
        let first = first_place(group.cgroup, mask);
        let mut places = (0..PLACES.min(len as u32)).map(|n| first.wrapping_add(n) & mask);
        let free = places.find(|at| table[*at as usize].cgroup == 0)?;
        table[free as usize] = *group;
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_set_is_in_no_part_that_programs_may_read() {
        for latest in (0..20).chain(u32::MAX - 20..=u32::MAX) {
            for back in 0..8 {
                let used = [latest, latest.wrapping_sub(back)];
                let next = following(latest, used);
                assert!((1..=8).contains(&next.wrapping_sub(latest)), "{latest}");
                assert!(next != 0 && part_of(next) < PARTS);
                let is_other = |one: &u32| *one == 0 || part_of(*one) != part_of(next);
                assert!(used.iter().all(is_other), "{next} after {used:?}");
            }
        }
        assert_eq!(following(0, [0; 2]), 1);
    }

    #[test]
    fn each_cgroup_is_where_programs_look() {
        let groups: Vec<Group> = (1..=500)
            .map(|n| Group {
                cgroup: n * 4096 + 17,
                subject: n as u32,
                class: 0,
            })
            .collect();
        let table = placed(&groups, 1024).unwrap();
        for group in &groups {
            let first = first_place(group.cgroup, 1023);
            let found = (0..PLACES)
                .map(|n| table[(first.wrapping_add(n) & 1023) as usize])
                .take_while(|found| found.cgroup != 0)
                .find(|found| found.cgroup == group.cgroup);
            assert_eq!(found, Some(*group));
        }
        assert_eq!(placed(&groups, 256), None, "there are more than places");
    }
}
