//! Bytes on a connection of the daemon that are no HTTP/2, or nearly.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sextant_fuzz::{Daemon, bounded};

thread_local! {
    static DAEMON: Daemon = Daemon::default();
}

fuzz_target!(|bytes: &[u8]| {
    DAEMON.with(|daemon| bounded("a connection", || daemon.send(bytes)));
});
