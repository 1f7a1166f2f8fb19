//! The audit log of a daemon at work: who wrote, who was refused.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    fmt::Write as _,
    path::PathBuf,
    process::{Command, Output},
};

use sextant_integration_tests::{Daemon, Netns, daemon::connect, eventually, hubble::tool, root};
use sextant_proto::sextant::audit::v1::{
    AuditRecord, ListAuditRequest, audit_service_client::AuditServiceClient,
};
use tonic::Code;

const RECORD: &str = "sextant.flow.v1.FlowService/RecordFlows";
const GET: &str = "observer.Observer/GetFlows";
const LIST: &str = "sextant.audit.v1.AuditService/ListAudit";
const FLOWS: &str = r#"{"flows":[{"verdict":"FORWARDED"},{"IP":{"source":"nowhere"}}]}"#;
const OVER_TCP: [&str; 3] = ["--no-datapath", "--listen", "tcp://127.0.0.1:4245"];

fn grpcurl(namespace: &Netns, data: &str, server: &[&str], method: &str) -> Output {
    Command::new("ip")
        .args(["netns", "exec", &namespace.name])
        .arg(tool("grpcurl"))
        .args(["-plaintext", "-d", data])
        .args(server)
        .arg(method)
        .output()
        .unwrap()
}

fn socket(daemon: &Daemon) -> PathBuf {
    daemon.server().trim_start_matches("unix://").into()
}

/// Records a flow as root, over the unix socket.
fn record(daemon: &Daemon, namespace: &Netns) {
    let socket = socket(daemon);
    let done = grpcurl(
        namespace,
        FLOWS,
        &["-unix", socket.to_str().unwrap()],
        RECORD,
    );
    assert!(done.status.success(), "{done:?}");
}

/// Tries the same over TCP.
fn refused(namespace: &Netns, method: &str, data: &str) {
    let refused = grpcurl(namespace, data, &["127.0.0.1:4245"], method);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("PermissionDenied"), "{said}");
}

fn audit(daemon: &Daemon) -> Vec<AuditRecord> {
    daemon.block_on(async {
        let channel = connect(&daemon.server()).await.unwrap();
        let answer = AuditServiceClient::new(channel)
            .list_audit(ListAuditRequest::default())
            .await;
        answer.unwrap().into_inner().records
    })
}

fn file(daemon: &Daemon) -> PathBuf {
    socket(daemon).with_file_name("state/audit.jsonl")
}

fn lines(daemon: &Daemon) -> String {
    std::fs::read_to_string(file(daemon)).unwrap_or_default()
}

