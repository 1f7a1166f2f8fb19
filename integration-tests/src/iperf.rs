//! iperf3 as a source of traffic: its server, and runs of its client.

use crate::{Netns, Process, eventually};

/// A server on the port that clients ask by themselves; it listens.
#[must_use]
pub fn serve(namespace: &Netns) -> Process {
    let server = namespace.spawn("iperf3 -s");
    eventually("iperf3 listens", || {
        namespace
            .run("ss -Hltn sport = 5201")
            .contains("5201")
            .then_some(())
    });
    server
}

/// A client with these arguments, to its end. The server may still be busy with the end
/// of the run before, of which its client does not wait.
///
/// # Panics
///
/// When it fails for another reason.
pub fn run(namespace: &Netns, arguments: &str) {
    eventually("the server of iperf3 is free", || {
        let (ok, out) = namespace.try_run(&format!("iperf3 {arguments}"));
        let busy = out.contains("the server is busy");
        assert!(ok || busy, "iperf3 {arguments}: {out}");
        ok.then_some(())
    });
}
