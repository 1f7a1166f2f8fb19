//! What the command line prints, byte for byte, beside files that were looked at.
//! `UPDATE_GOLDEN=1 cargo test -p sextant --test golden` writes the files anew.
//!
//! What needs no server is never skipped; the rest needs `sextantd`.

#[path = "golden/cases.rs"]
mod cases;
mod common;
#[path = "golden/hide.rs"]
mod hide;

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use cases::{Cases, EVENTS, FILE, NOWHERE, RECENT, SERVER, SOCKET, TCP};
use common::{Daemon, SEXTANT, data, eventually, run};

/// Rewrites the files if it is `1`.
const UPDATE: &str = "UPDATE_GOLDEN";

fn golden(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/golden").join(format!("{name}.txt"))
}

/// The command, what it wrote and how it ended. ESC is made visible, so that the
/// files are text.
fn render(line: &str, output: &Output) -> String {
    let mut text = format!("$ sextant {line}\n");
    text += &String::from_utf8_lossy(&output.stdout);
    if !output.stderr.is_empty() {
        text += "--- stderr\n";
        text += &String::from_utf8_lossy(&output.stderr);
    }
    match output.status.code() {
        Some(0) => {}
        Some(code) => text += &format!("--- exit code {code}\n"),
        None => text += "--- killed\n",
    }
    text.replace('\x1b', "␛")
}

/// The first line that differs.
fn difference(name: &str, expected: &str, found: &str) -> Option<String> {
    if expected == found {
        return None;
    }
    let (mut left, mut right) = (expected.lines(), found.lines());
    for number in 1.. {
        let (expected, found) = (left.next(), right.next());
        if expected == found && expected.is_some() {
            continue;
        }
        let of = |line: Option<&str>| line.map_or("(end)".into(), |line| format!("{line:?}"));
        return Some(format!(
            "{name}.txt, line {number}:\n  expected {}\n  found    {}",
            of(expected),
            of(found)
        ));
    }
    None
}

fn check(name: &str, found: &str) -> Option<String> {
    let path = golden(name);
    if env::var(UPDATE).as_deref() == Ok("1") {
        fs::write(&path, found).expect("the folder of golden files can be written");
        return None;
    }
    match fs::read_to_string(&path) {
        Ok(expected) => difference(name, &expected, found),
        Err(error) => Some(format!("{}: {error}", path.display())),
    }
}

/// Runs the cases, at this address of a server if there is one, and tells all that
/// differ.
fn check_all(cases: Cases, server: Option<(&Daemon, &str)>) {
    let mut different = Vec::new();
    for (name, line) in cases {
        let mut arguments: Vec<String> = line.split_whitespace().map(Into::into).collect();
        if let Some((_, address)) = server {
            arguments.extend(["--server".into(), address.into()]);
        }
        let mut found = render(line, &run(Path::new(SEXTANT), &arguments));
        if let Some((daemon, _)) = server {
            found = found.replace(&daemon.folder.path().display().to_string(), "<folder>");
            found = found.replace(&tcp(daemon), "127.0.0.1:<port>");
        }
        for part in hide::hidden(name) {
            found = part.apply(&found);
        }
        different.extend(check(name, &found));
    }
    assert!(
        different.is_empty(),
        "{}\nif this is meant: {UPDATE}=1 cargo test -p sextant --test golden, and look at the diff",
        different.join("\n")
    );
}

/// The TCP address, as the server's log tells it: a moment after it answers.
fn tcp(daemon: &Daemon) -> String {
    eventually("the address in the log", || {
        let log = daemon.log();
        // What is written by halves has no end of a line yet.
        let (whole, _) = log.rsplit_once('\n')?;
        let mut words = whole.split_whitespace();
        let address = words.find_map(|word| word.strip_prefix("server=127."))?;
        Some(format!("127.{address}"))
    })
}

