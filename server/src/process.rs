//! Which process is behind a side of a flow, and what it belongs to.
//!
//! The programs tell each process once, before the first event of one of its
//! flows; one that was not told (the ring was full) is looked up by its number.
//! Known by number and start, so that a number that is used again is another
//! process. What the engine of a container says of it is looked up when the process
//! is new, and again when an engine said anything new. Bound: `MOST` processes; those
//! not seen for longest are forgotten.

pub mod cgroup;
pub mod command_line;
mod endpoint;
mod groups;
mod lookup;
mod older;
mod users;

#[cfg(test)]
mod tests;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use sextant_ebpf_common::{Side, side};

use crate::{
    containers::{Containers, Named},
    datapath::ProcessSeen,
    flow::{Endpoint, Interned, Interners, Process, Time},
    generations::Generations,
    identity::Identities,
};

use cgroup::{Belonging, Container, is_id};
use command_line::CommandLines;
use endpoint::{Endpoints, is_same};
pub use groups::{Group, Groups};
pub(crate) use lookup::unit_of;
use older::Older;
use users::Users;

/// Processes that are remembered.
const MOST: usize = 16_384;

/// Hundredths of a second, the unit of start times, in nanoseconds.
const TICK_NS: i64 = 10_000_000;

/// In the place of components of a path that are not told.
const CUT: &str = "/…";

/// By less than this it is only read inexactly.
const CLOCK_SET_NS: u64 = 1_000_000_000;

/// A process, and who that is in Hubble's terms.
#[derive(Clone, Debug)]
pub struct Known {
    /// The process.
    pub process: Interned<Process>,
    /// Its unit or container; `None` if it is of neither, which is the host.
    pub endpoint: Option<Interned<Endpoint>>,
    /// What the engine of its container says.
    named: Option<Arc<Named>>,
    /// Of `Containers`, when that was looked up.
    version: u64,
}

/// What became of processes; clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct ProcessCounts(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    known: AtomicU64,
    looked_up: AtomicU64,
    not_found: AtomicU64,
    forgotten: AtomicU64,
    command_lines_unread: AtomicU64,
    /// Of flows that ended: with a process, then by `common::side`.
    sides: [AtomicU64; 4],
}

/// Sides of flows that ended, by who was behind them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sides {
    /// A process.
    pub process: u64,
    /// A socket that nobody was seen to make or hold.
    pub unknown: u64,
    /// No socket of a process.
    pub no_socket: u64,
    /// Not on this host, or not where its socket could be seen.
    pub elsewhere: u64,
}

impl ProcessCounts {
    /// Processes that are known now.
    #[must_use]
    pub fn known(&self) -> u64 {
        self.0.known.load(Relaxed)
    }

    /// Those that were not told and were found by their number.
    #[must_use]
    pub fn looked_up(&self) -> u64 {
        self.0.looked_up.load(Relaxed)
    }

    /// Those of which no more than the number is known.
    #[must_use]
    pub fn not_found(&self) -> u64 {
        self.0.not_found.load(Relaxed)
    }

    /// Those that were forgotten for want of room.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.0.forgotten.load(Relaxed)
    }

    /// Those whose command line was not asked for, for want of room.
    #[must_use]
    pub fn command_lines_unread(&self) -> u64 {
        self.0.command_lines_unread.load(Relaxed)
    }

    /// Who was behind the sides of flows that ended.
    #[must_use]
    pub fn sides(&self) -> Sides {
        let [process, elsewhere, no_socket, unknown] =
            [0, 1, 2, 3].map(|place| self.0.sides[place].load(Relaxed));
        Sides {
            process,
            unknown,
            no_socket,
            elsewhere,
        }
    }

    fn ended(&self, side: Side) {
        let place = match (side.tgid, side.start) {
            (0, side::ELSEWHERE) => 1,
            (0, side::NO_SOCKET) => 2,
            (0, _) => 3,
            _ => 0,
        };
        self.0.sides[place].fetch_add(1, Relaxed);
    }
}

/// The processes of this host that have, or had, sockets.
pub struct Processes {
    known: Generations<Side, Known>,
    endpoints: Endpoints,
    containers: Containers,
    groups: Groups,
    /// Where they are wanted.
    command_lines: Option<(CommandLines, Older)>,
    users: Users,
    /// Wall time of the boot, in nanoseconds.
    boot_ns: i64,
    counts: ProcessCounts,
}

