//! What a start says: mistakes, what is off without which right, and what needs none.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::process::Command;

use sextant_integration_tests::{daemon::binary, eventually, netns::Process, root};

/// Runs the daemon to its end; whether it succeeded, and what it said.
fn said(arguments: &[&str], unprivileged: bool) -> (bool, String) {
    let mut command = if unprivileged {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(binary());
        command
    } else {
        Command::new(binary())
    };
    let output = command.args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[test]
fn mistakes_are_refused_with_what_to_do() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    Command::new("chmod")
        .arg("755")
        .arg(folder.path())
        .status()
        .unwrap();
    let state = folder.path().join("state").display().to_string();
    let socket = format!("unix://{}", folder.path().join("socket").display());
    let base = [
        "--metrics-listen",
        "off",
        "--state-dir",
        &state,
        "--listen",
        &socket,
    ];
    let with = |more: &[&'static str]| -> Vec<String> {
        base.iter()
            .copied()
            .chain(more.iter().copied())
            .map(str::to_owned)
            .collect()
    };
    let check = |arguments: Vec<String>, unprivileged: bool, wanted: &[&str]| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (ok, text) = said(&arguments, unprivileged);
        assert!(!ok, "{text}");
        for part in wanted {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    };
    check(
        with(&["--interface", "nothere0"]),
        false,
        &["no interface is named `nothere0`", "ip link"],
    );
    check(
        with(&["--flow-capacity", "0", "--interface", "["]),
        false,
        &["flow-capacity", "--interface"],
    );
    let unprivileged = vec![
        "--metrics-listen",
        "off",
        "--state-dir",
        "/tmp/none",
        "--listen",
        "tcp://127.0.0.1:0",
        "--interface",
        "lo",
    ];
    check(
        unprivileged.into_iter().map(str::to_owned).collect(),
        true,
        &["CAP_BPF", "--no-datapath"],
    );
    let file = folder.path().join("bad.toml");
    std::fs::write(&file, "flow_capacty = 1\n[server]\nmax_streams = \"x\"\n").unwrap();
    let (ok, text) = said(&["check", "--config", file.to_str().unwrap()], false);
    assert!(
        !ok && text.contains("bad.toml:1")
            && text.contains("flow_capacity")
            && text.contains("bad.toml:3"),
        "{text}"
    );
    let (ok, text) = said(&["probe"], false);
    assert!(
        ok && text.contains("programs   yes") && text.contains("tcx        yes"),
        "{text}"
    );
}

#[test]
fn what_each_part_needs_is_told_and_what_is_off_without_it() {
    if !root() {
        return;
    }
    let few = "-all,+bpf,+net_admin,+perfmon";
    let out = Command::new("setpriv")
        .args(["--bounding-set", few, "--inh-caps", few])
        .arg(sextant_integration_tests::daemon::binary())
        .arg("probe")
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{text}");
    for (part, found) in [
        ("programs", "yes"),
        ("names", "yes"),
        (
            "lookup",
            "no  a process that the kernel did not tell has no executable: sextantd lacks CAP_SYS_PTRACE",
        ),
        (
            "netns",
            "no  only the network namespace that sextantd runs in: sextantd lacks CAP_SYS_ADMIN",
        ),
    ] {
        assert!(
            text.contains(&format!("\n{part:<10} {found}")),
            "{part}: {text}"
        );
    }
    let needs = text
        .lines()
        .filter(|line| line.trim_start().starts_with("needs "));
    assert!(needs.count() >= 7, "{text}");
}

#[test]
fn replay_needs_no_rights() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    Command::new("chmod")
        .arg("777")
        .arg(folder.path())
        .status()
        .unwrap();
    let file = folder.path().join("flows.jsonl");
    let flow = r#"{"flow":{"time":"2026-01-02T03:04:05Z","verdict":"DROPPED","IP":{"source":"10.0.0.1","destination":"10.0.0.2","ipVersion":"IPv4"}}}"#;
    std::fs::write(&file, format!("{flow}\nnot json\n{flow}\n")).unwrap();
    let server = format!("unix://{}/s", folder.path().display());
    let child = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(binary())
        .args([
            "--no-datapath",
            "--metrics-listen",
            "off",
            "--listen",
            &server,
        ])
        .arg("--replay")
        .arg(&file)
        .arg("--state-dir")
        .arg(folder.path().join("state"))
        .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
        .spawn()
        .unwrap();
    let _process = Process(child);
    eventually("replayed flows are served", || {
        let output = sextant_integration_tests::hubble::run(&server, "observe --all");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (text.matches("10.0.0.1").count() == 2).then_some(())
    });
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("number") && log.contains("2"), "{log}");
}
