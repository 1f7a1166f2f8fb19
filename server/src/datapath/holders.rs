//! Finds who holds the sockets that were made before the programs were there, or
//! were passed on: walks over all descriptors, at the start and then now and then,
//! on a thread of its own. Bound: `MOST` processes wait to be read; those beyond
//! are looked up by their number when they are needed, which is counted.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::{AsRawFd as _, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aya::maps::{Array, MapData};
use sextant_ebpf_common::ProcessRecord;

use super::{
    ProcessSeen, Stopper, bpf,
    eventfd::{self, EventFd},
};

/// Between two rounds.
const INTERVAL: Duration = Duration::from_secs(30);
/// Processes that may wait.
const MOST: usize = 16_384;

/// Command and attach type (linux/bpf.h).
const ITER_CREATE: libc::c_long = 33;
const TRACE_ITER: u32 = 28;

/// Processes on their way to the reader; clones share them.
#[derive(Clone, Default)]
pub(super) struct Found(Arc<Mutex<Vec<ProcessSeen>>>);

impl Found {
    fn push(&self, found: Vec<ProcessSeen>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST - waiting.len();
        waiting.extend(found.into_iter().take(room));
    }

    /// Takes what waits.
    pub(super) fn take(&self, to: &mut Vec<ProcessSeen>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        to.append(&mut waiting);
    }
}

/// The walks.
pub struct Holders {
    link: OwnedFd,
    /// Where the program sees which walk of which round it is.
    round: Array<MapData, u32>,
    number: u32,
    found: Found,
    stop: EventFd,
}

/// The `iter_create` member of `union bpf_attr`.
#[repr(C)]
struct IterCreate {
    link_fd: u32,
    flags: u32,
}

impl Holders {
    /// Of the program, which is loaded. Goes its first round.
    pub(super) fn new(
        program: BorrowedFd<'_>,
        round: Array<MapData, u32>,
        found: Found,
    ) -> io::Result<Self> {
        let mut holders = Self {
            link: bpf::link_create(program, 0, TRACE_ITER, 0)?,
            round,
            number: 0,
            found,
            stop: EventFd::new().map_err(io::Error::other)?,
        };
        holders.go_round()?;
        Ok(holders)
    }

    /// Ends `run` from another thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// Goes rounds until stopped.
    pub fn run(mut self) {
        let mut is_told = false;
        loop {
            let [is_stopping] = eventfd::wait([self.stop.as_fd()], INTERVAL);
            if is_stopping {
                return;
            }
            if let Err(error) = self.go_round()
                && !std::mem::replace(&mut is_told, true)
            {
                tracing::warn!(%error, "who holds which socket is not looked up; sockets that are passed on keep the name of who made them");
            }
        }
    }

    /// Both walks.
    fn go_round(&mut self) -> io::Result<()> {
        // Zero says that a socket was in no round yet.
        self.number = self.number.wrapping_add(2).max(2);
        self.walk(self.number)?;
        let found = self.walk(self.number + 1)?;
        self.found.push(found);
        Ok(())
    }

    fn walk(&mut self, number: u32) -> io::Result<Vec<ProcessSeen>> {
        self.round.set(0, number, 0).map_err(io::Error::other)?;
        let mut attr = IterCreate {
            link_fd: self.link.as_raw_fd() as u32,
            flags: 0,
        };
        // SAFETY: the structure is that of the command, without pointers.
        let mut walk = File::from(unsafe { bpf::descriptor(ITER_CREATE, &mut attr) }?);
        let mut found = Vec::new();
        let mut record = vec![0_u8; size_of::<ProcessRecord>()];
        while found.len() < MOST {
            match walk.read_exact(&mut record) {
                Ok(()) => found.extend(
                    bpf::record::<ProcessRecord>(&record).map(|record| ProcessSeen::from(&record)),
                ),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }
}