impl Processes {
    /// None yet; containers have the names that are in `containers`.
    #[must_use]
    pub fn new(identities: Arc<Identities>, cluster: String, containers: Containers) -> Self {
        Self {
            known: Generations::new(MOST),
            endpoints: Endpoints::new(identities, cluster),
            containers,
            groups: Groups::default(),
            command_lines: None,
            users: Users::default(),
            boot_ns: lookup::boot_ns(),
            counts: ProcessCounts::default(),
        }
    }

    /// Command lines are told from now on.
    ///
    /// # Errors
    /// There is no thread to be had for those of older processes.
    pub fn tell_command_lines(&mut self, lines: CommandLines) -> io::Result<()> {
        self.command_lines = Some((lines, Older::start()?));
        Ok(())
    }

    /// What became of them.
    #[must_use]
    pub fn counts(&self) -> ProcessCounts {
        self.counts.clone()
    }

    /// Their cgroups.
    #[must_use]
    pub fn groups(&self) -> Groups {
        self.groups.clone()
    }

    /// Takes note of processes that were told.
    pub fn learn(&mut self, seen: &[ProcessSeen], interners: &mut Interners) {
        if !seen.is_empty() {
            self.follow_clock();
            self.users.follow();
        }
        for seen in seen {
            self.add(seen, interners);
        }
        self.hear_of_older(interners);
    }

    /// Command lines that were asked for.
    fn hear_of_older(&mut self, interners: &mut Interners) {
        let Some((lines, older)) = &self.command_lines else {
            return;
        };
        for found in older.found() {
            let Some(known) = self.known.use_mut(&found.side) else {
                continue;
            };
            let mut process = Process::clone(&known.process);
            process.command_line = lines.line(&found.known, found.length);
            known.process = interners.processes.intern(process);
        }
    }

    /// A flow ended with these sides.
    pub fn ended(&self, sides: [Side; 2]) {
        for side in sides {
            self.counts.ended(side);
        }
    }

    /// The process behind a side; `None` if there is none on this host.
    pub fn behind(&mut self, side: Side, interners: &mut Interners) -> Option<Known> {
        if side.tgid == 0 {
            return None;
        }
        let version = self.containers.version();
        if let Some(known) = self.known.use_mut(&side) {
            if known.version == version {
                return Some(known.clone());
            }
            let mut known = known.clone();
            self.name_again(&mut known, version, interners);
            if let Some(place) = self.known.use_mut(&side) {
                *place = known.clone();
            }
            return Some(known);
        }
        let seen = match lookup::find(side) {
            Some(seen) => {
                self.counts.0.looked_up.fetch_add(1, Relaxed);
                seen
            }
            None => {
                self.counts.0.not_found.fetch_add(1, Relaxed);
                ProcessSeen {
                    pid: side.tgid,
                    start: side.start,
                    ..ProcessSeen::default()
                }
            }
        };
        Some(self.add(&seen, interners))
    }

    /// A clock that was set since gives other start times.
    fn follow_clock(&mut self) {
        let now = lookup::boot_ns();
        if now.abs_diff(self.boot_ns) > CLOCK_SET_NS {
            self.boot_ns = now;
        }
    }

    fn add(&mut self, seen: &ProcessSeen, interners: &mut Interners) -> Known {
        let version = self.containers.version();
        let path = cgroup_path(seen);
        let (belonging, named) = self.belonging(&path);
        let container = belonging.container.as_ref();
        if named.is_none() && container.is_some_and(|one| is_id(&one.id)) {
            self.containers.want();
        }
        let endpoint = self
            .endpoints
            .of(&belonging, named.as_ref(), &seen.exe, interners);
        self.note_group(
            (seen.cgroup, &path, seen.pid),
            &belonging,
            named.as_ref(),
            interners,
        );
        let mut process = self.process(seen, belonging, named.as_deref());
        process.cgroup = path;
        let known = Known {
            process: interners.processes.intern(process),
            endpoint,
            named,
            version,
        };
        let side = Side {
            tgid: seen.pid,
            start: seen.start,
        };
        // One that executed another file is told again.
        self.known.remove(&side);
        self.known.insert(side, known.clone());
        self.counts.0.known.store(self.known.len() as u64, Relaxed);
        let forgotten = self.known.forgotten();
        self.counts.0.forgotten.store(forgotten, Relaxed);
        known
    }

