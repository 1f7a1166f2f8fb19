//! `sextant observe` beside the real `hubble observe`, over one `sextantd` that
//! replays a file. Skipped, with the reason, where one of the two is not built.

mod common;

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use common::{Daemon, SEXTANT, data, program, run};

fn hubble() -> Option<PathBuf> {
    let tools = env::var("SEXTANT_TOOLS").unwrap_or_else(|_| ".tools/bin".into());
    program("HUBBLE", &format!("{tools}/hubble"))
}

fn flows() -> Option<Daemon> {
    Daemon::start(&data("flows.jsonl"))
}

/// Both programs print the same, and neither nothing.
fn check_same(hubble: &Path, arguments: &[String]) {
    let theirs = run(hubble, arguments);
    let ours = run(Path::new(SEXTANT), arguments);
    let ours_text = String::from_utf8_lossy(&ours.stdout);
    assert_eq!(
        ours_text,
        String::from_utf8_lossy(&theirs.stdout),
        "{arguments:?}: {}{}",
        String::from_utf8_lossy(&ours.stderr),
        String::from_utf8_lossy(&theirs.stderr),
    );
    assert!(
        ours.status.success() && !ours_text.is_empty(),
        "{arguments:?} printed nothing"
    );
}

#[test]
fn observe_prints_what_hubble_prints() {
    let (Some(hubble), Some(daemon)) = (hubble(), flows()) else {
        return;
    };
    for flags in [
        "",
        "--all",
        "--first 2",
        "--ip-translation=false --last 3",
        "--since 2026-01-02T03:04:06Z",
        "--since 2026-01-02T03:04:06Z --until 2026-01-02T03:04:08Z",
        "--not --verdict DROPPED",
        "--port 80",
        "-o table",
        "-o table --print-node-name",
        "-o dict",
        "-o dict --color always --print-node-name",
        "-o json",
        "-o jsonpb --all",
        "-o json --field-mask time,source.identity,l4",
        "--print-node-name",
        "--numeric",
        "--print-policy-names",
        "--color always",
        "--color always --use-default-field-masks=false",
        "--time-format RFC3339Milli",
        "--time-format RFC1123Z",
        "--time-format YearMonthDayHour",
    ] {
        check_same(&hubble, &daemon.arguments(&format!("observe {flags}")));
    }
}

#[test]
fn events_are_printed_as_hubble_prints_them() {
    let (Some(hubble), Some(daemon)) = (hubble(), Daemon::start(&data("events.jsonl"))) else {
        return;
    };
    for kind in ["agent-events", "debug-events"] {
        for flags in [
            "",
            "--all",
            "--last 2",
            "--since 2026-01-02T03:04:08Z",
            "--since 2026-01-02T03:04:06.500Z --until 2026-01-02T03:04:08Z",
            "--until 2026-01-02T03:04:08Z --last 50",
            "--print-node-name",
            "--time-format RFC3339Milli",
            "-o table",
            "-o table --print-node-name",
            "-o dict",
            "-o dict --print-node-name --time-format RFC1123Z",
            "-o json",
            "-o jsonpb --last 1",
        ] {
            check_same(
                &hubble,
                &daemon.arguments(&format!("observe {kind} {flags}")),
            );
        }
    }
}

/// How long a line is waited for; only a test that fails needs it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The first lines of a program that does not end by itself.
fn first_lines(program: &Path, arguments: &[String], count: usize) -> Vec<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let output = child.stdout.take().expect("it is piped");
    let (sender, receiver) = mpsc::channel();
    // Ends with the program, when its output does.
    let reader = thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let lines = (0..count).map_while(|_| receiver.recv_timeout(PATIENCE).ok());
    let lines = lines.collect();
    drop(receiver);
    child.kill().expect("it still runs");
    child.wait().expect("it was killed");
    reader.join().expect("the reader ended");
    lines
}

#[test]
fn what_never_ends_begins_as_with_hubble() {
    let (Some(hubble), Some(daemon)) = (hubble(), Daemon::start(&data("events.jsonl"))) else {
        return;
    };
    for (line, count) in [
        ("observe agent-events --follow", 10),
        ("observe agent-events --follow --last 2", 2),
        (
            "observe agent-events -f --since 2026-01-02T03:04:09Z -o json",
            5,
        ),
        ("observe debug-events --follow", 4),
        ("observe debug-events --follow -o dict", 20),
        ("watch peers", 1),
        ("watch peer", 1),
    ] {
        let arguments = daemon.arguments(line);
        let theirs = first_lines(&hubble, &arguments, count);
        assert_eq!(theirs.len(), count, "{line}: {theirs:?}");
        let ours = first_lines(Path::new(SEXTANT), &arguments, count);
        assert_eq!(ours, theirs, "{line}");
    }
}