#[test]
fn who_wrote_and_who_was_refused_is_in_the_log_and_the_file() {
    if !root() {
        return;
    }
    let namespace = Netns::new();
    let daemon = Daemon::start(&namespace, "", &OVER_TCP);
    record(&daemon, &namespace);
    for _ in 0..3 {
        refused(&namespace, RECORD, FLOWS);
    }
    refused(&namespace, LIST, "{}");
    let records = audit(&daemon);
    let told: Vec<_> = records
        .iter()
        .map(|record| (&*record.method, &*record.who, &*record.code, record.count))
        .collect();
    // The newest first; what is alike waits for the end of its window.
    let expect = [
        (LIST, "anonymous", "PERMISSION_DENIED", 1),
        (RECORD, "anonymous", "PERMISSION_DENIED", 1),
        (RECORD, "uid:0", "OK", 1),
    ];
    assert_eq!(told, expect);
    assert!(records[1].from.starts_with("127.0.0.1:"), "{records:?}");
    assert!(records[1].message.contains("plaintext TCP"), "{records:?}");
    assert!(records[2].from.starts_with("unix, pid "), "{records:?}");
    assert_eq!(records[2].what, "1 recorded, 1 refused");
    let lines = eventually("three lines", || {
        Some(lines(&daemon)).filter(|text| text.lines().count() >= 3)
    });
    for (line, part) in lines.lines().zip(["uid:0", "RecordFlows", "ListAudit"]) {
        assert!(line.contains(part), "{line}");
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    let folded = eventually("the other two", || {
        audit(&daemon).into_iter().find(|record| record.count > 1)
    });
    assert_eq!((folded.count, &*folded.method), (2, RECORD));
}

#[test]
fn reading_that_is_allowed_is_not_in_the_log() {
    if !root() {
        return;
    }
    let namespace = Netns::new();
    let daemon = Daemon::start(&namespace, "", &OVER_TCP);
    assert_eq!(daemon.flows(), []);
    assert!(daemon.own_status().is_some());
    assert_eq!(audit(&daemon), []);
}

#[test]
fn a_last_line_that_a_kill_cut_off_costs_that_line_alone() {
    if !root() {
        return;
    }
    let namespace = Netns::new();
    let mut daemon = Daemon::start(&namespace, "", &OVER_TCP);
    for _ in 0..3 {
        record(&daemon, &namespace);
    }
    let whole = eventually("three lines", || {
        Some(lines(&daemon)).filter(|text| text.lines().count() == 3)
    });
    daemon.signal("KILL");
    daemon.wait();
    std::fs::write(file(&daemon), &whole[..whole.len() - 20]).unwrap();
    let state = file(&daemon).parent().unwrap().display().to_string();
    let again = Daemon::start(&namespace, "", &["--no-datapath", "--state-dir", &state]);
    assert_eq!(audit(&again).len(), 2);
    record(&again, &namespace);
    assert_eq!(audit(&again).len(), 3);
    let all = eventually("a fourth line", || {
        Some(lines(&daemon)).filter(|text| text.ends_with("}\n") && text.lines().count() == 4)
    });
    let good = all.lines().filter(|line| line.ends_with('}')).count();
    assert_eq!(good, 3, "{all}");
}

#[test]
fn files_are_rotated_by_size() {
    if !root() {
        return;
    }
    let namespace = Netns::new();
    let config = "[audit]\nfile = \"calls.jsonl\"\nmax_bytes = 16384\nkeep = 1\n";
    let daemon = Daemon::start(&namespace, config, &OVER_TCP);
    let socket = socket(&daemon);
    let mut script = String::new();
    for _ in 0..150 {
        let grpcurl = tool("grpcurl");
        let _ = writeln!(
            script,
            "{} -plaintext -unix -d '{FLOWS}' {} {RECORD} >/dev/null",
            grpcurl.display(),
            socket.display()
        );
    }
    namespace.run(&script);
    let folder = file(&daemon).parent().unwrap().to_owned();
    let size = |name: &str| std::fs::metadata(folder.join(name)).map(|file| file.len());
    eventually("an old file", || size("calls.jsonl.1").ok());
    for name in ["calls.jsonl", "calls.jsonl.1"] {
        assert!(size(name).unwrap() <= 16_384, "{name}");
    }
    assert!(size("calls.jsonl.2").is_err());
    assert_eq!(audit(&daemon).len(), 100, "a page");
}

#[test]
fn a_disk_without_room_stops_nothing_and_is_told() {
    if !root() {
        return;
    }
    let namespace = Netns::new();
    let config = "[audit]\nfile = \"/dev/full\"\n";
    let daemon = Daemon::start(&namespace, config, &OVER_TCP);
    record(&daemon, &namespace);
    assert_eq!(audit(&daemon).len(), 1);
    assert_eq!(
        daemon.metric(&namespace, "sextant_audit_waiting_entries"),
        1
    );
    eventually("a warning", || {
        daemon.log().contains("the audit log is").then_some(())
    });
    let code = daemon.block_on(async {
        let channel = connect(&daemon.server()).await.unwrap();
        let request = ListAuditRequest {
            limit: 1001,
            ..ListAuditRequest::default()
        };
        let answer = AuditServiceClient::new(channel).list_audit(request).await;
        answer.unwrap_err().code()
    });
    assert_eq!(code, Code::InvalidArgument);
}

#[test]
fn pages_of_others_are_in_the_log_with_what_they_said() {
    if !root() {
        return;
    }
    let namespace = Netns::new();
    let daemon = Daemon::start(&namespace, "", &OVER_TCP);
    let ask = |headers: &str, path: &str| {
        let kind = "Content-Type: application/grpc-web+proto";
        let ask = format!(
            "curl -s -o /dev/null -w %{{http_code}} -X POST -H '{kind}' {headers} http://127.0.0.1:{path}"
        );
        namespace.run(&ask)
    };
    let web = format!("4245/{GET}");
    assert_eq!(ask("-H 'Origin: http://evil.example'", &web), "403");
    for _ in 0..3 {
        assert_eq!(ask("-H 'Host: rebound.example:4245'", &web), "421");
    }
    assert_eq!(
        ask("-H 'Sec-Fetch-Site: cross-site'", "9965/metrics"),
        "403"
    );
    // As pages of its own, natively and by hand: nobody is refused.
    assert_eq!(ask("-H 'Origin: http://127.0.0.1:4245'", &web), "200");
    assert!(daemon.status().is_some());
    let told = || {
        let mut told: Vec<_> = audit(&daemon)
            .into_iter()
            .map(|record| {
                format!(
                    "{} {} {} {} x{}",
                    record.method, record.code, record.message, record.what, record.count
                )
            })
            .collect();
        told.sort();
        told
    };
    // What is alike waits for the end of its window.
    let all = eventually("two are folded", || {
        Some(told()).filter(|told| told.len() == 4)
    });
    let foreign = "this server is not known by that name";
    for (told, parts) in all.iter().zip([
        [
            "metrics PERMISSION_DENIED HTTP 403",
            "host 127.0.0.1:9965 x1",
        ],
        [
            "GetFlows FAILED_PRECONDITION HTTP 421",
            "host rebound.example:4245 x1",
        ],
        [foreign, "x2"],
        [
            "GetFlows PERMISSION_DENIED HTTP 403",
            "host 127.0.0.1:4245, origin http://evil.example x1",
        ],
    ]) {
        assert!(
            parts.iter().all(|part| told.contains(part)),
            "{parts:?}: {told}"
        );
    }
}
