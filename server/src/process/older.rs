//! Command lines of processes that the programs did not see at work: those whose
//! sockets are older than the daemon.
//!
//! Read by a thread of its own: it reads from the memory of a process, which may be a
//! file that is not to be had for as long as somebody likes. Then no more of these
//! command lines are told, and nothing else waits; nobody waits for the thread to end.
//! Bound: `WAITING` processes that are asked for, as many answers.

use std::{
    fs::File,
    io::{self, Read as _},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use sextant_ebpf_common::{COMMAND_LINE, Side};

use super::lookup;

const WAITING: usize = 4096;

/// A command line that was read.
pub(super) struct Found {
    pub(super) side: Side,
    /// The first bytes of it.
    pub(super) known: Vec<u8>,
    /// More than these if it has more.
    pub(super) length: usize,
}

/// Reads command lines.
pub(super) struct Older {
    asks: SyncSender<Side>,
    found: Receiver<Found>,
}

impl Older {
    /// Starts the thread.
    ///
    /// # Errors
    /// There are no threads to be had.
    pub(super) fn start() -> io::Result<Self> {
        let (asks, asked) = sync_channel::<Side>(WAITING);
        let (finds, found) = sync_channel(WAITING);
        let work = move || {
            for side in asked {
                // One that finds no room is not told, as if it were gone.
                let _ = find(side).map(|found| finds.try_send(found));
            }
        };
        thread::Builder::new()
            .name("command-lines".into())
            .spawn(work)?;
        Ok(Self { asks, found })
    }

    /// Asks for one; whether there was room.
    pub(super) fn ask(&self, side: Side) -> bool {
        self.asks.try_send(side).is_ok()
    }

    /// What was found since.
    pub(super) fn found(&self) -> impl Iterator<Item = Found> {
        self.found.try_iter()
    }
}

fn find(side: Side) -> Option<Found> {
    let file = File::open(format!("/proc/{}/cmdline", side.tgid)).ok()?;
    let mut known = Vec::new();
    let most = COMMAND_LINE as u64 + 1;
    file.take(most).read_to_end(&mut known).ok()?;
    // Behind the reading, during which the number may have been given to another.
    lookup::same(side)?;
    let length = known.len();
    known.truncate(COMMAND_LINE);
    (length > 0).then_some(Found {
        side,
        known,
        length,
    })
}

#[cfg(test)]
mod tests {
    use procfs::process::Process;

    use super::*;

    #[test]
    fn the_command_line_of_a_process_is_found_by_number_and_start() {
        let me = Process::myself().unwrap();
        let side = Side {
            tgid: me.pid as u32,
            start: me.stat().unwrap().starttime as u32,
        };
        let older = Older::start().unwrap();
        let before = Side {
            start: side.start - 1,
            ..side
        };
        assert!(older.ask(before) && older.ask(side));
        let found = older.found.recv().unwrap();
        assert_eq!(found.side, side);
        let own: Vec<String> = std::env::args().collect();
        assert!(String::from_utf8(found.known).unwrap().starts_with(&own[0]));
    }
}