#[test]
fn filter_flags_make_the_filters_that_hubble_makes() {
    let Some(hubble) = hubble() else {
        return;
    };
    for flags in [
        "",
        "--pod a/b --not --verdict DROPPED -t trace:to-endpoint --tcp-flags syn,ack",
        "-n x --service y",
        "-n x -n z --from-port 1",
        "--from-namespace a --to-pod c -4",
        "--to-namespace a --to-service c -6",
        "--identity world --not --label k8s:a=b",
        "-A --port 53",
        "--from-all-namespaces --to-all-namespaces",
        "--workload Deployment/x --http-header a:b",
        "--from-workload x --to-workload Kind/",
        "--cel-expression _flow.l4.TCP==1 --interface eth0",
        "--ip 1.1.1.1 --ip 2.2.2.0/24 --snat-ip 3.3.3.3",
        "--reply --encrypted --node-name x --node-label a=b --ip-trace-id 3",
        "--not-reply --unencrypted --trace-id x --uuid u",
        "-t agent:policy-updated -t 4:7 -t 99",
        "--ip-version v6 --ip-version none",
        "--fqdn *.x --cluster c --protocol tcp --traffic-direction INGRESS",
        "--http-status 5+ --http-method get --http-path /<a> --http-url b",
        "--drop-reason-desc POLICY_DENIED --not --from-fqdn a --not --to-fqdn b",
        r#"--ip 1.1.1.1 --allowlist {"source_pod":["x<'y"]}{"reply":[true]} --denylist {"protocol":["tcp"]}"#,
        "--from-identity 300 --to-identity kube-apiserver --from-cluster a --to-cluster b",
    ] {
        let mut arguments = vec!["observe".into(), "--print-raw-filters".into()];
        arguments.extend(flags.split_whitespace().map(String::from));
        check_same(&hubble, &arguments);
    }
}

#[test]
fn filter_flags_that_hubble_refuses_are_refused() {
    let Some(hubble) = hubble() else {
        return;
    };
    for flags in [
        "--ip 1.1.1.1 --to-ip 2.2.2.2",
        "--not --not --ip 1.1.1.1",
        "--ip 1.1.1.1 --not",
        "--verdict dropped",
        "--drop-reason-desc x",
        "--tcp-flags x",
        "-t x",
        "-t trace:x",
        "--identity x",
        "--traffic-direction up",
        "--reply --not-reply",
        "-n a --pod b/c",
        "--from-pod a/b --from-service c/d",
        "--http-header a",
        "--ip-trace-id 0",
        "--allowlist {",
        "--first 1 --last 1",
        "--all --last 1",
        "--first 1 --follow",
        "-o table --follow",
        "--since yesterday",
        "agent-events --port 80",
        "debug-events -o table --follow",
    ] {
        let mut arguments = vec!["observe".into(), "--print-raw-filters".into()];
        arguments.extend(flags.split_whitespace().map(String::from));
        for program in [hubble.as_path(), Path::new(SEXTANT)] {
            let output = run(program, &arguments);
            assert!(!output.status.success(), "{} {flags}", program.display());
        }
    }
}

#[test]
fn json_is_read_back_by_hubble_and_by_us() {
    let (Some(hubble), Some(daemon)) = (hubble(), flows()) else {
        return;
    };
    let json = run(
        Path::new(SEXTANT),
        &daemon.arguments("observe --all -o json"),
    );
    let file = daemon.folder.path().join("flows.json");
    std::fs::write(&file, json.stdout).unwrap();
    let file = file.display().to_string();
    for flags in [&[][..], &["-o", "json"], &["--last", "2"]] {
        let mut arguments: Vec<String> = ["observe", "--input-file", &file]
            .map(String::from)
            .to_vec();
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        check_same(&hubble, &arguments);
    }
}

