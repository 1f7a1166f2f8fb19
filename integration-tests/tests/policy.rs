//! `sextant policy`: what policies would have done to real traffic, as the server has it
//! and as the real client recorded it; mistakes are told all at once.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use sextant_integration_tests::{
    Daemon, Netns, daemon::client_binary, eventually, hubble::hubble, root, veth,
};

/// Lets one endpoint in, to one port.
const POLICY: &str = r#"
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: web}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: client}}]
    toPorts: [{ports: [{port: "8080", protocol: TCP}]}]
"#;

const INVENTORY: &str = r#"
[[endpoint]]
name = "web"
namespace = "shop"
labels = ["app=web"]
addresses = ["10.9.1.1"]

[[endpoint]]
name = "client"
namespace = "shop"
labels = ["app=client"]
addresses = ["10.9.1.2"]

[[endpoint]]
name = "stranger"
namespace = "shop"
labels = ["app=stranger"]
addresses = ["10.9.1.3"]
"#;

/// What the own command line says.
fn sextant(arguments: &[&str]) -> Output {
    Command::new(client_binary())
        .args(arguments)
        .output()
        .unwrap()
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

/// The changes that a simulation tells, as `FROM > TO:PORT FLOWS BY`.
fn changes(arguments: &[&str]) -> Vec<String> {
    let arguments = [&["policy", "simulate", "-o", "json"], arguments].concat();
    let output = sextant(&arguments);
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let changes = lines.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let change = line.get("change")?;
        let text = |name: &str| change[name].as_str().unwrap().to_owned();
        Some(format!(
            "{} {} > {}:{}/{} by {}",
            text("verdict"),
            text("from"),
            text("to"),
            change["port"],
            text("protocol"),
            text("by")
        ))
    });
    changes.collect()
}

#[test]
fn a_simulation_tells_which_real_flows_a_policy_would_deny() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let policy = write(folder.path(), "policy.yaml", POLICY);
    let (a, b) = (Netns::new(), Netns::new());
    veth((&a, "va"), (&b, "vb"), 1);
    b.run("ip addr add 10.9.1.3/24 dev vb");
    let daemon = Daemon::start(&a, INVENTORY, &["--interface", "va"]);
    let _server = a.spawn("python3 -m http.server 8080 --bind 10.9.1.1");
    for address in ["10.9.1.2", "10.9.1.3"] {
        eventually("an answer", || {
            let curl = format!("curl -sf --interface {address} http://10.9.1.1:8080/");
            b.try_run(&curl).0.then_some(())
        });
    }
    let server = daemon.server();
    let recorded = eventually("both connections", || {
        let lines = hubble(&server, "observe --all --port 8080 -o jsonpb");
        let has = |name: &str| lines.contains(&format!("\"pod_name\":\"{name}\""));
        (has("client") && has("stranger")).then_some(lines)
    });
    let file = write(folder.path(), "flows.json", &recorded);
    let wanted =
        "denied shop/stranger > shop/web:8080/TCP by CiliumNetworkPolicy shop/web default deny";
    let policy = policy.to_str().unwrap();
    let live = ["--server", &server, "-f", policy, "--port", "8080"];
    assert_eq!(changes(&live), [wanted]);
    let file = ["-f", policy, "--input-file", file.to_str().unwrap()];
    assert_eq!(changes(&file), [wanted]);
    let suggested = sextant(&[
        "policy",
        "suggest",
        "--server",
        &server,
        "--port",
        "8080",
        "--endpoint",
        "app=web",
        "--endpoint-namespace",
        "shop",
    ]);
    assert!(suggested.status.success(), "{suggested:?}");
    let suggested = String::from_utf8(suggested.stdout).unwrap();
    assert!(suggested.contains("app\": stranger"), "{suggested}");
    let suggested = write(folder.path(), "suggested.yaml", &suggested);
    let live = [
        "--server",
        &server,
        "-f",
        suggested.to_str().unwrap(),
        "--port",
        "8080",
    ];
    assert_eq!(changes(&live), [""; 0]);
}

#[test]
fn mistakes_of_all_files_are_told_by_file_document_and_path() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.yaml", POLICY);
    write(folder.path(), "b.yml", &POLICY.replace("ingress", "ingres"));
    write(folder.path(), "c.json", "{");
    write(folder.path(), "d.yaml", POLICY);
    write(folder.path(), "notes.txt", "no policy");
    let output = sextant(&["policy", "check", "-f", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty(), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), 3, "{told}");
    let name = |file: &str| folder.path().join(file).display().to_string();
    let wanted = "document 1 (CiliumNetworkPolicy shop/web): spec.ingres: unknown field";
    assert!(
        lines[0].starts_with(&format!("{}: {wanted}", name("b.yml"))),
        "{told}"
    );
    assert!(
        lines[1].starts_with(&format!("{}: ", name("c.json"))),
        "{told}"
    );
    let twice = format!(
        "{}: CiliumNetworkPolicy shop/web is in {} too",
        name("d.yaml"),
        name("a.yaml")
    );
    assert!(lines[2].starts_with(&twice), "{told}");
}

#[test]
fn a_verdict_is_told_with_its_rule_and_as_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let policy = write(folder.path(), "policy.yaml", POLICY);
    for (from, port, code, wanted) in [
        (
            "app=client",
            "8080",
            0,
            "ingress: allowed: CiliumNetworkPolicy shop/web ingress[0]",
        ),
        (
            "app=client",
            "8081",
            1,
            "ingress: denied: CiliumNetworkPolicy shop/web default deny",
        ),
        (
            "app=other",
            "8080/TCP",
            1,
            "ingress: denied: CiliumNetworkPolicy shop/web default deny",
        ),
        (
            "2001:db8::1",
            "8080/SCTP",
            1,
            "ingress: denied: CiliumNetworkPolicy shop/web default deny",
        ),
        (
            "host",
            "8/ICMP",
            1,
            "ingress: denied: CiliumNetworkPolicy shop/web default deny",
        ),
    ] {
        let file = policy.to_str().unwrap();
        let output = sextant(&[
            "policy",
            "evaluate",
            "-f",
            file,
            "--from",
            from,
            "--from-namespace",
            "shop",
            "--to",
            "app=web",
            "--to-namespace",
            "shop",
            "--port",
            port,
        ]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(told.contains(wanted), "{told}");
    }
}
