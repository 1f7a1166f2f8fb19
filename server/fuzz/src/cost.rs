//! What an input may cost: one that takes long, or much memory, is a finding, as a
//! crash is.
//!
//! Time is that of this process on a processor, so that neighbours on a busy
//! machine are little of it; memory is what was allocated at one time, beside what
//! was there before.

use std::{collections::BTreeMap, fmt, hint::black_box, time::Duration};

use nix::time::{ClockId, clock_gettime};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// What an input may allocate.
const MOST_BYTES: usize = 10 << 20;
/// How often `reference` may be done meanwhile: 25 ms of a release build on a machine at
/// rest. The dearest filters known take 77 of them there, in 10 ms; a sanitizer makes
/// some work twice as dear as that.
const MOST_REFERENCES: u32 = 200;
/// What is made once, and a neighbour's use of the memory bus, is no cost of an
/// input: the least of so many counts.
const TRIES: usize = 4;

/// What something took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    time: Duration,
    bytes: usize,
}

impl Cost {
    /// Does something.
    pub fn of<T>(run: impl FnOnce() -> T) -> (T, Self) {
        let (before, begin) = (ALLOCATED.current_usage(), processor_time());
        ALLOCATED.reset_peak_usage();
        let result = run();
        let cost = Self {
            time: processor_time().saturating_sub(begin),
            bytes: ALLOCATED.peak_usage().saturating_sub(before),
        };
        (result, cost)
    }

    /// The larger of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            time: self.time.max(other.time),
            bytes: self.bytes.max(other.bytes),
        }
    }

    fn min(self, other: Self) -> Self {
        Self {
            time: self.time.min(other.time),
            bytes: self.bytes.min(other.bytes),
        }
    }

    /// A build to fuzz is slower than a release build, by what depends on the sanitizer, and
    /// so is a machine that is shared: the bound is what work of a known size takes now.
    fn is_too_much(self) -> bool {
        let is_cheap = self.time <= Duration::from_millis(10);
        self.bytes > MOST_BYTES || !is_cheap && self.time > reference() * MOST_REFERENCES
    }
}

/// What it takes to make a thousand texts and to sort them.
fn reference() -> Duration {
    let work = || {
        let begin = processor_time();
        let numbers = (0..1000_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let texts: BTreeMap<_, _> = numbers.map(|n| (format!("{n:x}"), n)).collect();
        black_box(&texts);
        processor_time().saturating_sub(begin)
    };
    (0..TRIES).map(|_| work()).min().unwrap_or_default()
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} and {} bytes", self.time, self.bytes)
    }
}

/// Runs what handles an input, and is done with it anew each time.
///
/// # Panics
/// When it takes too much each time.
pub fn bounded<T>(what: &str, mut run: impl FnMut() -> T) -> T {
    let (mut result, mut least) = Cost::of(&mut run);
    for _ in 1..TRIES {
        if !least.is_too_much() {
            break;
        }
        let cost;
        (result, cost) = Cost::of(&mut run);
        least = least.min(cost);
    }
    check(what, least);
    result
}

/// As `bounded`, where the dearest part is told by what is run.
///
/// # Panics
/// When it takes too much each time.
pub fn bounded_parts(what: &str, mut run: impl FnMut() -> Cost) {
    let mut least = run();
    for _ in 1..TRIES {
        if !least.is_too_much() {
            break;
        }
        least = least.min(run());
    }
    check(what, least);
}

fn check(what: &str, least: Cost) {
    if !least.is_too_much() {
        return;
    }
    let most = reference() * MOST_REFERENCES;
    panic!("{what} takes {least}; {most:?} and {MOST_BYTES} bytes are the most here and now");
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID);
    time.map(Duration::from).unwrap_or_default()
}
