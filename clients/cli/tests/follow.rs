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

/// Starts a command that goes on, and gives what it shows and tells.
fn started(daemon: &Daemon, line: &str) -> (Follower, Gathered, Gathered) {
    let mut child = Command::new(SEXTANT)
        .args(daemon.arguments(line))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let shown = Gathered::of(child.stdout.take().expect("piped"));
    let told = Gathered::of(child.stderr.take().expect("piped"));
    (Follower(child), shown, told)
}

#[test]
fn what_goes_on_survives_its_server_and_says_what_it_missed() {
    let Some(mut daemon) = Daemon::start(&data("flows.jsonl")) else {
        return;
    };
    let lines = [
        ("status --watch", "State ", "no states of that time"),
        ("stats --follow", "TOTAL", "no summaries of that time"),
        ("watch peers", "PEER_ADDED", "come anew"),
    ];
    let running = lines.map(|(line, sign, missed)| {
        let (process, shown, told) = started(&daemon, line);
        shown.wait_for(sign);
        (process, shown, told, sign, missed)
    });
    daemon.kill();
    for (_, _, told, ..) in &running {
        told.wait_for("lost unix://");
        assert_eq!(told.count("--help"), 0, "it is no usage error");
    }
    let before = running
        .each_ref()
        .map(|(_, shown, _, sign, _)| shown.count(sign));
    daemon.start_again(&data("flows.jsonl"));
    for ((_, shown, told, sign, missed), before) in running.iter().zip(before) {
        told.wait_for(missed);
        told.wait_for("it was started anew");
        eventually(sign, || (shown.count(sign) > before).then_some(()));
        assert_eq!(told.count("lost unix://"), 1);
    }
}

#[test]
fn a_server_that_was_never_there_is_no_answer() {
    for line in ["status --watch", "status"] {
        let mut arguments: Vec<String> = line.split(' ').map(String::from).collect();
        arguments.extend(["--server".into(), "unix:///nowhere/s".into()]);
        let ended = run(Path::new(SEXTANT), &arguments);
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    }
}
