//! Flows in files, against what the real `hubble` shows and reads.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use sextant_integration_tests::{
    Daemon, Netns,
    daemon::QUICK,
    eventually,
    hubble::{hubble, tool},
    netns::quiet,
    root, veth,
};

/// Flows of JSON lines, by uuid; each is there once.
fn flows(text: &str) -> BTreeMap<String, Value> {
    let mut flows = BTreeMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let Some(uuid) = line["flow"]["uuid"].as_str() else {
            assert!(line.get("flow").is_none(), "{line}");
            continue;
        };
        let before = flows.insert(uuid.to_owned(), line.clone());
        assert!(before.is_none(), "twice: {line}");
    }
    flows
}

/// The file and its old ones, the oldest first.
fn files(path: &Path) -> Vec<PathBuf> {
    let base = path.file_stem().unwrap().to_str().unwrap();
    let mut files: Vec<_> = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|file| {
            file.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(base)
        })
        .collect();
    files.sort();
    files
}

/// What is in all of them.
fn exported(path: &Path) -> String {
    let mut text = String::new();
    for file in files(path) {
        let open = fs::File::open(&file).unwrap();
        match file.extension().is_some_and(|end| end == "gz") {
            true => flate2::read::GzDecoder::new(open).read_to_string(&mut text),
            false => { open }.read_to_string(&mut text),
        }
        .unwrap();
    }
    text
}

/// What the real client makes of such a file.
fn read_by_hubble(text: &str) -> String {
    let mut child = Command::new(tool("hubble"))
        .args(["observe", "--input-file", "-", "-o", "jsonpb"])
        .env("HOME", "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = text.to_owned();
    let writer = std::thread::spawn(move || {
        let _ = std::io::Write::write_all(&mut input, text.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Two namespaces, with a web server in the second.
fn network() -> (Netns, Netns) {
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    (a, b)
}

fn shown(daemon: &Daemon) -> BTreeMap<String, Value> {
    flows(&hubble(
        &daemon.server(),
        "observe --last 1000000 -o jsonpb",
    ))
}

#[test]
fn a_file_has_what_hubble_observe_shows_and_hubble_reads_it_back() {
    if !root() {
        return;
    }
    let (a, b) = network();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.log");
    let config = format!("{QUICK}[[export.file]]\npath = '{}'\n", path.display());
    let mut daemon = Daemon::start(&a, &config, &["--interface", "va"]);
    let _web = b.spawn("python3 -m http.server 80");
    eventually("a server", || {
        a.try_run("curl -s http://10.9.1.2/").0.then_some(())
    });
    a.run("ping -c 3 -i 0.2 10.9.1.2");
    quiet(&a, "va");
    let shown = eventually("as many as are shown", || {
        let shown = shown(&daemon);
        (flows(&exported(&path)) == shown && shown.len() > 5).then_some(shown)
    });
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    let text = exported(&path);
    let written = flows(&text);
    // What came with the end is in the file too.
    assert!(shown.iter().all(|(uuid, flow)| written[uuid] == *flow));
    assert_eq!(flows(&read_by_hubble(&text)), written);
    // And by our own.
    let again = Daemon::start(
        &a,
        "",
        &["--no-datapath", "--replay", path.to_str().unwrap()],
    );
    assert_eq!(self::shown(&again), written);
}
