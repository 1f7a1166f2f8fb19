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
    exported::{flows, network, shown, web},
    hubble::tool,
    netns::quiet,
    root,
};
use sextant_proto::sextant::status::v1::{Exporter, State};

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

/// Whether all that was shown was written, as it was shown.
fn has_all(written: &BTreeMap<String, Value>, shown: &BTreeMap<String, Value>) -> bool {
    shown
        .iter()
        .all(|(uuid, flow)| written.get(uuid) == Some(flow))
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
    let _web = web(&a, &b);
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
    assert!(has_all(&written, &shown));
    assert_eq!(flows(&read_by_hubble(&text)), written);
    // And by our own.
    let again = Daemon::start(
        &a,
        "",
        &["--no-datapath", "--replay", path.to_str().unwrap()],
    );
    assert_eq!(sextant_integration_tests::exported::shown(&again), written);
}

/// The state of the only exporter, in status and metrics alike.
fn state(daemon: &Daemon) -> (Exporter, bool) {
    let status = daemon.own_status().unwrap();
    let is_ok = status.state() == State::Ok;
    let [exporter] = <[_; 1]>::try_from(status.exporters).unwrap();
    (exporter, is_ok)
}

#[test]
fn lists_and_masks_hold_and_all_that_was_read_is_accounted_for() {
    if !root() {
        return;
    }
    let (a, _b) = network();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.log");
    let config = format!(
        "{QUICK}[[export.file]]\nname = 'pings'\npath = '{}'\n\
         allow = ['{{\"experimental\":{{\"cel_expression\":[\"_flow.l4.ICMPv4.type == uint(8)\"]}}}}']\n\
         deny = ['{{\"destination_ip\":[\"10.9.1.3\"]}}']\nfield_mask = ['uuid', 'IP.destination']\n",
        path.display()
    );
    let daemon = Daemon::start(&a, &config, &["--interface", "va"]);
    a.run("ping -c 3 -i 0.2 10.9.1.2");
    a.try_run("ping -c 1 -W 1 10.9.1.3");
    quiet(&a, "va");
    eventually("the echo requests and no others", || {
        let flows = flows(&exported(&path));
        let all = shown(&daemon);
        let is_wanted = |flow: &&Value| {
            flow["flow"]["l4"]["ICMPv4"]["type"] == 8
                && flow["flow"]["IP"]["destination"] != "10.9.1.3"
        };
        let wanted: Vec<_> = all.values().filter(is_wanted).collect();
        let is_same = wanted.len() == flows.len()
            && wanted.iter().all(|flow| {
                let uuid = flow["flow"]["uuid"].as_str().unwrap();
                let masked = serde_json::json!({"flow": {
                    "uuid": uuid, "IP": {"destination": flow["flow"]["IP"]["destination"]}
                }});
                flows.get(uuid) == Some(&masked)
            });
        (is_same && !flows.is_empty()).then_some(())
    });
    let (exporter, is_ok) = eventually("nothing behind", || {
        let (exporter, is_ok) = state(&daemon);
        (exporter.lag == 0).then_some((exporter, is_ok))
    });
    assert!(is_ok && exporter.up, "{exporter:?}");
    let stored = daemon
        .own_status()
        .unwrap()
        .ledger
        .unwrap()
        .events
        .unwrap()
        .stored;
    assert!(exporter.sent + exporter.filtered <= stored, "{exporter:?}");
    assert!(exporter.filtered > 0 && exporter.sent as usize == flows(&exported(&path)).len());
}

#[test]
fn what_cannot_be_written_is_tried_again_told_and_then_complete() {
    if !root() {
        return;
    }
    let (a, _b) = network();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.log");
    fs::create_dir(&path).unwrap();
    let config = format!(
        "{QUICK}[[export.file]]\nname = 'f'\npath = '{}'\n",
        path.display()
    );
    let daemon = Daemon::start(&a, &config, &["--interface", "va"]);
    a.run("ping -c 2 -i 0.2 10.9.1.2");
    eventually("it is told", || {
        let (exporter, is_ok) = state(&daemon);
        let is_told = !exporter.up && exporter.retries > 0 && !exporter.last_error.is_empty();
        (is_told && !is_ok).then_some(())
    });
    let up = || daemon.metric(&a, "sextant_exporter_up{exporter=\"f\",kind=\"file\"}");
    assert_eq!(up(), 0);
    fs::remove_dir(&path).unwrap();
    quiet(&a, "va");
    eventually("all that was shown", || {
        let is_same = path.exists() && flows(&exported(&path)) == shown(&daemon);
        let (exporter, is_ok) = state(&daemon);
        (is_same && exporter.up && is_ok && exporter.sent > 0).then_some(())
    });
    assert_eq!(up(), 1);
}

/// Flows keep coming while files are begun anew and compressed.
#[test]
fn nothing_is_lost_or_twice_over_rotation() {
    if !root() {
        return;
    }
    let (a, b) = network();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.log");
    let config = format!(
        "{QUICK}aggregation = false\n[[export.file]]\npath = '{}'\nmax_size_mb = 1\nmax_backups = 100\ncompress = true\n",
        path.display()
    );
    let mut daemon = Daemon::start(&a, &config, &["--interface", "va"]);
    let _web = web(&a, &b);
    let compressed = || {
        let files = files(&path).into_iter();
        files
            .filter(|file| file.extension().is_some_and(|end| end == "gz"))
            .count()
    };
    eventually("old files", || {
        a.run("for i in $(seq 50); do curl -s -o /dev/null http://10.9.1.2/; done");
        (compressed() >= 2).then_some(())
    });
    quiet(&a, "va");
    let shown = eventually("as many as are shown", || {
        let shown = shown(&daemon);
        let (exporter, _) = state(&daemon);
        (exporter.lag == 0 && exporter.sent >= shown.len() as u64).then_some(shown)
    });
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    let written = flows(&exported(&path));
    assert!(has_all(&written, &shown));
}

