//! Connections that nothing was said on yet.
//!
//! They wait here, where each costs a descriptor, a timer and a few hundred bytes,
//! and no task, buffer or server of its own: anybody can make many of them. The
//! first bytes are waited for and not read. Bound: `Places`; each ends after
//! `OPENING`, or when its place is needed.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{future::BoxFuture, stream::FuturesUnordered};
use socket2::SockRef;
use tokio::{
    io::Interest,
    net::{TcpStream, UnixStream},
    time::Sleep,
};

use super::{Origin, places::Place};

/// How long a connection may take to say what it speaks.
const OPENING: Duration = Duration::from_secs(10);

/// What carries a connection that was accepted.
pub(super) enum Accepted {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection that was accepted, and who made it.
pub(super) struct Silent {
    pub(super) io: Accepted,
    pub(super) origin: Origin,
    pub(super) local_user: Option<u32>,
    pub(super) place: Place,
    pub(super) opening: Opening,
}

/// What a connection waits for that has not said what it speaks.
pub(super) struct Opening {
    deadline: Pin<Box<Sleep>>,
    gone: BoxFuture<'static, ()>,
}

/// All of a listener.
pub(super) type Waiting = FuturesUnordered<BoxFuture<'static, Option<Silent>>>;

impl Silent {
    /// Waits for the first bytes. Nothing when it is over or its time is.
    pub(super) async fn heard(mut self) -> Option<Self> {
        let heard = tokio::select! {
            heard = self.io.heard() => heard.is_ok_and(|bytes| bytes > 0),
            () = &mut self.opening => {
                self.io.reset_at_end();
                false
            }
        };
        heard.then_some(self)
    }
}

impl Accepted {
    /// Waits for the first bytes, which stay; none when it is over.
    async fn heard(&self) -> io::Result<usize> {
        // A new socket counts as readable until it was tried.
        match self {
            Self::Tcp(stream) => stream.async_io(Interest::READABLE, || peek(stream)).await,
            Self::Unix(stream) => stream.async_io(Interest::READABLE, || peek(stream)).await,
        }
    }

    /// Nothing was sent that could get lost, and the kernel would keep what is
    /// closed in peace until its client closes it too.
    fn reset_at_end(&self) {
        if let Self::Tcp(stream) = self {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

fn peek(socket: &impl AsFd) -> io::Result<usize> {
    SockRef::from(socket).peek(&mut [MaybeUninit::uninit()])
}

impl Opening {
    /// From now on.
    pub(super) fn of(place: &Place) -> Self {
        let gone = place.gone();
        Self {
            deadline: Box::pin(tokio::time::sleep(OPENING)),
            gone: Box::pin(async move { gone.notified().await }),
        }
    }
}

/// Done when the connection is to end.
impl Future for Opening {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.gone.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => self.deadline.as_mut().poll(cx),
        }
    }
}
