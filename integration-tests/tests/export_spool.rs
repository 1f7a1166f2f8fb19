//! Exporters with a spool: what reached the disk reaches the server, whatever happens to
//! the daemon, the server and the disk.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use sextant_integration_tests::{
    Daemon, Netns, Process,
    collector::{self, records},
    daemon::QUICK,
    eventually,
    exported::{exporter, network, shown, web},
    netns::host,
    root,
    sink::{Reply, Sink},
};
use sextant_proto::sextant::status::v1::State;

/// Datagrams to ever other ports, each a flow, some hundred a second.
const LOAD: &str = "python3 -c 'import socket, time, itertools
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in itertools.count():
    s.sendto(b\"x\", (\"10.9.1.2\", 2000 + n % 60000))
    if n % 4 == 0: time.sleep(0.01)'";

fn load(a: &Netns) -> Process {
    a.spawn(LOAD)
}

/// How often each flow came, by uuid.
fn posted(sink: &Sink) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for taken in sink.taken() {
        for uuid in uuids(&taken.body) {
            *times.entry(uuid).or_default() += 1;
        }
    }
    times
}

/// Those of JSON lines, also between what is no text.
fn uuids(bytes: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\"uuid\":\"";
    let found = bytes
        .windows(KEY.len())
        .enumerate()
        .filter(|(_, window)| *window == KEY);
    let uuids = found.map(|(at, _)| bytes[at + KEY.len()..].split(|byte| *byte == b'"'));
    uuids
        .filter_map(|mut parts| String::from_utf8(parts.next()?.to_vec()).ok())
        .collect()
}

/// All that is in the files of a spool.
fn contents(directory: &Path) -> Vec<u8> {
    let files = fs::read_dir(directory).into_iter().flatten();
    let files = files.filter_map(|file| fs::read(file.ok()?.path()).ok());
    files.flatten().collect()
}

/// Flows that are in the files of a spool.
fn spooled(directory: &Path) -> BTreeSet<String> {
    uuids(&contents(directory)).into_iter().collect()
}

fn config(sink: &Sink, directory: &Path, keys: &str) -> String {
    let address = sink.address;
    let directory = directory.display();
    format!(
        "{QUICK}[[export.http]]\nname = 'web'\nurl = 'http://{address}/flows'\ninterval = '50ms'\n\
         max_events = 200\nspool = {{ directory = '{directory}' }}\n{keys}\n"
    )
}

/// Ten lives of a daemon whose store is small, with a server that is there, slow, away.
#[test]
fn no_flow_that_reached_the_spool_is_lost_though_the_daemon_is_killed_ten_times() {
    if !root() {
        return;
    }
    let (a, _b) = network();
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    let sink = Sink::start(&a);
    let mut daemon = Daemon::start(
        &a,
        &config(&sink, &spool, ""),
        &["--interface", "va", "--flow-capacity", "1023"],
    );
    let load = load(&a);
    let (mut wanted, mut cut) = (BTreeSet::new(), 0);
    for life in 0..10 {
        sink.is(match life % 4 {
            0 => Some(Reply::Status(503)),
            1 => Some(Reply::Slow(Duration::from_millis(80))),
            2 => Some(Reply::Close),
            _ => None,
        });
        let seen = eventually("flows", || {
            let seen: BTreeSet<_> = shown(&daemon).into_keys().collect();
            (seen.len() > 100).then_some(seen)
        });
        // What was there a while ago is on the disk, or even further.
        eventually("what is shown is on the disk", || {
            let (there, posted) = (spooled(&spool), posted(&sink));
            let is_safe = |uuid: &String| there.contains(uuid) || posted.contains_key(uuid);
            seen.iter().all(is_safe).then_some(())
        });
        wanted.extend(seen);
        daemon.signal("KILL");
        daemon.wait();
        // All that was not acknowledged, also what came in the last moment: unless that was
        // being written, which the next one tells.
        let last = spooled(&spool);
        daemon.again();
        let told = daemon
            .log()
            .matches("the end of a spool was cut off")
            .count();
        if told == cut {
            wanted.extend(last);
        }
        cut = told;
    }
    drop(load);
    sink.is(None);
    eventually("all of them", || {
        let posted = posted(&sink);
        let missing = wanted.iter().filter(|uuid| !posted.contains_key(*uuid));
        (missing.count() == 0).then_some(())
    });
    let posted = posted(&sink);
    let twice: usize = posted.values().map(|times| times - 1).sum();
    println!(
        "{} flows came, {} of them wanted, {twice} came again",
        posted.len(),
        wanted.len()
    );
    assert!(wanted.len() > 1000, "more than the store holds");
    // What was in flight, a batch each time.
    assert!(twice <= 10 * 200, "{twice} came again");
    let state = exporter(&daemon, "web");
    let dropped: u64 = state.dropped.iter().map(|cause| cause.events).sum();
    assert_eq!(dropped, 0, "{state:?}");
}

