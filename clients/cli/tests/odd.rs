//! Nothing that a file, a server or an argument says steers the terminal, in any output.

mod common;

use std::{fs, path::Path, process::Command};

use common::{Daemon, SEXTANT};

/// ESC, C1, NUL, ends of lines, marks of direction, separators.
const ODD: &str =
    r"x\u001b]0;t\u0007\u001b[2J\u009b31m\u0000\r\n\t\u007f\u202e\u2066\u200f\u061c\u2028\u2029y";

fn is_odd(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Flows and events with such text wherever there can be text.
fn lines() -> String {
    let endpoint = r#"{"ID":1,"identity":300,"cluster_name":"ODD","namespace":"ODD","labels":["k8s:ODD=ODD","ODD"],"pod_name":"ODD","workloads":[{"name":"ODD","kind":"ODD"}]}"#;
    let policy = r#"[{"name":"ODD","namespace":"ODD","labels":["ODD"],"kind":"ODD"}]"#;
    let flow = |number: u32, rest: &str| {
        format!(
            r#"{{"flow":{{"time":"2026-01-02T03:04:0{number}Z","uuid":"ODD","verdict":"FORWARDED","node_name":"ODD","node_labels":["ODD=ODD"],"source":{endpoint},"destination":{endpoint},"source_service":{{"name":"ODD","namespace":"ODD"}},"destination_names":["ODD"],"source_names":["ODD"],"interface":{{"index":1,"name":"ODD"}},"Summary":"ODD","egress_allowed_by":{policy},"ingress_denied_by":{policy},"ethernet":{{"source":"ODD","destination":"ODD"}},"extensions":{{"@type":"type.googleapis.com/google.protobuf.Struct","value":{{"ODD":"ODD","bytes":5,"list":["ODD",{{"ODD":"ODD"}}]}}}},{rest}}},"node_name":"ODD","time":"2026-01-02T03:04:0{number}Z"}}"#
        )
    };
    let ip = r#""IP":{"source":"10.0.0.1","destination":"10.0.0.2","ipVersion":"IPv4"},"l4":{"TCP":{"source_port":1,"destination_port":2}}"#;
    let text = [
        flow(1, &format!(r#"{ip},"event_type":{{"type":4}}"#)),
        flow(2, r#""event_type":{"type":1,"sub_type":133}"#),
        flow(3, &format!(r#"{ip},"event_type":{{"type":5}},"traffic_direction":"EGRESS""#)),
        flow(4, &format!(r#"{ip},"event_type":{{"type":5}},"traffic_direction":"INGRESS","verdict":"DROPPED""#).replacen(r#""verdict":"FORWARDED","#, "", 1)),
        flow(5, &format!(r#"{ip},"Type":"L7","l7":{{"type":"REQUEST","dns":{{"query":"ODD","ips":["ODD"],"cnames":["ODD"],"observation_source":"ODD","qtypes":["ODD"],"rrtypes":["ODD"]}}}}"#)),
        flow(6, &format!(r#"{ip},"Type":"L7","l7":{{"type":"RESPONSE","http":{{"code":200,"method":"ODD","url":"ODD","protocol":"ODD","headers":[{{"key":"ODD","value":"ODD"}}]}}}}"#)),
        flow(7, &format!(r#"{ip},"Type":"L7","l7":{{"type":"REQUEST","kafka":{{"api_key":"ODD","topic":"ODD"}}}}"#)),
        r#"{"node_status":{"state_change":"NODE_ERROR","node_names":["ODD"],"message":"ODD"},"node_name":"ODD","time":"2026-01-02T03:04:08Z"}"#.into(),
        r#"{"lost_events":{"source":"PERF_EVENT_RING_BUFFER","num_events_lost":"5"},"node_name":"ODD","time":"2026-01-02T03:04:08Z"}"#.into(),
        r#"{"agent_event":{"type":"AGENT_STARTED","unknown":{"type":"ODD","notification":"ODD"}},"node_name":"ODD","time":"2026-01-02T03:04:08Z"}"#.into(),
        r#"{"agent_event":{"type":"SERVICE_UPSERTED","service_upsert":{"name":"ODD","namespace":"ODD","type":"ODD","ext_traffic_policy":"ODD"}},"node_name":"ODD"}"#.into(),
        r#"{"debug_event":{"type":"DBG_CT_VERDICT","source":{"labels":["ODD"],"pod_name":"ODD","namespace":"ODD"},"message":"ODD","cpu":0},"node_name":"ODD"}"#.into(),
    ];
    text.join("\n").replace("ODD", ODD) + "\n"
}

/// Runs it; what it prints has nothing odd. True where it printed something.
fn check(arguments: &[&str]) -> bool {
    let output = Command::new(SEXTANT)
        .args(arguments)
        .output()
        .expect("it runs");
    for (name, bytes) in [("output", &output.stdout), ("errors", &output.stderr)] {
        let text = String::from_utf8(bytes.clone()).expect("text");
        let odd = text.find(is_odd).map(|at| {
            let begin = text[..at]
                .char_indices()
                .rev()
                .nth(40)
                .map_or(0, |(begin, _)| begin);
            format!("{:?}", text[begin..].chars().take(60).collect::<String>())
        });
        assert_eq!(odd, None, "{name} of {arguments:?}");
    }
    !output.stdout.is_empty() || !output.stderr.is_empty()
}

#[test]
fn no_output_of_a_file_steers_the_terminal() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("flows\x1b[2J\u{202e}.json");
    fs::write(
        &file,
        lines() + "no line of JSON \x1b[2J\u{202e}\n{\"\u{202e}\":}\n",
    )
    .unwrap();
    let file = file.to_str().expect("text");
    for output in ["compact", "dict", "tab", "table", "json", "jsonpb"] {
        for more in [
            &["--print-node-name"][..],
            &["--ip-translation=false", "--print-policy-names"],
            &["--columns", "bytes,packets,duration,interface"],
        ] {
            let arguments = [&["observe", "--input-file", file, "-o", output], more].concat();
            assert!(check(&arguments));
        }
        for events in ["agent-events", "debug-events"] {
            check(&["observe", events, "--input-file", file, "-o", output]);
        }
    }
    for group in [
        "source",
        "destination",
        "source-pod",
        "interface",
        "source-workload",
        "dns-query",
        "node-name",
    ] {
        check(&[
            "stats",
            "--input-file",
            file,
            "--group-by",
            group,
            "--since",
            "2026-01-01T00:00:00Z",
        ]);
    }
    for field in ["source_pod", "node_name", "dns_query", "http_url", "labels"] {
        check(&["hints", "--input-file", file, field]);
    }
    check(&["top", "--once", "--input-file", file]);
}

#[test]
fn no_answer_of_a_server_steers_the_terminal() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("flows.json");
    fs::write(&file, lines()).expect("written");
    let Some(daemon) = Daemon::start(Path::new(&file)) else {
        return;
    };
    let server = daemon.server();
    for line in [
        "observe --last 100 -o compact --print-node-name",
        "observe --last 100 -o dict --columns interface",
        "observe --last 100 -o tab",
        "observe --last 100 -o jsonpb",
        "observe agent-events --last 10",
        "observe debug-events --last 10 -o jsonpb",
        "stats --group-by source --since 2026-01-01T00:00:00Z",
        "hints source_pod",
        "hints node_name",
        "list nodes",
        "list namespaces",
        "list nodes -o json",
        "list namespaces -o json",
        "top --once",
        "status",
        "status -o json",
    ] {
        let arguments: Vec<&str> = line.split(' ').chain(["--server", &server]).collect();
        check(&arguments);
    }
    let log = daemon.log();
    assert!(!log.contains(is_odd), "{log:?}");
}

#[test]
fn no_argument_steers_the_terminal() {
    let odd = "x\x1b[2J\u{9b}\u{202e}\r\u{2028}";
    for arguments in [
        &[odd][..],
        &["observe", odd],
        &["observe", "--last", odd],
        &["observe", "--output", odd],
        &["observe", "--since", odd],
        &["observe", "--port", odd],
        &["observe", "--ip", odd],
        &["observe", "--pod", odd, "--server", "unix:///nowhere"],
        &["observe", "--label", odd, "--server", "unix:///nowhere"],
        &["observe", "--allowlist", odd],
        &["observe", "--allowlist", "{\"\u{202e}\x1b\":1}"],
        &[
            "observe",
            "--cel-expression",
            odd,
            "--input-file",
            "/dev/null",
        ],
        &["observe", "--input-file", odd],
        &["stats", "--group-by", odd],
        &["hints", odd, "--server", "unix:///nowhere"],
        &["status", "--server", odd],
        &["status", "--context", odd],
        &["status", "--config", odd],
        &["record", odd, "--server", "unix:///nowhere"],
    ] {
        assert!(check(arguments), "{arguments:?}");
    }
}
