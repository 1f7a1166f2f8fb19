//! `FlowService`: recording by who may, and summaries of real traffic.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use sextant_integration_tests::{
    Daemon, Netns,
    daemon::{QUICK, connect},
    eventually,
    hubble::{hubble, tool},
    netns::quiet,
    root, veth,
};
use sextant_proto::{
    flow::FlowFilter,
    sextant::flow::v1::{
        FlowField, SummarizeFlowsRequest, Traffic, flow_service_client::FlowServiceClient,
    },
};

/// No process of this test's machine has this group but by the test.
const GROUP: u32 = 54_321;
const NOBODY: u32 = 65_534;
const METHOD: &str = "sextant.flow.v1.FlowService/RecordFlows";
/// One that is valid, one that is not.
const FLOWS: &str = r#"{"flows":[{"verdict":"FORWARDED","Type":"L3_L4",
    "IP":{"source":"10.77.0.1","destination":"10.77.0.2","ipVersion":"IPv4"},
    "l4":{"TCP":{"source_port":40000,"destination_port":80}}},{"IP":{"source":"nowhere"}}]}"#;

fn socket(daemon: &Daemon) -> PathBuf {
    daemon.server().trim_start_matches("unix://").into()
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Records over the unix socket as this user and these groups.
fn record_as(daemon: &Daemon, user: u32, group: u32, groups: &str) -> Output {
    Command::new("setpriv")
        .args(["--reuid", &user.to_string(), "--regid", &group.to_string()])
        .args(groups.split_whitespace())
        .arg(tool("grpcurl"))
        .args(["-plaintext", "-unix", "-connect-timeout", "2", "-d", FLOWS])
        .arg(socket(daemon))
        .arg(METHOD)
        .output()
        .unwrap()
}

#[track_caller]
fn refused(output: &Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains(why), "{said}");
}

#[track_caller]
fn recorded(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(r#""recorded": "1""#), "{output:?}");
    assert!(said.contains(r#""index": "1""#), "{said}");
    assert!(said.contains(r#""field": "IP.source""#), "{said}");
}

#[test]
fn only_root_and_members_of_the_group_record_and_hubble_shows_it() {
    if !root() {
        return;
    }
    let namespace = Netns::new();
    let config = format!("[server]\nwrite_group = \"{GROUP}\"\n");
    let arguments = ["--no-datapath", "--listen", "tcp://127.0.0.1:4245"];
    let daemon = Daemon::start(&namespace, &config, &arguments);
    // Test folders are root's alone; the socket's own rights are what is tested.
    mode(socket(&daemon).parent().unwrap(), 0o755);

    let over_tcp = Command::new("ip")
        .args(["netns", "exec", &namespace.name])
        .arg(tool("grpcurl"))
        .args(["-plaintext", "-d", FLOWS, "127.0.0.1:4245", METHOD])
        .output()
        .unwrap();
    refused(&over_tcp, "PermissionDenied");
    refused(&over_tcp, "this connection is plaintext TCP");
    // By the file's mode, and where that is opened, by the server.
    refused(
        &record_as(&daemon, NOBODY, NOBODY, "--clear-groups"),
        "Failed to dial",
    );
    mode(&socket(&daemon), 0o666);
    let stranger = record_as(&daemon, NOBODY, NOBODY, "--clear-groups");
    refused(&stranger, "PermissionDenied");
    refused(&stranger, &format!("a member of the group `{GROUP}`"));
    mode(&socket(&daemon), 0o660);
    assert_eq!(daemon.flows(), []);

    recorded(&record_as(&daemon, 0, 0, "--clear-groups"));
    recorded(&record_as(&daemon, NOBODY, GROUP, "--clear-groups"));
    let supplementary = format!("--groups {GROUP}");
    recorded(&record_as(&daemon, NOBODY, NOBODY, &supplementary));
    let shown = hubble(
        &daemon.server(),
        "observe --first 10 -o jsonpb --from-ip 10.77.0.1",
    );
    assert_eq!(shown.lines().count(), 3, "{shown}");
    for line in shown.lines() {
        assert!(line.contains(r#""node_name":"node-a""#), "{line}");
        assert!(line.contains("reserved:world"), "{line}");
    }
}

/// Traffic of TCP over the last minutes.
fn tcp(daemon: &Daemon) -> Traffic {
    let request = SummarizeFlowsRequest {
        window: Some(prost_types::Duration {
            seconds: 600,
            nanos: 0,
        }),
        whitelist: vec![FlowFilter {
            protocol: vec!["tcp".into()],
            ..FlowFilter::default()
        }],
        group_by: vec![
            FlowField::SourceIp.into(),
            FlowField::DestinationPort.into(),
        ],
        ..SummarizeFlowsRequest::default()
    };
    let summary = daemon.block_on(async {
        let channel = connect(&daemon.server()).await.unwrap();
        let mut client = FlowServiceClient::new(channel);
        client.summarize_flows(request).await.unwrap().into_inner()
    });
    let summary = summary.summary.unwrap();
    let groups = summary
        .groups
        .iter()
        .filter_map(|group| group.traffic.as_ref());
    let in_groups: u64 = groups.map(|traffic| traffic.bytes).sum();
    let total = summary.total.unwrap();
    let others = summary.others.unwrap();
    assert_eq!(in_groups + others.bytes, total.bytes);
    total
}

fn interface(namespace: &Netns) -> (u64, u64) {
    let sum = |what: &str| {
        ["rx", "tx"]
            .map(|way| namespace.statistic("va", &format!("{way}_{what}")))
            .iter()
            .sum()
    };
    (sum("packets"), sum("bytes"))
}

#[test]
fn a_summary_has_the_packets_and_bytes_of_the_interface() {
    if !root() {
        return;
    }
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    let mac = |namespace: &Netns, name: &str| {
        namespace.run(&format!("ip -br link show {name} | awk '{{print $3}}'"))
    };
    // Nothing but the test's traffic: no IPv6, no questions for neighbours.
    for (one, name, other, peer, last) in [(&a, "va", &b, "vb", 2), (&b, "vb", &a, "va", 1)] {
        let mac = mac(other, peer);
        one.run(&format!(
            "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 && \
             ip neigh replace 10.9.1.{last} lladdr {} dev {name} nud permanent",
            mac.trim()
        ));
    }
    let daemon = Daemon::start(&a, QUICK, &["--interface", "va"]);
    quiet(&a, "va");
    let before = interface(&a);
    let served = tempfile::tempdir().unwrap();
    std::fs::write(served.path().join("file"), vec![7; 3_000_000]).unwrap();
    let _server = b.spawn(&format!(
        "python3 -m http.server 8000 --directory {}",
        served.path().display()
    ));
    eventually("a file is served", || {
        let (ok, _) = a.try_run("curl -sf http://10.9.1.2:8000/file -o /dev/null");
        ok.then_some(())
    });
    a.run("for i in 1 2 3; do curl -sf http://10.9.1.2:8000/file -o /dev/null; done");
    quiet(&a, "va");
    let after = interface(&a);
    let expected = (after.0 - before.0, after.1 - before.1);
    assert!(expected.1 > 12_000_000, "{expected:?}");
    let total = eventually("the flows have ended", || {
        let total = tcp(&daemon);
        (total.packets >= expected.0).then_some(total)
    });
    assert_eq!((total.packets, total.bytes), expected);
}