/// Events go on by memory, it is told, and ends when there is room.
#[test]
fn a_full_disk_is_told_and_holds_nothing_up() {
    if !root() {
        return;
    }
    let (a, b) = network();
    let disk = Disk::new();
    let filler = disk.0.path().join("filler");
    let sink = Sink::start(&a);
    let spool = disk.0.path().join("spool");
    let daemon = Daemon::start(&a, &config(&sink, &spool, ""), &["--interface", "va"]);
    let _web = web(&a, &b);
    host(&format!(
        "dd if=/dev/zero of={} bs=4096 2>/dev/null || true",
        filler.display()
    ));
    let load = load(&a);
    eventually("it is told", || {
        let status = daemon.own_status()?;
        let spool = exporter(&daemon, "web").spool?;
        let is_told = status.state() == State::Degraded && spool.error.contains("No space left");
        is_told.then_some(())
    });
    // In the meantime they come.
    let before = posted(&sink).len();
    eventually("more comes", || {
        (posted(&sink).len() > before + 100).then_some(())
    });
    fs::remove_file(filler).unwrap();
    eventually("the disk is used again", || {
        let state = exporter(&daemon, "web");
        state.spool?.error.is_empty().then_some(())
    });
    // What was taken from memory meanwhile never was on the disk: it comes first.
    let meanwhile = shown(&daemon);
    eventually("what was in memory is there", || {
        let posted = posted(&sink);
        let is_there = |uuid: &String| posted.contains_key(uuid);
        meanwhile.keys().all(is_there).then_some(())
    });
    sink.is(Some(Reply::Status(503)));
    drop(load);
    let seen = shown(&daemon);
    eventually("all is on the disk or there", || {
        let (there, posted) = (spooled(&spool), posted(&sink));
        let is_safe = |uuid: &String| there.contains(uuid) || posted.contains_key(uuid);
        seen.keys().all(is_safe).then_some(())
    });
    let state = exporter(&daemon, "web");
    assert!(
        state.dropped.iter().all(|cause| cause.events == 0),
        "{state:?}"
    );
    let errors = &state.spool.unwrap().errors;
    let write = errors.iter().find(|error| error.cause == "write").unwrap();
    assert!(write.count > 0, "{errors:?}");
    let metric =
        "sextant_exporter_spool_errors_total{exporter=\"web\",kind=\"http\",cause=\"write\"}";
    assert!(daemon.metric(&a, metric) >= write.count);
}

/// A small disk.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        host(&format!(
            "mount -t tmpfs -o size=4m,mode=700 sextant-test {path}"
        ));
        Self(folder)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        host(&format!("umount -l {}", self.0.path().display()));
    }
}

/// The real collector, which is away while the daemon is killed.
#[test]
fn a_collector_gets_logs_and_spans_of_a_daemon_that_was_killed_before_it_came() {
    if !root() {
        return;
    }
    let (a, b) = network();
    let folder = tempfile::tempdir().unwrap();
    let [port, _] = collector::PORTS;
    let config = format!(
        "{QUICK}[[export.otlp]]\nname = 'c'\nendpoint = 'http://127.0.0.1:{port}'\ninterval = '50ms'\n\
         signals = ['logs', 'traces']\nspool = {{ directory = '{}/spool' }}\n",
        folder.path().display()
    );
    let mut daemon = Daemon::start(&a, &config, &["--interface", "va"]);
    let _web = web(&a, &b);
    eventually("connections that ended", || {
        let spool = exporter(&daemon, "c/traces").spool?;
        (spool.bytes > 0 && shown(&daemon).len() > 8).then_some(())
    });
    let seen = shown(&daemon);
    eventually("all is on the disk", || {
        let bytes = contents(&folder.path().join("spool/logs"));
        let text = String::from_utf8_lossy(&bytes);
        let is_there = |uuid: &String| text.contains(uuid.as_str());
        seen.keys().all(is_there).then_some(())
    });
    daemon.signal("KILL");
    daemon.wait();
    daemon.again();
    let sink = Sink::start(&a);
    let _collector = collector::start(&a, folder.path(), &sink, None);
    eventually("all logs of the first life", || {
        let got: BTreeSet<_> = records(&sink)
            .iter()
            .filter_map(|(_, record)| {
                let about = collector::map(&record["attributes"]);
                Some(about["log.record.uid"].as_str()?.to_owned())
            })
            .collect();
        seen.keys().all(|uuid| got.contains(uuid)).then_some(())
    });
    eventually("and spans", || {
        (!collector::spans(&sink).is_empty()).then_some(())
    });
}
