//! Grace periods: the wait for programs that run, also behind the back of who changes
//! something, and short ones while many programs are attached or detached.
//!
//! For each TCX link the kernel waits, with the lock of all network settings
//! held, until every CPU has left the old list of programs: 10 to 25 ms. With
//! hundreds of interfaces that is many seconds in which nobody can change an
//! interface. `/sys/kernel/rcu_expedited` has the kernel ask the CPUs instead,
//! which takes some 50 us. It is a setting of the whole machine, so it is on for
//! the shortest time, and put back.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::fd::AsRawFd as _,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Release},
        },
        mpsc::{SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

/// `membarrier` (linux/membarrier.h): until every CPU has been outside of a program
/// that ran at the time of the call.
const MEMBARRIER_GLOBAL: libc::c_int = 1;
/// Where the kernel has it not (CPUs without ticks): no program runs for so long.
const LONG: Duration = Duration::from_millis(100);

/// Waits until all programs have returned that run now.
pub(super) fn wait_for_programs() {
    // SAFETY: no memory is passed.
    let refused = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_GLOBAL, 0, 0) } != 0;
    if refused {
        thread::sleep(LONG);
    }
}

/// Waits for programs behind each change of what they read, so that who changes the next
/// thing need not: on a thread that ends with this.
#[derive(Debug)]
pub(super) struct Settling {
    /// Changes until now.
    changes: u64,
    /// Programs that ran before this one have returned.
    settled: Arc<AtomicU64>,
    begun: SyncSender<u64>,
}

impl Settling {
    /// With so many changes made, of which programs may know.
    ///
    /// # Errors
    ///
    /// No thread can be had.
    pub(super) fn start(changes: u64) -> io::Result<Self> {
        let (begun, waits) = sync_channel(1);
        let settled = Arc::new(AtomicU64::new(0));
        let known = Arc::clone(&settled);
        let run = move || {
            while let Ok(change) = waits.recv() {
                wait_for_programs();
                known.fetch_max(change, Release);
            }
        };
        thread::Builder::new().name("settling".into()).spawn(run)?;
        Ok(Self {
            changes,
            settled,
            begun,
        })
    }

    /// Something was changed; its number.
    pub(super) fn begin(&mut self) -> u64 {
        self.changes += 1;
        // Where one waits already, who needs this one waits by himself.
        let _ = self.begun.try_send(self.changes);
        self.changes
    }

    /// Returns once all programs have that ran before this change.
    pub(super) fn wait_for(&self, change: u64) {
        if self.settled.load(Acquire) < change {
            wait_for_programs();
            self.settled.fetch_max(self.changes, Release);
        }
    }
}

const SETTING: &str = "/sys/kernel/rcu_expedited";
/// With fewer links the wait is less than what the setting is worth.
const MANY: usize = 16;

/// Grace periods are short while it lives.
pub(super) struct Expedited {
    setting: File,
    before: String,
}

impl Expedited {
    /// For so many links; nothing where that is not worth it, or not allowed.
    pub(super) fn for_links(count: usize) -> Option<Self> {
        if count < MANY {
            return None;
        }
        Self::begin()
            .inspect_err(|error| {
                tracing::info!(links = count, %error, "{SETTING} cannot be set: each link takes 10 to 25 ms");
            })
            .ok()
    }

    fn begin() -> io::Result<Self> {
        let mut setting = OpenOptions::new().read(true).write(true).open(SETTING)?;
        // Another sextantd must not take our value for the one to put back.
        // SAFETY: a valid descriptor; the lock goes when it is closed.
        if unsafe { libc::flock(setting.as_raw_fd(), libc::LOCK_EX) } < 0 {
            return Err(io::Error::last_os_error());
        }
        let mut before = String::new();
        setting.read_to_string(&mut before)?;
        setting.rewind()?;
        setting.write_all(b"1")?;
        Ok(Self { setting, before })
    }
}

impl Drop for Expedited {
    fn drop(&mut self) {
        let put_back = self.setting.rewind();
        let put_back = put_back.and_then(|()| self.setting.write_all(self.before.as_bytes()));
        if let Err(error) = put_back {
            tracing::warn!(%error, "{SETTING} not put back to {}", self.before.trim());
        }
    }
}
