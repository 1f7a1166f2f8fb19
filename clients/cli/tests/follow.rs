//! `sextant observe --follow` over the death of its server. Skipped, with the reason, where
//! `sextantd` is not built.

mod common;

use std::{
    io::{BufRead as _, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use common::{Daemon, SEXTANT, data, eventually, run};

/// Lines of a stream, as they come.
#[derive(Clone, Default)]
struct Gathered(Arc<Mutex<Vec<String>>>);

impl Gathered {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let gathered = Self::default();
        let lines = gathered.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                lines.0.lock().expect("no test panics with it").push(line);
            }
        });
        gathered
    }

    fn count(&self, text: &str) -> usize {
        let lines = self.0.lock().expect("no reader panics");
        lines.iter().filter(|line| line.contains(text)).count()
    }

    fn wait_for(&self, text: &str) {
        eventually(text, || (self.count(text) > 0).then_some(()));
    }
}

/// Ends with the value.
struct Follower(Child);

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Hands in a flow of now with this uuid.
fn record(daemon: &Daemon, uuid: &str) {
    let file = daemon.folder.path().join("now.jsonl");
    let now = jiff::Timestamp::now();
    let line = format!("{{\"uuid\":\"{uuid}\",\"time\":\"{now}\",\"verdict\":\"FORWARDED\"}}\n");
    std::fs::write(&file, line).expect("a temporary file");
    let arguments = daemon.arguments(&format!("record -f {}", file.display()));
    let recorded = run(Path::new(SEXTANT), &arguments);
    assert!(recorded.status.success(), "{recorded:?}");
}

#[test]
fn following_goes_on_with_a_server_that_was_killed_and_says_what_was_missed() {
    let Some(mut daemon) = Daemon::start(&data("flows.jsonl")) else {
        return;
    };
    let mut child = Command::new(SEXTANT)
        .args(daemon.arguments("observe --follow -o json --last 1"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let shown = Gathered::of(child.stdout.take().unwrap());
    let told = Gathered::of(child.stderr.take().unwrap());
    let _follower = Follower(child);
    shown.wait_for("\"flow\"");
    record(&daemon, "before");
    shown.wait_for("\"before\"");
    daemon.kill();
    told.wait_for("lost unix://");
    daemon.start_again(&data("flows.jsonl"));
    told.wait_for("it was started anew");
    record(&daemon, "after");
    shown.wait_for("\"after\"");
    assert_eq!(shown.count("\"before\""), 1);
    assert_eq!(shown.count("\"after\""), 1);
    assert_eq!(told.count("lost unix://"), 1);
}

#[test]
fn a_server_that_is_killed_is_no_usage_error() {
    let Some(mut daemon) = Daemon::start(&data("flows.jsonl")) else {
        return;
    };
    let child = Command::new(SEXTANT)
        .args(daemon.arguments("status --watch"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut follower = Follower(child);
    let shown = Gathered::of(follower.0.stdout.take().unwrap());
    let told = Gathered::of(follower.0.stderr.take().unwrap());
    shown.wait_for("State ");
    daemon.kill();
    told.wait_for("still running?");
    assert_eq!(told.count("--help"), 0);
    let ended = eventually("its end", || follower.0.try_wait().unwrap());
    assert_eq!(ended.code(), Some(2), "no answer");
}
