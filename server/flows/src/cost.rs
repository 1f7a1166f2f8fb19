//! What a test costs, however busy the machine is. Nothing that is shipped.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::time::Duration;

/// Time that this thread had on a CPU (proc_pid_schedstat(5), first field).
///
/// # Panics
///
/// Where the kernel does not tell.
pub(crate) fn spent() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}
