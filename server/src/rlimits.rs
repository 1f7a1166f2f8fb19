//! Limits of the process (getrlimit(2)): what is too little is told at the start, where it
//! can be, and not by an end in the middle when an allocation or a thread fails.

use std::{
    io,
    sync::{Arc, Mutex, mpsc},
    thread,
};

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

/// Threads beside those of which each CPU has one.
const THREADS: usize = 12;

/// What the datapath needs beside for each flow that it has room for: its tables are mapped.
pub(crate) const BYTES_A_FLOW: u64 = 256;

/// The process may not have what it needs.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the limit of {what} is {has}, and {needed} are needed; raise it by {unit}= of the unit or `{shell}`"
)]
pub struct TooLittle {
    what: &'static str,
    has: String,
    needed: String,
    unit: &'static str,
    shell: &'static str,
}

/// The process may not start as many threads as it needs.
#[derive(Debug, thiserror::Error)]
#[error(
    "{needed} threads are needed, and {has} can be started ({source}); raise the limit of tasks by TasksMax= of the unit or `ulimit -u`"
)]
pub struct TooFewTasks {
    needed: usize,
    has: usize,
    source: io::Error,
}

/// Starts as many threads as are needed later, for a moment: a runtime that gets some of
/// its threads waits for the others for ever.
///
/// # Errors
///
/// When there are too few.
pub fn check_tasks() -> Result<(), TooFewTasks> {
    let needed = THREADS + thread::available_parallelism().map_or(1, usize::from);
    let (end, ends) = mpsc::channel::<()>();
    let ends = Arc::new(Mutex::new(ends));
    let mut threads = Vec::new();
    let mut refused = None;
    while threads.len() < needed && refused.is_none() {
        let ends = Arc::clone(&ends);
        let wait = move || drop(ends.lock().map(|ends| ends.recv()));
        match thread::Builder::new().spawn(wait) {
            Ok(thread) => threads.push(thread),
            Err(error) => refused = Some(error),
        }
    }
    let has = threads.len();
    drop(end);
    threads.into_iter().for_each(|thread| drop(thread.join()));
    match refused {
        Some(source) => Err(TooFewTasks {
            needed,
            has,
            source,
        }),
        None => Ok(()),
    }
}

/// A limit, and how much of it is needed.
struct Needed {
    resource: Resource,
    what: &'static str,
    unit: &'static str,
    shell: &'static str,
    least: u64,
    is_bytes: bool,
}

/// Looks at the limit of the stack, which is the first that is used up; called before all
/// else.
///
/// # Errors
///
/// When it is too low.
pub fn check_stack() -> Result<(), TooLittle> {
    check_one(&Needed {
        resource: Resource::RLIMIT_STACK,
        what: "the stack",
        unit: "LimitSTACK",
        shell: "ulimit -s",
        least: 1 << 20,
        is_bytes: true,
    })
}

/// Looks at the others; `flows` is how many the tables of the datapath have room for,
/// nothing where there is none. Called once the limit of open files is raised, before
/// threads are started.
///
/// # Errors
///
/// The first that is too low.
pub fn check(flows: Option<u64>) -> Result<(), TooLittle> {
    for needed in needed(flows) {
        check_one(&needed)?;
    }
    Ok(())
}

/// What threads, allocator, program and rings take before anything is observed, and as
/// much again.
fn needed(flows: Option<u64>) -> [Needed; 3] {
    let has_datapath = flows.is_some();
    let tables = flows.unwrap_or(0).saturating_mul(BYTES_A_FLOW);
    let bytes = |with: u64, without: u64| match has_datapath {
        true => with,
        false => without,
    };
    [
        Needed {
            resource: Resource::RLIMIT_AS,
            what: "address space",
            unit: "LimitAS",
            shell: "ulimit -v",
            least: bytes(768 << 20, 384 << 20) + tables,
            is_bytes: true,
        },
        Needed {
            resource: Resource::RLIMIT_DATA,
            what: "data",
            unit: "LimitDATA",
            shell: "ulimit -d",
            least: bytes(256 << 20, 128 << 20),
            is_bytes: true,
        },
        Needed {
            resource: Resource::RLIMIT_NOFILE,
            what: "open files",
            unit: "LimitNOFILE",
            shell: "ulimit -n",
            least: bytes(256, 64),
            is_bytes: false,
        },
    ]
}

fn check_one(needed: &Needed) -> Result<(), TooLittle> {
    // A limit that cannot be read may be none.
    let limit = getrlimit(needed.resource).map_or(RLIM_INFINITY, |(soft, _)| soft);
    needed.check(limit)
}

impl Needed {
    fn check(&self, limit: u64) -> Result<(), TooLittle> {
        if limit >= self.least {
            return Ok(());
        }
        let shown = |number: u64| match self.is_bytes {
            true => format!("{} KiB", number >> 10),
            false => number.to_string(),
        };
        Err(TooLittle {
            what: self.what,
            has: shown(limit),
            needed: shown(self.least),
            unit: self.unit,
            shell: self.shell,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_can_be_started() {
        check_tasks().unwrap();
    }

    #[test]
    fn what_is_too_little_is_told_with_what_is_needed() {
        let [space, _, files] = needed(Some(1 << 20));
        let told = space.check(40 << 20).unwrap_err().to_string();
        let text = "the limit of address space is 40960 KiB, and 1048576 KiB are needed; \
                    raise it by LimitAS= of the unit or `ulimit -v`";
        assert_eq!(told, text);
        let told = files.check(64).unwrap_err().to_string();
        assert!(
            told.contains("open files is 64, and 256 are needed"),
            "{told}"
        );
        for needed in needed(None) {
            assert_eq!(needed.check(needed.least), Ok(()));
            assert_eq!(needed.check(RLIM_INFINITY), Ok(()));
        }
    }
}
