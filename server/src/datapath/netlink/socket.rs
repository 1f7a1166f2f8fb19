//! A socket for requests to rtnetlink, and one for what it tells by itself.
//!
//! Both belong to the network namespace of the thread that opens them. Bound:
//! one datagram at a time; the kernel's are 32 KiB at most.

use std::{
    io,
    os::fd::{AsRawFd, RawFd},
};

pub(crate) use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_SOCK_DIAG};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::message::{Message, Request, messages, u32_at};

/// Room for one datagram.
const DATAGRAM: usize = 64 << 10;
/// Of what the kernel tells while nobody reads; it gives what it allows.
const QUEUE: usize = 4 << 20;
/// A list that changed while it was taken is taken again so often.
const ATTEMPTS: usize = 5;

const NLMSG_ERROR: u16 = libc::NLMSG_ERROR as u16;
const NLMSG_DONE: u16 = libc::NLMSG_DONE as u16;
const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
const DUMP: u16 = libc::NLM_F_DUMP as u16;
const ACK: u16 = libc::NLM_F_ACK as u16;
const INTERRUPTED: u16 = libc::NLM_F_DUMP_INTR as u16;

/// For requests; each is answered before the next.
pub(crate) struct Requests {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Requests {
    /// In the network namespace of this thread.
    pub(in super::super) fn open() -> io::Result<Self> {
        Self::open_to(NETLINK_ROUTE)
    }

    /// To another part of the kernel than that of links.
    pub(crate) fn open_to(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self {
            socket,
            sequence: 0,
            buffer: Vec::with_capacity(DATAGRAM),
        })
    }

    /// Asks for a change.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub(in super::super) fn change(&mut self, request: Request) -> io::Result<()> {
        self.send(request, REQUEST | ACK)?;
        self.answers(|_| {}).map(|_| ())
    }

    /// Asks for one thing; `each` gets the body of the answer.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub(crate) fn ask(&mut self, request: Request, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        self.send(request, REQUEST | ACK)?;
        self.answers(|message| each(message.body)).map(|_| ())
    }

    /// Asks for a list; `each` gets type and body of each message. A list that
    /// changed meanwhile is taken again, so `each` is made anew by `start`.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub(crate) fn list<T: Default>(
        &mut self,
        request: &Request,
        mut each: impl FnMut(&mut T, u16, &[u8]),
    ) -> io::Result<T> {
        let mut list = T::default();
        for _ in 0..ATTEMPTS {
            list = T::default();
            self.send(request.clone(), REQUEST | DUMP)?;
            let is_whole = self.answers(|message| each(&mut list, message.kind, message.body))?;
            if is_whole {
                break;
            }
        }
        // One that never held still is the best there is.
        Ok(list)
    }

    fn send(&mut self, request: Request, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let bytes = request.finish(flags, self.sequence);
        self.socket.send(&bytes, 0).map(|_| ())
    }

    /// Until the last answer to the request; whether they are of one moment.
    fn answers(&mut self, mut each: impl FnMut(Message<'_>)) -> io::Result<bool> {
        let mut is_whole = true;
        loop {
            self.buffer.clear();
            self.socket.recv(&mut self.buffer, 0)?;
            for message in messages(&self.buffer) {
                if message.sequence != self.sequence {
                    continue;
                }
                is_whole &= message.flags & INTERRUPTED == 0;
                match message.kind {
                    NLMSG_DONE => return Ok(is_whole),
                    NLMSG_ERROR => return error(message.body).map(|()| is_whole),
                    _ => each(message),
                }
            }
        }
    }
}

/// 0 is an acknowledgement.
fn error(body: &[u8]) -> io::Result<()> {
    match u32_at(body, 0).unwrap_or(0) as i32 {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(-number)),
    }
}

/// What the kernel tells by itself.
#[derive(Debug)]
pub(super) struct Notices {
    socket: Socket,
    buffer: Vec<u8>,
}

/// What was read of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// All that there was.
    All,
    /// The queue ran over: some are missing.
    Lost,
}

impl Received {
    /// Of two readings.
    pub(super) fn and(self, other: Self) -> Self {
        match self {
            Self::Lost => self,
            Self::All => other,
        }
    }
}

impl Notices {
    /// Of these groups (`RTNLGRP_...`), in the network namespace of this thread.
    pub(super) fn open(groups: &[u32]) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.set_non_blocking(true)?;
        // A smaller one is made up for: what is lost is noticed.
        let _ = socket.set_rx_buf_sz(QUEUE as libc::c_int);
        for group in groups {
            socket.add_membership(*group)?;
        }
        Ok(Self {
            socket,
            buffer: Vec::with_capacity(DATAGRAM),
        })
    }

    /// Reads all that waits; `each` gets type and body.
    ///
    /// # Errors
    ///
    /// When the socket is of no more use.
    pub(super) fn read(&mut self, mut each: impl FnMut(u16, &[u8])) -> io::Result<Received> {
        let mut received = Received::All;
        loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, 0) {
                Ok(_) => {
                    for message in messages(&self.buffer) {
                        each(message.kind, message.body);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(received),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    received = Received::Lost;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsRawFd for Notices {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
