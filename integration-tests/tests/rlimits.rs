//! Whatever the limits of its process are, `sextantd` serves, or says what it lacks and
//! ends with exit code 1: it never hangs, and no signal ends it.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use sextant_integration_tests::{
    Daemon, Netns, Process,
    cgroups::Cgroups,
    daemon::{binary, client_binary},
    enforced::line_of,
    eventually, root,
};

/// In which a start is over, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// As which user tasks are counted: those of root are not limited.
const NOBODY: &str = "--reuid=64011 --regid=64011 --clear-groups \
                      --inh-caps=+bpf,+net_admin,+perfmon --ambient-caps=+bpf,+net_admin,+perfmon";

/// What became of a start.
#[derive(Debug, PartialEq, Eq)]
enum Became {
    Serves,
    Ended(Option<i32>),
    Hangs,
}

/// Starts it within these limits, in a namespace of its own; what became of it, and its log.
fn start(prefix: &str, flags: &[&str]) -> (Became, String) {
    let (namespace, folder) = (Netns::new(), tempfile::tempdir().unwrap());
    let open = |path: &std::path::Path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    };
    open(folder.path());
    let socket = format!("unix://{}", folder.path().join("socket").display());
    // Unlike `ip netns exec`, this leaves /sys as it is, with the control groups.
    let child = Command::new("nsenter")
        .arg(format!("--net=/run/netns/{}", namespace.name))
        .args(prefix.split_whitespace())
        .arg(binary())
        .args(["--listen", &socket, "--metrics-listen", "127.0.0.1:9965"])
        .arg("--state-dir")
        .arg(folder.path().join("state"))
        .args(flags)
        .env("NO_COLOR", "1")
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut process = Process(child.unwrap());
    // Not into a file: those have a limit too.
    let mut stderr = process.0.stderr.take().unwrap();
    let (told, log) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        use std::io::Read as _;
        let (mut bytes, mut all) = ([0; 4096], String::new());
        while let Ok(read @ 1..) = stderr.read(&mut bytes) {
            all += &String::from_utf8_lossy(&bytes[..read]);
            if all.contains("metrics at") {
                let _ = told.send(());
            }
        }
        all
    });
    let began = Instant::now();
    let became = loop {
        if let Some(status) = process.0.try_wait().unwrap() {
            break Became::Ended(status.code());
        }
        if log.recv_timeout(Duration::from_millis(50)).is_ok() {
            break Became::Serves;
        }
        if began.elapsed() > PATIENCE {
            break Became::Hangs;
        }
    };
    drop(process);
    (became, reader.join().unwrap())
}

fn check(limit: &str, (became, log): (Became, String), names: &str) {
    let last = log.lines().last().unwrap_or_default();
    println!("{limit}: {became:?}: {last}");
    assert!(!log.contains("panicked"), "{limit}: {log}");
    match became {
        Became::Serves => assert!(names.is_empty(), "{limit}: it serves"),
        Became::Ended(code) => {
            assert_eq!(code, Some(1), "{limit}: {log}");
            assert!(last.starts_with("sextantd: "), "{limit}: {log}");
            assert!(last.contains(names), "{limit}: {log}");
        }
        Became::Hangs => panic!("{limit}: it hangs: {log}"),
    }
}

#[test]
fn too_little_of_anything_is_told_and_ends_with_exit_code_1() {
    if !root() {
        return;
    }
    // Nothing to find: it may serve, or tell.
    for (limit, names) in [
        ("--as=402653184", "LimitAS="),
        ("--as=629145600", "LimitAS="),
        ("--data=33554432", "LimitDATA="),
        ("--data=134217728", "LimitDATA="),
        ("--stack=131072", "LimitSTACK="),
        ("--stack=524288", "LimitSTACK="),
        ("--nofile=16", "LimitNOFILE="),
        ("--nofile=64", "LimitNOFILE="),
        ("--nofile=128", "LimitNOFILE="),
        ("--memlock=0", ""),
        ("--fsize=0", ""),
        ("--fsize=8192", ""),
        ("--sigpending=0", ""),
        ("--core=0", ""),
        ("--msgqueue=0", ""),
        ("--locks=0", ""),
    ] {
        let became = start(&format!("prlimit {limit}"), &["--interface", "lo"]);
        check(limit, became, names);
    }
}

#[test]
fn too_few_tasks_are_told_and_end_with_exit_code_1() {
    if !root() {
        return;
    }
    for (tasks, names) in [
        (1, "TasksMax="),
        (3, "TasksMax="),
        (6, ""),
        (9, ""),
        (12, ""),
    ] {
        let prefix = format!("setpriv {NOBODY} prlimit --nproc={tasks}");
        check(&prefix, start(&prefix, &["--interface", "lo"]), names);
    }
}

