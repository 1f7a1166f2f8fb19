//! How an attempt to write events went.

/// How an attempt went.
#[derive(Debug)]
pub(super) struct Written<E> {
    /// Events that are done with.
    pub(super) events: usize,
    /// Of these, those that were not wanted where they were sent.
    pub(super) refused: usize,
    /// Of what the others hold, such as the points of metrics, what was not wanted.
    pub(super) refused_parts: u64,
    /// Why no more.
    pub(super) result: Result<(), E>,
}

impl<E> Written<E> {
    /// All that there were.
    pub(super) fn all(events: usize) -> Self {
        Self {
            events,
            refused: 0,
            refused_parts: 0,
            result: Ok(()),
        }
    }

    /// All, of which so many were not wanted.
    pub(super) fn refused(events: usize, refused: usize) -> Self {
        Self {
            refused,
            ..Self::all(events)
        }
    }

    /// Some, and why no more.
    pub(super) fn failed(events: usize, error: E) -> Self {
        Self {
            result: Err(error),
            ..Self::all(events)
        }
    }

    pub(super) fn with<F: From<E>>(self) -> Written<F> {
        Written {
            events: self.events,
            refused: self.refused,
            refused_parts: self.refused_parts,
            result: self.result.map_err(F::from),
        }
    }
}
