//! What became of the stored flows. The one writer counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use sextant_proto::flow::Verdict;

/// Counters.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    forwarded: AtomicU64,
    dropped: AtomicU64,
    error: AtomicU64,
}

/// Their values at one moment; other verdicts are in none of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerdictCounts {
    /// Forwarded or redirected.
    pub forwarded: u64,
    /// Dropped.
    pub dropped: u64,
    /// In error.
    pub error: u64,
}

impl Verdicts {
    pub(super) fn count(&self, verdict: i32) {
        let counter = match Verdict::try_from(verdict) {
            Ok(Verdict::Forwarded | Verdict::Redirected) => &self.forwarded,
            Ok(Verdict::Dropped) => &self.dropped,
            Ok(Verdict::Error) => &self.error,
            _ => return,
        };
        // One writer: no other adds between the two.
        counter.store(counter.load(Relaxed) + 1, Relaxed);
    }

    pub(super) fn values(&self) -> VerdictCounts {
        VerdictCounts {
            forwarded: self.forwarded.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            error: self.error.load(Relaxed),
        }
    }
}