    /// As it is to be told; one that is not known yet is asked for.
    fn command_line(&self, seen: &ProcessSeen) -> String {
        let Some((lines, older)) = &self.command_lines else {
            return String::new();
        };
        if seen.command_length > 0 {
            return lines.line(&seen.command_line, seen.command_length);
        }
        let side = Side {
            tgid: seen.pid,
            start: seen.start,
        };
        // A thread of the kernel has none.
        if !seen.exe.is_empty() && !older.ask(side) {
            self.counts.0.command_lines_unread.fetch_add(1, Relaxed);
        }
        String::new()
    }

    /// What it belongs to, by its cgroup, and what the engine says of that.
    fn belonging(&self, path: &str) -> (Belonging, Option<Arc<Named>>) {
        let mut belonging = Belonging::of(path);
        let user = belonging.user;
        if let Some(container) = &mut belonging.container {
            let named = self.containers.find(&container.id, user);
            if let Some(named) = &named {
                container.engine = named.engine;
            }
            return (belonging, named);
        }
        // Of ids that are no numbers the engine alone knows: `/NAMESPACE/ID`.
        let mut parts = path.trim_start_matches('/').splitn(3, '/');
        if belonging.unit.is_empty()
            && let (Some(namespace), Some(id)) = (parts.next(), parts.next())
            && let Some(named) = self.containers.find(&format!("{namespace}/{id}"), user)
        {
            belonging.container = Some(Container {
                id: id.to_owned(),
                engine: named.engine,
                is_of_pod: false,
            });
            return (belonging, Some(named));
        }
        (belonging, None)
    }

    /// An engine said something new: perhaps of this one. What it says no more stays.
    fn name_again(&mut self, known: &mut Known, version: u64, interners: &mut Interners) {
        known.version = version;
        let (belonging, named) = self.belonging(&known.process.cgroup);
        if named.is_none() || is_same(named.as_ref(), known.named.as_ref()) {
            return;
        }
        let exe = &known.process.exe;
        known.endpoint = self
            .endpoints
            .of(&belonging, named.as_ref(), exe, interners);
        let mut process = Process::clone(&known.process);
        let group = (process.cgroup_id, process.cgroup.as_str(), process.pid);
        self.note_group(group, &belonging, named.as_ref(), interners);
        belongs(&mut process, belonging, named.as_deref());
        known.process = interners.processes.intern(process);
        known.named = named;
    }

    /// The cgroup of a process is this unit's or container's, whatever executes in it.
    fn note_group(
        &mut self,
        (cgroup, path, pid): (u64, &str, u32),
        belonging: &Belonging,
        named: Option<&Arc<Named>>,
        interners: &mut Interners,
    ) {
        if let Some(endpoint) = self.endpoints.of(belonging, named, "", interners) {
            self.groups.note(cgroup, path, pid, &endpoint);
        }
    }

    fn process(&self, seen: &ProcessSeen, belonging: Belonging, named: Option<&Named>) -> Process {
        let start = self.boot_ns.saturating_add(i64::from(seen.start) * TICK_NS);
        // Of one that was not found nothing else is known.
        let is_found = !seen.comm.is_empty();
        let mut process = Process {
            pid: seen.pid,
            ppid: is_found.then_some(seen.ppid),
            uid: is_found.then_some(seen.uid),
            user: match is_found {
                true => self.users.name(seen.uid).to_owned(),
                false => String::new(),
            },
            start_time: Some(Time::from_nanos(start)),
            name: seen.comm.clone(),
            exe: seen.exe.clone(),
            cgroup_id: seen.cgroup,
            command_line: self.command_line(seen),
            ..Process::default()
        };
        belongs(&mut process, belonging, named);
        process
    }
}

/// The path of its cgroup; whole, if it is still there where the programs cut it.
fn cgroup_path(seen: &ProcessSeen) -> String {
    let told = seen.cgroup_path.as_deref();
    let is_cut = told.is_none_or(|path| path.ends_with(CUT));
    let side = Side {
        tgid: seen.pid,
        start: seen.start,
    };
    let found = is_cut.then(|| lookup::cgroup_path(side)).flatten();
    // Nobody's, where not even the outermost parts are known.
    found.unwrap_or_else(|| told.unwrap_or(CUT).to_owned())
}

/// Says so in the process.
fn belongs(process: &mut Process, belonging: Belonging, named: Option<&Named>) {
    process.unit = belonging.unit;
    if let Some(container) = belonging.container {
        process.engine = container.engine.to_owned();
        process.container = container.id;
    }
    let name = named.map(|named| named.container.clone());
    process.container_name = name.unwrap_or_default();
}
