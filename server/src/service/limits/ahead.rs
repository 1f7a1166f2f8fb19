//! What of an answer is on its way to its client: handed to the transport, not sent.
//!
//! A stream works ahead of its client, so that neither waits for the other: by some
//! chunks, which is as much as HTTP/2 takes of one stream. A client that allows much to
//! be on its way and reads none of it would have the server hold all that in each of its
//! streams. So once all answers together are `ALL` bytes ahead, each waits for its client
//! from `NEAR` on. Bound: these, each exceeded by the part that reaches it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::task::AtomicWaker;

use super::pool::Place;

/// A chunk of a stream.
const NEAR: usize = 64 << 10;
/// Of all answers together.
const ALL: usize = 16 << 20;

/// Bytes of all answers that are on their way; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Everybody(Arc<AtomicUsize>);

/// One answer's.
#[derive(Debug)]
pub(super) struct Ahead(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    own: AtomicUsize,
    all: Everybody,
    waits: AtomicWaker,
}

impl Ahead {
    pub(super) fn new(all: Everybody) -> Self {
        Self(Arc::new(Shared {
            own: AtomicUsize::new(0),
            all,
            waits: AtomicWaker::new(),
        }))
    }

    /// Ready when more may be handed over; else the task is woken when it may.
    pub(super) fn poll_room(&self, context: &Context<'_>) -> Poll<()> {
        if self.has_room() {
            return Poll::Ready(());
        }
        self.0.waits.register(context.waker());
        // It may have been sent meanwhile.
        match self.has_room() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    fn has_room(&self) -> bool {
        let own = self.0.own.load(Ordering::Acquire);
        own < NEAR || self.0.all.0.load(Ordering::Relaxed) < ALL
    }

    /// The same bytes, which count until the transport lets them go; so long also
    /// the place in memory is held that was taken for them.
    pub(super) fn hand_over(&self, bytes: Bytes, place: Option<Place>) -> Bytes {
        self.0.own.fetch_add(bytes.len(), Ordering::AcqRel);
        self.0.all.0.fetch_add(bytes.len(), Ordering::Relaxed);
        Bytes::from_owner(OnItsWay {
            bytes,
            of: Arc::clone(&self.0),
            _place: place,
        })
    }
}

/// A part of an answer.
struct OnItsWay {
    bytes: Bytes,
    of: Arc<Shared>,
    _place: Option<Place>,
}

impl AsRef<[u8]> for OnItsWay {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        let length = self.bytes.len();
        self.of.all.0.fetch_sub(length, Ordering::Relaxed);
        let left = self.of.own.fetch_sub(length, Ordering::AcqRel) - length;
        if left < NEAR {
            self.of.waits.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn has_room(ahead: &Ahead) -> bool {
        ahead
            .poll_room(&Context::from_waker(Waker::noop()))
            .is_ready()
    }

    fn part() -> Bytes {
        Bytes::from(vec![0; NEAR])
    }

    #[test]
    fn answers_that_nobody_reads_wait_where_there_are_many_and_go_on_when_they_are_read() {
        let all = Everybody::default();
        let first = Ahead::new(all.clone());
        let mut parts = Vec::new();
        while has_room(&first) {
            parts.push(first.hand_over(part(), None));
        }
        assert_eq!(parts.len(), ALL / NEAR);
        let second = Ahead::new(all.clone());
        assert!(has_room(&second), "each has some");
        let one = second.hand_over(part(), None);
        assert!(!has_room(&second));
        let cut = one.slice(..7);
        drop(one);
        assert!(!has_room(&second), "a part of it is there");
        drop(cut);
        assert!(has_room(&second));
        drop(parts);
        assert_eq!(all.0.load(Ordering::Relaxed), 0);
    }
}
