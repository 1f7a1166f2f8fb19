//! Captures, pcap and pcapng, of any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sextant_fuzz::{bounded, check_events, replay};
use sextantd::replay::Format;

fuzz_target!(|input: &[u8]| {
    let (report, events) = bounded("reading", || replay(Format::Capture, input));
    if let Some(report) = report {
        assert_eq!(report.loaded, events.len() as u64);
        let by_cause: u64 = report.causes.values().sum();
        assert_eq!(report.rejected + report.skipped, by_cause);
    }
    check_events(events);
});
