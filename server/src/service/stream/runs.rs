//! Encoded runs of events, shared by the streams that follow with one mask.
//!
//! A stream that follows takes what another one has encoded from the place
//! where it stands. Those that keep up are woken by the same batch and stand at
//! the same place, so that each flow is encoded about once, whatever the number
//! of subscribers. Bound: `KEPT` runs of at most `ROOMY` bytes, for all streams
//! together.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use super::chunks::ROOMY;
use crate::mask::Mask;

/// Runs that are kept.
const KEPT: usize = 16;

/// The cache; clones share it.
#[derive(Clone, Debug, Default)]
pub(in crate::service) struct Runs(Arc<Mutex<VecDeque<EncodedRun>>>);

/// Events `from` to before `to`, as they go on the wire.
#[derive(Clone, Debug)]
pub(in crate::service) struct EncodedRun {
    pub(in crate::service) mask: Option<Arc<Mask>>,
    /// Sequence number of the first event.
    pub(in crate::service) from: u64,
    /// That after the last one.
    pub(in crate::service) to: u64,
    /// How many of them are in `bytes`.
    pub(in crate::service) delivered: u64,
    /// gRPC messages, one behind the other.
    pub(in crate::service) bytes: Bytes,
}

impl Runs {
    /// A run that begins at `from`, masked so.
    pub(in crate::service) fn find(&self, mask: Option<&Mask>, from: u64) -> Option<EncodedRun> {
        let runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut latest_first = runs.iter().rev();
        let found = latest_first.find(|run| run.from == from && run.mask.as_deref() == mask);
        found.cloned()
    }

    /// Keeps a run for the others, unless it has a huge response.
    pub(in crate::service) fn keep(&self, run: EncodedRun) {
        if run.bytes.len() > ROOMY {
            return;
        }
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = if runs.len() == KEPT {
            runs.pop_front()
        } else {
            None
        };
        runs.push_back(run);
        drop(runs);
        // Its buffer goes back to a stream, without the lock.
        drop(oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(mask: Option<Mask>, from: u64) -> EncodedRun {
        EncodedRun {
            mask: mask.map(Arc::new),
            from,
            to: from + 1,
            delivered: 1,
            bytes: Bytes::from_static(b"x"),
        }
    }

    fn mask(path: &str) -> Mask {
        Mask::compile(&[path.into()]).unwrap().unwrap()
    }

    #[test]
    fn a_run_is_found_by_its_begin_and_an_equal_mask() {
        let runs = Runs::default();
        runs.keep(run(Some(mask("uuid")), 7));
        assert!(runs.find(Some(&mask("uuid")), 7).is_some());
        assert!(runs.find(Some(&mask("time")), 7).is_none());
        assert!(runs.find(None, 7).is_none());
        assert!(runs.find(Some(&mask("uuid")), 8).is_none());
    }

    #[test]
    fn a_run_with_a_huge_response_is_not_kept() {
        let runs = Runs::default();
        runs.keep(EncodedRun {
            bytes: vec![0; ROOMY + 1].into(),
            ..run(None, 7)
        });
        assert!(runs.find(None, 7).is_none());
    }

    #[test]
    fn only_the_latest_are_kept() {
        let runs = Runs::default();
        (0..100).for_each(|from| runs.keep(run(None, from)));
        let kept = (0..100).filter(|from| runs.find(None, *from).is_some());
        assert_eq!(kept.collect::<Vec<_>>(), (84..100).collect::<Vec<_>>());
    }
}
