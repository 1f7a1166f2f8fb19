//! The real clients: `hubble`, `hubble-relay`, `grpcurl`.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use crate::Process;

/// A tool that `make setup` built; `SEXTANT_TOOLS` or `.tools/bin`.
#[must_use]
pub fn tool(name: &str) -> PathBuf {
    let tool = tools().join(name);
    assert!(
        tool.exists(),
        "{} is missing: run `make setup`",
        tool.display()
    );
    tool
}

/// Where they are: `SEXTANT_TOOLS` or `.tools/bin`.
#[must_use]
pub fn tools() -> PathBuf {
    std::env::var_os("SEXTANT_TOOLS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.tools/bin")),
        PathBuf::from,
    )
}

/// Runs `hubble` against a server.
#[must_use]
pub fn run(server: &str, arguments: &str) -> Output {
    Command::new(tool("hubble"))
        .args(["--server", server])
        .args(arguments.split_whitespace())
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What `hubble` printed.
///
/// # Panics
///
/// When it failed.
#[must_use]
pub fn hubble(server: &str, arguments: &str) -> String {
    let output = run(server, arguments);
    assert!(
        output.status.success(),
        "hubble {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// How `hubble` failed: what it said.
///
/// # Panics
///
/// When it did not fail.
#[must_use]
pub fn failure(server: &str, arguments: &str) -> String {
    let output = run(server, arguments);
    assert!(!output.status.success(), "hubble {arguments} succeeded");
    String::from_utf8(output.stderr).unwrap()
}

/// Starts `hubble` with its output in a file.
#[must_use]
pub fn start(server: &str, arguments: &str, out: &std::path::Path) -> Process {
    let child = Command::new(tool("hubble"))
        .args(["--server", server])
        .args(arguments.split_whitespace())
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(out).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Process(child)
}