#[test]
fn a_file_with_a_line_that_is_no_text_is_printed_as_hubble_prints_it() {
    let Some(hubble) = hubble() else {
        return;
    };
    for flags in ["", "-o table", "-o dict", "-o json", "--last 1"] {
        let line = format!("observe --input-file latin1.jsonl {flags}");
        let arguments: Vec<String> = line.split_whitespace().map(Into::into).collect();
        check_same(&hubble, &arguments);
    }
}

#[test]
fn a_file_is_filtered_and_cut_as_hubble_does_it() {
    let Some(hubble) = hubble() else {
        return;
    };
    for flags in [
        "--port 80",
        "--not --port 80",
        "--verdict DROPPED -o json",
        "--not --verdict DROPPED -o dict",
        "--pod demo/web --protocol udp",
        "--ip 10.0.0.0/24 -o table",
        "--ip 2001:db8::/32",
        "-t policy-verdict",
        "--http-status 2+",
        "--cel-expression _flow.verdict==Verdict.DROPPED",
        r#"--allowlist {"source_ip":["10.0.0.1"]} --denylist {"reply":[true]}"#,
        "--first 1",
        "--first 2 --not --port 80",
        "--first 99",
        "--last 1 --verdict FORWARDED",
        "--all",
        "--follow",
        "--follow --last 2",
        "--follow --until 2026-01-02T03:04:06Z",
        "--since 2026-01-02T03:04:06Z",
        "--until 2026-01-02T03:04:06Z",
        "--since 2026-01-02T03:04:06Z --until 2026-01-02T03:04:08Z --last 2",
        "--until 2026-01-02T03:04:07Z --last 1",
        "--since 2026-01-02T03:04:06Z --first 1",
    ] {
        let line = format!("observe --input-file flows.jsonl {flags}");
        let arguments: Vec<String> = line.split_whitespace().map(Into::into).collect();
        check_same(&hubble, &arguments);
    }
}

#[test]
fn raw_filters_are_taken_and_refused_as_hubble_does_it() {
    let Some(hubble) = hubble() else {
        return;
    };
    for filter in [
        r#"{"source_ip":["1.1.1.1"],"bogus":1}"#,
        r#"{"verdict":["DROPED"]}"#,
        r#"{"verdict":["2"]}"#,
        r#"{"verdict":[2,99]}"#,
        r#"{"verdict":null}"#,
        r#"{"verdict":[null]}"#,
        r#"{"sourceIp":["1.1.1.1"]}"#,
        r#"{"source_ip":"1.1.1.1"}"#,
        r#"{"source_ip":["a"],"source_ip":["b"]}"#,
        r#"{"source_ip":["a"],"sourceIp":["b"]}"#,
        r#"{"source_port":[80]}"#,
        r#"{"source_identity":["7"]}"#,
        r#"{"reply":["yes"]}"#,
        r#"{"experimental":{"cel_expression":["true"],"x":1}}"#,
        r#"{"event_type":[{"typ":1}]}"#,
        r#"{"event_type":[{"type":1}]}"#,
        r#"{"drop_reason_desc":["POLICY_DENYED"]}"#,
        r#"{"ip_version":["IPv5"]}"#,
        r#"{"[flow.x]":1}"#,
        r#"{"@type":"x"}"#,
        r#"{} {"x":1}"#,
        r#"{"reply":[true]} {"reply":[false]}"#,
        r#"{"reply":[true]},{"reply":[false]}"#,
        "[]",
        r#"[{"verdict":["DROPPED"]}]"#,
        "null",
        "3",
        "{",
        "{}",
        "",
    ] {
        for list in ["--allowlist", "--denylist"] {
            let arguments = ["observe", "--print-raw-filters", list, filter].map(String::from);
            let theirs = run(&hubble, &arguments);
            let ours = run(Path::new(SEXTANT), &arguments);
            let shown = (String::from_utf8_lossy(&ours.stderr), &arguments);
            assert_eq!(ours.status.success(), theirs.status.success(), "{shown:?}");
            assert_eq!(ours.stdout, theirs.stdout, "{shown:?}");
        }
    }
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let Some(daemon) = flows() else {
        return;
    };
    let mut child = Command::new(SEXTANT)
        .args(daemon.arguments("observe --all -o json"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn an_unreachable_server_is_named_with_cause_and_remedy() {
    let output = run(
        Path::new(SEXTANT),
        &["observe", "--server", "unix:///nowhere/s"].map(String::from),
    );
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in ["unix:///nowhere/s", "No such file", "--server"] {
        assert!(text.contains(part), "{text}");
    }
}
