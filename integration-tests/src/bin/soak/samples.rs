//! What was seen of the daemon, and what must hold of it.

use std::time::{Duration, Instant};

use sextant_integration_tests::Daemon;
use sextant_proto::sextant::status::v1::Status;

/// Memory that may be gained from the second to the last quarter, beside a tenth.
const GROWTH_BYTES: u64 = 8 << 20;

/// Descriptors that may be gained: those of namespaces that are there just now.
const GROWTH_FDS: u64 = 32;

/// In which half of the questions are answered, whatever hostile clients do.
const ANSWER: Duration = Duration::from_secs(1);

/// The daemon's status.
pub(crate) fn status(daemon: &Daemon) -> Status {
    daemon.own_status().expect("the daemon answers")
}

/// One line of figures a second.
pub(crate) struct Samples {
    pid: u32,
    since: Instant,
    resident_bytes: Vec<u64>,
    fds: Vec<u64>,
    answers: Vec<Duration>,
}

impl Samples {
    pub(crate) fn new(pid: u32) -> Self {
        println!(
            "minute  RSS MiB  fds  links  streams       packets  events stored       lost  ring  left out  CPU %"
        );
        Self {
            pid,
            since: Instant::now(),
            resident_bytes: Vec::new(),
            fds: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// Looks once; prints a line each minute.
    pub(crate) fn take(&mut self, daemon: &Daemon) {
        let minute = self.since.elapsed().as_secs() / 60;
        let begin = Instant::now();
        let status = status(daemon);
        self.answers.push(begin.elapsed());
        let cost = status.cost.as_ref().unwrap();
        self.resident_bytes.push(cost.resident_bytes);
        let fds = std::fs::read_dir(format!("/proc/{}/fd", self.pid)).unwrap();
        self.fds.push(fds.count() as u64);
        if self.resident_bytes.len().is_multiple_of(60) {
            println!("{minute:>6}  {}", self.line(&status));
        }
    }

    /// The last line, and what got lost.
    pub(crate) fn print(&self, status: &Status) {
        println!("   end  {}", self.line(status));
        let events = status.ledger.as_ref().unwrap().events.as_ref().unwrap();
        for loss in events.lost.iter().filter(|loss| loss.events > 0) {
            println!("lost: {} at {}: {}", loss.events, loss.place, loss.cause);
        }
        println!("{:#?}", status.ledger.as_ref().unwrap().delivery);
    }

    fn line(&self, status: &Status) -> String {
        let ledger = status.ledger.as_ref().unwrap();
        let (packets, events) = (
            ledger.packets.as_ref().unwrap(),
            ledger.events.as_ref().unwrap(),
        );
        let sum = |intended: bool, ring: bool| -> u64 {
            let lost = events.lost.iter().filter(|loss| {
                loss.intended == intended && (intended || is_ring(&loss.place) == ring)
            });
            lost.map(|loss| loss.events).sum()
        };
        format!(
            "{:>7}  {:>3}  {:>5}  {:>7}  {:>12}  {:>13}  {:>9}  {:>4}  {:>8}  {:>5.1}",
            self.resident_bytes.last().unwrap_or(&0) >> 20,
            self.fds.last().unwrap_or(&0),
            status.attachments.len(),
            status.streams.as_ref().unwrap().open,
            packets.seen.as_ref().unwrap().packets,
            events.stored,
            sum(false, false),
            sum(false, true),
            sum(true, false),
            status.cost.as_ref().unwrap().daemon_cpu * 100.0,
        )
    }

    /// The last quarter is about as the second.
    pub(crate) fn check_flat(&self) {
        let (before, after) = quarters(&self.resident_bytes);
        println!("RSS: median {before} B in the second quarter, {after} B in the last");
        assert!(after <= before + before / 10 + GROWTH_BYTES, "memory grew");
        let (before, after) = quarters(&self.fds);
        println!("descriptors: median {before} in the second quarter, {after} in the last");
        assert!(after <= before + GROWTH_FDS, "descriptors grew");
    }

    /// Others were answered while hostile clients did what they do.
    pub(crate) fn check_answers(&self) {
        let mut answers = self.answers.clone();
        answers.sort_unstable();
        let (median, worst) = (answers[answers.len() / 2], answers[answers.len() - 1]);
        println!("answers: median {median:?}, worst {worst:?}");
        assert!(median < ANSWER, "others had to wait");
    }
}

/// Hostile clients met the limits, and these hold nothing any more.
pub(crate) fn check_refused(status: &Status) {
    let streams = status.streams.as_ref().unwrap();
    println!("refused: {:?}", streams.refused);
    for cause in ["streams_of_peer", "message_timeout"] {
        let refused = streams
            .refused
            .iter()
            .find(|refused| refused.cause == cause);
        assert!(refused.is_some_and(|refused| refused.calls > 0), "{cause}");
    }
}

/// Events may be lost only where a ring was full.
pub(crate) fn check_losses(status: &Status) {
    let events = status.ledger.as_ref().unwrap().events.as_ref().unwrap();
    for loss in &events.lost {
        let allowed = loss.events == 0 || loss.intended || is_ring(&loss.place);
        assert!(allowed, "lost without a full ring: {loss:?}");
    }
}

fn is_ring(place: &str) -> bool {
    place.ends_with("_ring")
}

/// Medians of the second and of the last quarter.
fn quarters(samples: &[u64]) -> (u64, u64) {
    let quarter = samples.len() / 4;
    let median = |part: &[u64]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part[part.len() / 2]
    };
    (
        median(&samples[quarter..2 * quarter]),
        median(&samples[3 * quarter..]),
    )
}
