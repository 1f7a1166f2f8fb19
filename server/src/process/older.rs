//! Command lines of processes that the programs did not see at work: those whose
//! sockets are older than the daemon.
//!
//! Read by threads of their own: they read from the memory of a process, which may be a
//! file that is not to be had for as long as somebody likes. A thread that does not come
//! back is left behind, and another goes on; of a user who holds `HANGING_OF_USER` no
//! more are read until one comes back. Nobody else waits, and nobody waits for them to
//! end. Bound: `WAITING` processes that are asked for, as many answers, `HANGING` threads.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use sextant_ebpf_common::{COMMAND_LINE, Side};

use super::lookup;

const WAITING: usize = 4096;
/// What is not read within this time hangs.
const PATIENCE: Duration = Duration::from_millis(500);
/// Threads that hang; those of one user.
const HANGING: usize = 64;
const HANGING_OF_USER: usize = 2;

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
        let mut readers = Readers::new(find, finds);
        thread::Builder::new()
            .name("command-lines".into())
            .spawn(move || {
                for side in asked {
                    readers.read(side);
                }
            })?;
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

/// How one is read.
type Read = fn(Side) -> Option<Found>;

/// The thread that reads, and those that hang.
struct Readers {
    read: Read,
    finds: SyncSender<Found>,
    working: Option<Reader>,
    /// With the user of the process that they read of.
    hanging: Vec<(u32, JoinHandle<()>)>,
}

/// A thread that reads one after the other; ends when it is left.
struct Reader {
    asks: SyncSender<Side>,
    /// It is done with one.
    done: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Readers {
    fn new(read: Read, finds: SyncSender<Found>) -> Self {
        Self {
            read,
            finds,
            working: None,
            hanging: Vec::new(),
        }
    }

    /// Reads one, unless its user holds too many threads.
    fn read(&mut self, side: Side) {
        self.hanging.retain(|(_, thread)| !thread.is_finished());
        let Ok(process) = fs::metadata(format!("/proc/{}", side.tgid)) else {
            return;
        };
        let user = process.uid();
        let held = self.hanging.iter().filter(|(of, _)| *of == user).count();
        if held >= HANGING_OF_USER || self.hanging.len() >= HANGING {
            return;
        }
        let Some(reader) = self.working.take().or_else(|| self.reader()) else {
            return;
        };
        if reader.asks.send(side).is_err() {
            return;
        }
        match reader.done.recv_timeout(PATIENCE) {
            Ok(()) => self.working = Some(reader),
            Err(RecvTimeoutError::Timeout) => self.hanging.push((user, reader.thread)),
            // It panicked, and told so.
            Err(RecvTimeoutError::Disconnected) => {}
        }
    }

    /// A new one, if there are threads to be had.
    fn reader(&self) -> Option<Reader> {
        let (asks, asked) = sync_channel::<Side>(1);
        let (tells, done) = sync_channel(1);
        let (read, finds) = (self.read, self.finds.clone());
        let work = move || {
            for side in asked {
                // One that finds no room is not told, as if it were gone.
                let _ = read(side).map(|found| finds.try_send(found));
                if tells.send(()).is_err() {
                    return;
                }
            }
        };
        let name = "command-line".to_owned();
        let thread = thread::Builder::new().name(name).spawn(work).ok()?;
        Some(Reader { asks, done, thread })
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

    /// Processes of this test, alive for as long.
    fn sleeper() -> (std::process::Child, Side) {
        let child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let tgid = child.id();
        (child, Side { tgid, start: 0 })
    }

    #[test]
    fn processes_that_hang_hold_up_nobody_elses_and_few_threads() {
        /// Reads of those with an odd start never come back.
        fn read(side: Side) -> Option<Found> {
            if side.start % 2 == 1 {
                loop {
                    thread::park();
                }
            }
            Some(Found {
                side,
                known: b"x".to_vec(),
                length: 1,
            })
        }
        let (finds, found) = sync_channel(WAITING);
        let mut readers = Readers::new(read, finds);
        let (mut child, side) = sleeper();
        let of = |start| Side { start, ..side };
        // One hangs: the next is read all the same.
        readers.read(of(1));
        readers.read(of(2));
        assert_eq!(found.try_recv().unwrap().side, of(2));
        // This user holds as many as may be, and no more threads.
        for start in [3, 5, 7, 9] {
            readers.read(of(start));
        }
        assert_eq!(readers.hanging.len(), HANGING_OF_USER);
        // Another user's are read.
        readers.hanging.iter_mut().for_each(|(user, _)| *user += 1);
        readers.read(of(4));
        assert_eq!(found.try_recv().unwrap().side, of(4));
        child.kill().unwrap();
        child.wait().unwrap();
        // Of one that is gone nothing is asked.
        readers.read(of(6));
        assert!(found.try_recv().is_err());
    }
}