/// The flows of the test, moved to just now, which is where summaries look.
fn recent(folder: &Path) -> PathBuf {
    let now = jiff::Timestamp::now().to_string();
    let text = fs::read_to_string(data("flows.jsonl")).expect("the flows of the test");
    let mut moved = String::new();
    for line in text.lines() {
        let mut event: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        event["time"] = now.clone().into();
        if let Some(flow) = event.get_mut("flow") {
            flow["time"] = now.clone().into();
        }
        moved += &format!("{event}\n");
    }
    let path = folder.join("recent.jsonl");
    fs::write(&path, moved).expect("a temporary file");
    path
}

#[test]
fn files_print_as_the_golden_ones() {
    check_all(FILE, None);
}

#[test]
fn mistakes_print_as_the_golden_ones() {
    check_all(NOWHERE, None);
}

#[test]
fn a_server_with_flows_prints_as_the_golden_ones() {
    if let Some(daemon) = Daemon::start(&data("flows.jsonl")) {
        check_all(SERVER, Some((&daemon, &daemon.server())));
    }
}

#[test]
fn a_server_with_recent_flows_prints_as_the_golden_ones() {
    let folder = tempfile::tempdir().unwrap();
    if let Some(daemon) = Daemon::start(&recent(folder.path())) {
        check_all(RECENT, Some((&daemon, &daemon.server())));
    }
}

#[test]
fn a_server_with_events_prints_as_the_golden_ones() {
    if let Some(daemon) = Daemon::start(&data("events.jsonl")) {
        check_all(EVENTS, Some((&daemon, &daemon.server())));
    }
}

#[test]
fn writing_is_taken_and_refused_as_the_golden_ones_say() {
    if let Some(daemon) = Daemon::start(&data("flows.jsonl")) {
        check_all(TCP, Some((&daemon, &tcp(&daemon))));
        check_all(SOCKET, Some((&daemon, &daemon.server())));
    }
}

#[test]
fn long_flows_go_in_messages_that_the_server_takes() {
    let Some(daemon) = Daemon::start(&data("flows.jsonl")) else {
        return;
    };
    let label = "x".repeat(200);
    let labels = serde_json::json!({"source": {"labels": vec![label; 200]}});
    let file = daemon.folder.path().join("long.jsonl");
    fs::write(&file, format!("{labels}\n").repeat(300)).expect("a temporary file");
    let arguments = daemon.arguments(&format!("record -f {}", file.display()));
    let found = render("record", &run(Path::new(SEXTANT), &arguments));
    assert!(found.contains("300 flows recorded, 0 refused"), "{found}");
}

#[test]
fn a_refused_call_ends_though_standard_input_goes_on() {
    let Some(daemon) = Daemon::start(&data("flows.jsonl")) else {
        return;
    };
    let mut child = Command::new(SEXTANT)
        .args(["record", "-f", "-", "--server", &tcp(&daemon)])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let input = child.stdin.take();
    eventually("its end, while its input is open", || {
        child.try_wait().expect("a child can be asked")
    });
    drop(input);
    let found = render("record", &child.wait_with_output().expect("it has ended"));
    assert!(found.contains("PermissionDenied"), "{found}");
}

#[test]
fn every_golden_file_has_a_case_of_its_own() {
    let all = [FILE, NOWHERE, EVENTS, SERVER, RECENT, TCP, SOCKET].concat();
    let named: BTreeSet<String> = all.iter().map(|(name, _)| format!("{name}.txt")).collect();
    assert_eq!(named.len(), all.len(), "two cases have one name");
    let found: BTreeSet<String> = fs::read_dir(golden("x").parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".txt"))
        .collect();
    let stray: Vec<&String> = found.difference(&named).collect();
    assert!(stray.is_empty(), "nobody prints {stray:?}: delete them");
}

#[test]
fn the_first_difference_is_told() {
    assert_eq!(difference("x", "a\nb\n", "a\nb\n"), None);
    let told = difference("x", "a\nb\n", "a\nc\n").unwrap();
    assert!(
        told.contains("x.txt, line 2") && told.contains("\"c\""),
        "{told}"
    );
    assert!(difference("x", "a\n", "a\nb\n").unwrap().contains("(end)"));
    assert!(difference("x", "a\n", "a").is_some());
}