#[test]
fn used_up_cpu_time_is_told_and_ends_with_exit_code_1() {
    if !root() {
        return;
    }
    // Its start takes more than a second.
    let folder = tempfile::tempdir().unwrap();
    let flows = folder.path().join("flows.jsonl");
    let line = "{\"flow\":{\"verdict\":\"FORWARDED\",\"uuid\":\"4a2c9f00-0000-4000-8000-00000000000a\"}}\n";
    fs::write(&flows, line.repeat(400_000)).unwrap();
    let flags = ["--no-datapath", "--replay", flows.to_str().unwrap()];
    let (became, log) = start("prlimit --cpu=1:20", &flags);
    if became != Became::Serves {
        check("--cpu=1", (became, log), "LimitCPU=");
    }
}

/// A control group with so much memory.
struct Room(Cgroups);

impl Room {
    /// `None` where such groups cannot be made.
    fn new(mib: u64) -> Option<Self> {
        let first = Path::new("/sys/fs/cgroup/memory");
        let (root, file) = match first.exists() {
            true => (first, "memory.limit_in_bytes"),
            false => (Path::new("/sys/fs/cgroup"), "memory.max"),
        };
        let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
        let group = root.join(format!("sextant-room-{}-{mib}", std::process::id()));
        fs::create_dir(&group).ok()?;
        let limit = group.join(file);
        let room = Self(Cgroups(vec![group]));
        fs::write(limit, (mib << 20).to_string()).ok()?;
        Some(room)
    }

    /// A program that runs the one that it is given within it.
    fn enter(&self, folder: &Path) -> PathBuf {
        let program = folder.join("enter");
        let group = self.0.0[0].display();
        let text = format!("#!/bin/sh\nset -e\necho 0 >{group}/cgroup.procs\nexec \"$@\"\n");
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        program
    }
}

#[test]
fn tables_fit_into_the_memory_of_the_control_group_or_it_is_told() {
    if !root() {
        return;
    }
    for (mib, names) in [
        (48, "limited to 48 MiB"),
        (96, "MemoryMax="),
        (128, ""),
        (192, ""),
    ] {
        let Some(room) = Room::new(mib) else {
            println!("not tried: no control group with a memory limit can be made");
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let enter = room.enter(folder.path());
        let (became, log) = start(enter.to_str().unwrap(), &["--interface", "lo"]);
        if names.is_empty() {
            assert_eq!(became, Became::Serves, "{mib} MiB: {log}");
            let is_told = log.contains("tables are smaller than configured");
            assert_eq!(is_told, mib < 150, "{mib} MiB: {log}");
        } else {
            check(&format!("{mib} MiB"), (became, log), names);
        }
    }
}

/// Takes a listener's descriptors: as many silent connections, then it tells.
const SILENT: &str = r#"
import socket, sys, time
all = []
for _ in range(int(sys.argv[1])):
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex(("127.0.0.1", 4244))
    all.append(s)
print("held", flush=True)
time.sleep(3600)
"#;

#[test]
fn with_few_descriptors_silent_connections_shut_nobody_out() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let wrapped = folder.path().join("sextantd");
    for most in [256, 400] {
        let script = format!(
            "#!/bin/sh\nexec prlimit --nofile={most}:{most} {} \"$@\"\n",
            binary().display()
        );
        fs::write(&wrapped, script).unwrap();
        fs::set_permissions(&wrapped, fs::Permissions::from_mode(0o755)).unwrap();
        let namespace = Netns::new();
        let config = "[server]\nmax_connections = 100000\nmax_connections_per_peer = 100000\n";
        let listen = ["--listen", "tcp://127.0.0.1:4244"];
        let daemon = Daemon::start_binary(&wrapped, &namespace, config, &listen);
        for connections in [300, 900] {
            let mut crowd = Command::new("ip")
                .args(["netns", "exec", &namespace.name])
                .args(["python3", "-c", SILENT, &connections.to_string()])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            assert_eq!(line_of(&mut crowd), "held");
            for _ in 0..10 {
                let asked = Instant::now();
                assert!(daemon.status().is_some(), "{}", daemon.log());
                assert!(
                    asked.elapsed() < Duration::from_secs(5),
                    "{:?}",
                    asked.elapsed()
                );
            }
            crowd.kill().unwrap();
            crowd.wait().unwrap();
            let asked = Instant::now();
            eventually("others are served by TCP", || {
                let output = Command::new("ip")
                    .args(["netns", "exec", &namespace.name])
                    .arg(client_binary())
                    .args(["--server", "127.0.0.1:4244", "status", "-o", "json"])
                    .output()
                    .unwrap();
                output.status.success().then_some(())
            });
            assert!(
                asked.elapsed() < Duration::from_secs(10),
                "{:?}",
                asked.elapsed()
            );
        }
    }
}
