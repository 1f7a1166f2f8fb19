//! What an input may cost: an input that takes long is a finding, as a crash is.

use std::time::{Duration, Instant};

/// What an input of 4 KiB may take in a release build.
const TIME: Duration = Duration::from_millis(10);
/// How much slower a build with sanitizer and coverage is.
const SLOWER: u32 = 5;
/// Another process may have had the core: the fastest of so many counts.
const TRIES: usize = 4;

/// Runs what handles an input.
///
/// # Panics
/// When it takes too long each time.
pub fn bounded(mut run: impl FnMut()) {
    let mut least = Duration::MAX;
    for _ in 0..TRIES {
        let begin = Instant::now();
        run();
        least = least.min(begin.elapsed());
        if least <= TIME * SLOWER {
            return;
        }
    }
    panic!("takes {least:?}");
}
