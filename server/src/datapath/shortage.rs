//! What the kernel says when it has no more of something: descriptors, memory.

use std::io;

/// This process, or the machine, is short of something, which may pass.
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    let numbers = [
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOMEM,
        libc::ENOBUFS,
        libc::ENOSPC,
        libc::EAGAIN,
    ];
    let number = error.raw_os_error();
    number.is_some_and(|number| numbers.contains(&number))
}

/// What to do when something is short.
pub(super) fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EMFILE) => {
            "raise the limit of open files of sextantd (LimitNOFILE= of its unit, ulimit -n): an interface takes two"
        }
        Some(libc::ENFILE) => "raise the machine's limit of open files (sysctl fs.file-max)",
        _ => "the machine is short of memory",
    }
}
