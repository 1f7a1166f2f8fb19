//! Compares what the daemon tells with the truth, until they are equal.

use std::time::{Duration, Instant};

use crate::{
    Daemon, Netns,
    capture::Capture,
    netns::quiet,
    totals::{self, Totals},
};

/// Flows end a little after their last packet.
const DEADLINE: Duration = Duration::from_secs(12);

/// Where is captured: a namespace and an interface in it.
pub type Place<'a> = (&'a Netns, &'a str);

/// Runs `traffic` under a capture and waits until the daemon tells the same;
/// returns it. What the kernel sends of itself is left out.
///
/// # Panics
///
/// When they differ; the differences are printed.
pub fn equal(daemon: &Daemon, place: Place<'_>, traffic: impl FnOnce()) -> Totals {
    let mut capture = Capture::start(place.0, place.1);
    traffic();
    quiet(place.0, place.1);
    let mut truth = capture.totals();
    truth.retain(|direction, _| direction.is_ours());
    assert!(!truth.is_empty(), "the capture saw nothing");
    until_equal(&truth, || {
        let mut seen = totals::ended(&daemon.flows());
        seen.retain(|direction, _| direction.is_ours());
        seen
    });
    truth
}

/// Asks until the answer is the truth.
///
/// # Panics
///
/// When it never is.
pub fn until_equal(truth: &Totals, mut ask: impl FnMut() -> Totals) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let seen = ask();
        if seen == *truth {
            return;
        }
        if Instant::now() > deadline {
            for key in truth.keys().chain(seen.keys()) {
                let (wire, told) = (truth.get(key), seen.get(key));
                if wire != told {
                    println!("{key:?}: wire {wire:?}, daemon {told:?}");
                }
            }
            panic!("the daemon and the wire differ");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
