//! Grace periods: the wait for programs that run, and short ones while many
//! programs are attached or detached.
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
