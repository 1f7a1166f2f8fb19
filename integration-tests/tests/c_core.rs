//! Clients of gRPC's C core (Python, C++, Ruby, PHP): the real `grpcio`, on both
//! kinds of sockets.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::path::PathBuf;

use serde_json::Value;
use sextant_integration_tests::{Daemon, Netns, root};

const CALLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/calls.py");
/// `HealthCheckResponse` that says SERVING.
const SERVING: &str = "0801";

/// The Python that has `grpcio`: `SEXTANT_PYTHON` or `target/python`.
fn python() -> PathBuf {
    let python = std::env::var_os("SEXTANT_PYTHON").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../target/python/bin/python"
            ))
        },
        PathBuf::from,
    );
    assert!(
        python.exists(),
        "{} is missing: run `make setup`",
        python.display()
    );
    python
}

/// What `calls.py` saw of a daemon at `target`; `SOCKET` is its unix socket.
fn calls(daemon: &Daemon, namespace: &Netns, target: &str) -> Value {
    let server = daemon.server();
    let socket = server.strip_prefix("unix://").unwrap();
    let target = target.replace("SOCKET", socket);
    let said = namespace.run(&format!("{} {CALLS} '{target}'", python().display()));
    serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"))
}

#[test]
fn the_unix_socket_is_open_to_them_for_reading_and_writing() {
    if !root() {
        return;
    }
    let namespace = Netns::new();
    let daemon = Daemon::start(&namespace, "", &["--no-datapath"]);
    for target in ["unix:SOCKET", "unix://SOCKET"] {
        let calls = calls(&daemon, &namespace, target);
        assert!(calls["status"].as_u64() > Some(0), "{calls}");
        assert_eq!(calls["health"], SERVING);
        // Two flows; who the kernel says they are from may write.
        assert_eq!(calls["recorded"], "0802");
        assert_eq!(calls["first"], 1);
    }
    assert_eq!(daemon.flows().len(), 4);
}

#[test]
fn plaintext_tcp_is_open_to_them_for_reading() {
    if !root() {
        return;
    }
    let namespace = Netns::new();
    let listen = [
        "--listen",
        "tcp://127.0.0.1:4245",
        "--listen",
        "tcp://[::1]:4245",
    ];
    let daemon = Daemon::start(&namespace, "", &[&["--no-datapath"][..], &listen].concat());
    for target in ["127.0.0.1:4245", "[::1]:4245"] {
        let calls = calls(&daemon, &namespace, target);
        assert!(calls["status"].as_u64() > Some(0), "{calls}");
        assert_eq!(calls["recorded"], "PERMISSION_DENIED");
        assert_eq!(calls["first"], 0);
    }
}
