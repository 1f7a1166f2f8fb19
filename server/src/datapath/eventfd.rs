//! A flag that another thread sets and poll(2) waits for: an eventfd.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    sync::Arc,
    time::Duration,
};

use super::DatapathError;

/// The flag; clones share it.
#[derive(Clone, Debug)]
pub(super) struct EventFd(Arc<OwnedFd>);

impl EventFd {
    pub(super) fn new() -> Result<Self, DatapathError> {
        // SAFETY: returns a new descriptor or -1.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(DatapathError::System {
                action: "creating an eventfd",
                source: io::Error::last_os_error(),
            });
        }
        // SAFETY: just created and owned by nobody else.
        Ok(Self(Arc::new(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Sets it.
    pub(super) fn set(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: an eventfd takes eight bytes.
        let written = unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        if written < 0 {
            tracing::debug!(error = %io::Error::last_os_error(), "thread not signalled");
        }
    }

    /// Takes it back.
    pub(super) fn clear(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: room for the eight bytes that it gives; one that is not set gives none.
        unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until one of the descriptors can be read; tells which can.
pub(super) fn wait<const N: usize>(fds: [BorrowedFd<'_>; N], timeout: Duration) -> [bool; N] {
    let mut polled = fds.map(|fd| libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    });
    // Round up, lest the last millisecond is spent spinning.
    let millis = timeout.as_millis() as i32 + 1;
    // SAFETY: as many valid entries as are told.
    unsafe { libc::poll(polled.as_mut_ptr(), N as libc::nfds_t, millis) };
    polled.map(|one| one.revents != 0)
}

/// Ends a reader or a sweeper from another thread.
#[derive(Clone, Debug)]
pub struct Stopper(pub(super) EventFd);

impl Stopper {
    /// It does what is left to be done, and returns.
    pub fn stop(&self) {
        self.0.set();
    }
}
