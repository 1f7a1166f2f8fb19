//! Measures the CPU that the daemon and its programs take, and its memory.
//!
//! The run time of programs is measured for a tenth of a second now and then,
//! since the kernel's measuring costs time itself; between, it is what passed
//! times what a packet cost.

use std::time::{Duration, Instant};

use procfs::{WithCurrentSystemInfo as _, process::Process};

use super::Datapath;

/// How long programs are measured.
const WINDOW: Duration = Duration::from_millis(100);
/// Looks between two measurements.
const EVERY: u32 = 10;
/// Of the shares of CPU that are told, so much is the last second's.
const FRESH: f64 = 0.5;

/// What is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// CPU time of the daemon since its start.
    pub cpu_time: Duration,
    /// Its share of one CPU lately.
    pub daemon_cpu: f64,
    /// Share of one CPU that the programs took lately, estimated.
    pub datapath_cpu: f64,
    /// Nanoseconds a packet, in all programs, as last measured; 0 if never.
    pub ns_per_packet: f64,
    /// Resident memory of the daemon in bytes, without the kernel's flow tables that
    /// are mapped into it.
    pub resident_bytes: u64,
}

/// Looks again and again.
pub(super) struct Meter {
    datapath: Option<Datapath>,
    /// Bytes of maps in the daemon's own memory.
    mapped: u64,
    last: Instant,
    packets: u64,
    looks: u32,
    load: Load,
}

impl Meter {
    pub(super) fn new(datapath: Option<Datapath>) -> Self {
        let mut meter = Self {
            packets: 0,
            mapped: datapath
                .as_ref()
                .map_or(0, |datapath| datapath.objects.mapped_bytes()),
            datapath,
            last: Instant::now(),
            looks: 0,
            load: Load::default(),
        };
        meter.packets = meter.seen();
        if let Some((cpu_time, resident_bytes)) = process() {
            meter.load.cpu_time = cpu_time;
            meter.load.resident_bytes = resident_bytes.saturating_sub(meter.mapped);
        }
        meter
    }

    /// The load since the last look.
    pub(super) async fn look(&mut self) -> Load {
        // The first look measures, so that a cost is known soon.
        if self.looks.is_multiple_of(EVERY)
            && let Some(measured) = self.measure().await
        {
            self.load.ns_per_packet = measured;
        }
        self.looks = self.looks.wrapping_add(1);
        let passed = self.last.elapsed().as_secs_f64().max(1e-3);
        self.last = Instant::now();
        let packets = self.seen();
        let rate = packets.saturating_sub(self.packets) as f64 / passed;
        self.packets = packets;
        let datapath_cpu = rate * self.load.ns_per_packet / 1e9;
        self.load.datapath_cpu = smooth(self.load.datapath_cpu, datapath_cpu);
        if let Some((cpu_time, resident_bytes)) = process() {
            let used = cpu_time.saturating_sub(self.load.cpu_time).as_secs_f64();
            self.load.daemon_cpu = smooth(self.load.daemon_cpu, used / passed);
            self.load.cpu_time = cpu_time;
            self.load.resident_bytes = resident_bytes.saturating_sub(self.mapped);
        }
        self.load
    }

    fn seen(&self) -> u64 {
        self.datapath
            .as_ref()
            .map_or(0, |datapath| datapath.counters.seen().packets)
    }

    /// Nanoseconds of all programs for a packet; `None` when none passed.
    async fn measure(&self) -> Option<f64> {
        let datapath = self.datapath.as_ref()?;
        let sum = || -> (u64, u64) {
            let programs = datapath.objects.programs();
            let ns = programs.iter().map(|program| program.run_ns).sum();
            (ns, datapath.counters.seen().packets)
        };
        let measuring = datapath.objects.measure();
        if let Err(error) = &measuring {
            tracing::debug!(%error, "run time of programs not measured");
        }
        let (ns_before, packets_before) = sum();
        tokio::time::sleep(WINDOW).await;
        let (ns_after, packets_after) = sum();
        drop(measuring);
        let packets = packets_after.saturating_sub(packets_before);
        let ns = ns_after.saturating_sub(ns_before);
        (packets > 0 && ns > 0).then(|| ns as f64 / packets as f64)
    }
}

fn smooth(before: f64, now: f64) -> f64 {
    before * (1.0 - FRESH) + now * FRESH
}

/// CPU time and resident bytes of this process.
fn process() -> Option<(Duration, u64)> {
    let stat = Process::myself().and_then(|own| own.stat()).ok()?;
    let seconds = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
    let resident = stat.rss_bytes().get();
    Some((Duration::from_secs_f64(seconds), resident))
}
