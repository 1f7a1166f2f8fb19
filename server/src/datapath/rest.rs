//! How long the reader rests between two looks into the rings, and what ends it.
//!
//! While events come it looks again by itself, so that no packet pays for waking
//! it. When none come it says that it rests, looks once more, and sleeps until the
//! programs wake it. A ring that fills up ends a pause early. Bound: one pause
//! lasts `LONG`; a sleep, as long as the caller says.

use std::{
    os::fd::BorrowedFd,
    sync::atomic::{Ordering, fence},
    time::Duration,
};

use aya::maps::{Array, MapData};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::DatapathError;

/// After events in their dozens: they come together, and are read together.
const SHORT: Duration = Duration::from_millis(2);
/// After some.
const MIDDLE: Duration = Duration::from_millis(8);
/// After none.
const LONG: Duration = Duration::from_millis(40);
/// What is some.
const DOZENS: usize = 24;

const STOP: u64 = 1;
const OTHER: u64 = 0;

/// What comes before the next look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// A pause.
    Pause(Duration),
    /// Nothing, once it is said that we rest.
    LastLook,
    /// A sleep until something happens.
    Sleep,
}

impl Next {
    /// Once so many events were read.
    fn after(self, events: usize) -> Self {
        match (events, self) {
            (DOZENS.., _) => Self::Pause(SHORT),
            (1.., _) => Self::Pause(MIDDLE),
            (0, Self::Pause(time)) if time < LONG => Self::Pause(LONG),
            // Whoever woke us may have done so for an event that is behind one
            // which is not there yet: it has to be said anew.
            (0, Self::Pause(_) | Self::Sleep) => Self::LastLook,
            (0, Self::LastLook) => Self::Sleep,
        }
    }
}

/// The reader's rest.
pub(super) struct Rest {
    epoll: Epoll,
    /// Where the programs see that we rest.
    rests: Array<MapData, u32>,
    next: Next,
}

impl Rest {
    /// `stop` ends it for good; `ends` is other work; `rings` wake once for each
    /// time that the programs say so, not as long as something is in them.
    pub(super) fn new(
        rests: Array<MapData, u32>,
        stop: BorrowedFd<'_>,
        ends: BorrowedFd<'_>,
        rings: [BorrowedFd<'_>; 4],
    ) -> Result<Self, DatapathError> {
        let failed = |source: nix::Error| DatapathError::System {
            action: "waiting for the rings",
            source: source.into(),
        };
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed)?;
        let add = |fd, flags, data| epoll.add(fd, EpollEvent::new(flags, data)).map_err(failed);
        add(stop, EpollFlags::EPOLLIN, STOP)?;
        add(ends, EpollFlags::EPOLLIN, OTHER)?;
        for ring in rings {
            add(ring, EpollFlags::EPOLLIN | EpollFlags::EPOLLET, OTHER)?;
        }
        Ok(Self {
            epoll,
            rests,
            next: Next::Sleep,
        })
    }

    /// Waits for the next look, `most` at the longest; true when told to stop.
    /// So many events were read since the last wait.
    pub(super) fn wait(&mut self, events: usize, most: Duration) -> bool {
        self.next = self.next.after(events);
        match self.next {
            Next::Pause(time) => self.sleep(time.min(most)),
            Next::LastLook => {
                self.say_so();
                self.sleep(Duration::ZERO)
            }
            Next::Sleep => self.sleep(most),
        }
    }

    fn say_so(&mut self) {
        if let Err(error) = self.rests.set(0, 1, 0) {
            // Events are read in pauses then.
            tracing::debug!(%error, "the programs are not told that the reader rests");
        }
        // Before the look that follows; see `submit` of the programs.
        fence(Ordering::SeqCst);
    }

    fn sleep(&self, time: Duration) -> bool {
        let millis = u16::try_from(time.as_millis()).unwrap_or(u16::MAX);
        let mut events = [EpollEvent::empty(); 6];
        // Whatever interrupts it, there is a look after it.
        let count = self
            .epoll
            .wait(&mut events, EpollTimeout::from(millis))
            .unwrap_or(0);
        events[..count].iter().any(|event| event.data() == STOP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_leads_to_sleep_and_each_sleep_to_another_look() {
        let mut next = Next::Pause(SHORT);
        let mut seen = Vec::new();
        for _ in 0..6 {
            next = next.after(0);
            seen.push(next);
        }
        let expect = [
            Next::Pause(LONG),
            Next::LastLook,
            Next::Sleep,
            Next::LastLook,
            Next::Sleep,
            Next::LastLook,
        ];
        assert_eq!(seen, expect);
    }

    #[test]
    fn events_shorten_the_pause() {
        for before in [Next::Sleep, Next::LastLook, Next::Pause(LONG)] {
            assert_eq!(before.after(1), Next::Pause(MIDDLE));
            assert_eq!(before.after(DOZENS), Next::Pause(SHORT));
        }
    }
}