/// What was written outlives a kill; a line that it cut off spoils no other.
#[test]
fn a_kill_takes_nothing_that_was_written_and_spoils_no_line() {
    if !root() {
        return;
    }
    let (a, b) = network();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.log");
    let config = format!("{QUICK}[[export.file]]\npath = '{}'\n", path.display());
    let mut daemon = Daemon::start(&a, &config, &["--interface", "va"]);
    let _web = web(&a, &b);
    let before = eventually("what is shown is in the file", || {
        let shown = shown(&daemon);
        let is_written = has_all(&flows(&exported(&path)), &shown);
        (is_written && shown.len() > 5).then_some(shown)
    });
    daemon.signal("KILL");
    daemon.wait();
    // What a kill in the middle of a write leaves.
    let mut file = fs::File::options().append(true).open(&path).unwrap();
    std::io::Write::write_all(&mut file, b"{\"flow\":{\"uuid\":\"cut").unwrap();
    daemon.again();
    a.run("curl -s http://10.9.1.2/");
    let after = eventually("also of the second life", || {
        let text = exported(&path);
        let whole = text.lines().filter(|line| !line.ends_with("cut"));
        let whole: String = whole.map(|line| format!("{line}\n")).collect();
        let (shown, written) = (shown(&daemon), flows(&whole));
        (has_all(&written, &shown) && shown.len() > 2).then_some(shown)
    });
    // The real client warns of that one and reads the others.
    let read = flows(&read_by_hubble(&exported(&path)));
    assert!(has_all(&read, &before) && has_all(&read, &after));
}

/// What the page says of eight changes and a mistake.
fn is_on_the_page(a: &Netns) {
    // It is counted when the file is looked at by itself.
    let page = eventually("a failure that is counted", || {
        let page = a.run("curl -s http://127.0.0.1:9965/metrics");
        page.contains("{op=\"failure\"} 1").then_some(page)
    });
    for series in [
        "exporters_total{status=\"active\"} 1.0",
        "exporters_total{status=\"inactive\"} 0.0",
        "up{name=\"all\"} 1.0",
        "reconfigurations_total{op=\"add\"} 1",
        "reconfigurations_total{op=\"update\"} 8",
        "reconfigurations_total{op=\"failure\"} 1",
    ] {
        let line = format!("\nhubble_dynamic_exporter_{series}\n");
        assert!(page.contains(&line), "{line}{page}");
    }
}

/// The only exporter goes from one file to another and back.
#[test]
fn a_configuration_that_changes_under_load_takes_no_flow_twice_and_leaves_none_out() {
    if !root() {
        return;
    }
    let (a, b) = network();
    let folder = tempfile::tempdir().unwrap();
    let (yaml, file) = (folder.path().join("logs.yaml"), |name: &str| {
        folder.path().join(name)
    });
    let targets = [file("one.log"), file("two.log")];
    let write = |target: &Path| {
        let text = format!("flowLogs:\n- name: all\n  filePath: {}\n", target.display());
        fs::write(&yaml, text).unwrap();
    };
    write(&targets[0]);
    let config = format!("{QUICK}[export]\nflow_logs = '{}'\n", yaml.display());
    let mut daemon = Daemon::start(&a, &config, &["--interface", "va"]);
    let _web = web(&a, &b);
    let load = a.spawn("bash -c 'while :; do curl -s -o /dev/null http://10.9.1.2/; done'");
    for target in targets.iter().cycle().skip(1).take(8) {
        write(target);
        daemon.signal("HUP");
        let before = eventually("the other file", || {
            let (exporter, _) = state(&daemon);
            (Path::new(&exporter.target) == target).then_some(exporter.sent)
        });
        eventually("more flows", || {
            (state(&daemon).0.sent > before + 20).then_some(())
        });
    }
    let (exporter, _) = state(&daemon);
    fs::write(&yaml, "flowLogs: [{name: all, filePath: here}]").unwrap();
    daemon.signal("HUP");
    eventually("a mistake that is told", || {
        daemon.log().contains("flowLogs[0].filePath").then_some(())
    });
    assert_eq!(state(&daemon).0.target, exporter.target, "as before");
    is_on_the_page(&a);
    drop(load);
    quiet(&a, "va");
    let shown = eventually("nothing behind", || {
        let shown = shown(&daemon);
        (state(&daemon).0.lag == 0).then_some(shown)
    });
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    let each = targets.each_ref().map(|target| exported(target));
    assert!(
        each.iter().all(|text| text.lines().count() > 50),
        "both were used"
    );
    let written = flows(&each.concat());
    assert!(has_all(&written, &shown));
    // One that is no more wanted ends, and what ends does not end the daemon.
    fs::write(&yaml, "flowLogs: []").unwrap();
    daemon.again();
    assert!(daemon.own_status().unwrap().exporters.is_empty());
}
