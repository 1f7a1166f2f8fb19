//! The set of policies of a daemon at work: the command line and the service, restarts
//! and SIGKILL. Policies are disabled here, or only validated: nothing enforces.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use sextant_integration_tests::{
    daemon::{binary, client_binary, connect},
    eventually,
};
use sextant_proto::{
    flow::AgentEventType,
    observer::{GetAgentEventsRequest, observer_client::ObserverClient},
    sextant::policy::v1::{
        ApplyRequest, Document, ListRequest, Policy, PolicyMode, SetStatus,
        policy_service_client::PolicyServiceClient,
    },
};
use tempfile::TempDir;
use tonic::transport::Channel;

/// A daemon without eBPF whose state outlives it.
struct Server {
    folder: TempDir,
    child: Option<Child>,
    runtime: tokio::runtime::Runtime,
}

impl Server {
    fn new() -> Self {
        let server = Self {
            folder: tempfile::tempdir().unwrap(),
            child: None,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap(),
        };
        server.started()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn address(&self) -> String {
        format!("unix://{}", self.path("socket").display())
    }

    /// Starts it, and waits until it answers.
    fn started(mut self) -> Self {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let flows = self.path("flows.jsonl");
        fs::write(&flows, FLOWS).unwrap();
        let child = Command::new(binary())
            .args(["--no-datapath", "--metrics-listen", "off"])
            .args(["--listen", &self.address()])
            .args(["--listen", "tcp://127.0.0.1:0"])
            .arg("--state-dir")
            .arg(self.path("state"))
            .arg("--replay")
            .arg(flows)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        eventually("the daemon answers", || {
            self.runtime.block_on(async {
                let mut client = PolicyServiceClient::new(connect(&self.address()).await?);
                client.list(ListRequest::default()).await.ok()
            })
        });
        self
    }

    /// Ends it at once.
    fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn client(&self) -> PolicyServiceClient<Channel> {
        let connected = self.runtime.block_on(connect(&self.address()));
        PolicyServiceClient::new(connected.unwrap())
    }

    fn listed(&self) -> (Vec<Policy>, SetStatus) {
        let mut client = self.client();
        let answer = self.runtime.block_on(client.list(ListRequest::default()));
        let answer = answer.unwrap().into_inner();
        (answer.policies, answer.status.unwrap())
    }

    fn names(&self) -> Vec<String> {
        let policies = self.listed().0.into_iter();
        policies.map(|policy| policy.name).collect()
    }

    /// What the own command line says.
    fn sextant(&self, arguments: &[&str]) -> Output {
        Command::new(client_binary())
            .args(["--server", &self.address(), "policy"])
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    /// The same, which is to go well.
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.sextant(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same, which is to be refused.
    fn refuses(&self, arguments: &[&str]) -> String {
        let output = self.sextant(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.path("log")).unwrap_or_default();
            eprintln!("log of sextantd:\n{log}");
        }
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// One connection that was let through.
const FLOWS: &str = r#"{"flow":{"time":"2026-01-02T03:04:05Z","uuid":"of-the-stranger","verdict":"FORWARDED","is_reply":false,"IP":{"source":"10.9.1.3","destination":"10.9.1.1","ipVersion":"IPv4"},"l4":{"TCP":{"source_port":40000,"destination_port":8080}},"source":{"namespace":"shop","pod_name":"stranger","labels":["k8s:app=stranger"]},"destination":{"namespace":"shop","pod_name":"web","labels":["k8s:app=web"]}},"time":"2026-01-02T03:04:05Z"}
"#;

/// A policy that lets TCP to a port in.
fn policy(name: &str, port: usize) -> String {
    format!(
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec:\n  endpointSelector: {{matchLabels: {{app: web}}}}\n  ingress:\n  - toPorts:\n    \
         - ports: [{{port: \"{port}\", protocol: TCP}}]\n"
    )
}

#[test]
fn what_is_applied_is_kept_changed_and_rolled_back() {
    let mut server = Server::new();
    server.write("all/a.yaml", &policy("a", 1));
    server.write("all/b.yaml", &policy("b", 2));
    let told = server.says(&["apply", "-f", "all", "--mode", "disabled"]);
    assert!(
        told.contains("CiliumNetworkPolicy shop/a created (disabled)\n"),
        "{told}"
    );
    assert!(told.contains("revision 1: 2 policies"), "{told}");
    assert_eq!(
        server
            .sextant(&["diff", "-f", "all", "--prune"])
            .status
            .code(),
        Some(0)
    );
    server.kill();
    let server = server.started();
    assert_eq!(server.names(), ["a", "b"]);
    server.write("one.yaml", &policy("b", 3));
    let differs = server.sextant(&["diff", "-f", "one.yaml", "--prune"]);
    assert_eq!(differs.status.code(), Some(1));
    let told = String::from_utf8(differs.stdout).unwrap();
    for line in [
        "-      - port: \"2\"",
        "+      - port: \"3\"",
        "+++ /dev/null",
    ] {
        assert!(told.contains(line), "{told}");
    }
    let apply = ["apply", "-f", "one.yaml", "--prune", "--expected-revision"];
    let told = server.refuses(&[&apply[..], &["0"]].concat());
    assert!(told.contains("the set is at revision 1, not 0"), "{told}");
    let told = server.says(&[&apply[..], &["1"]].concat());
    assert!(
        told.contains("CiliumNetworkPolicy shop/a deleted\n"),
        "{told}"
    );
    assert_eq!(server.listed().0[0].mode(), PolicyMode::Disabled);
    server.says(&["rollback"]);
    assert_eq!(server.names(), ["a", "b"]);
    assert!(server.says(&["get", "shop/b"]).contains("port: \"2\""));
    server.says(&["delete", "shop/a", "shop/b"]);
    assert!(
        server
            .refuses(&["get", "shop/b"])
            .contains("there is no policy shop/b")
    );
    let told = server.says(&["history"]);
    assert_eq!(told.lines().count(), 5, "{told}");
    assert!(told.contains("rollback to 1"), "{told}");
}

#[test]
fn a_bad_document_among_good_ones_changes_nothing() {
    let server = Server::new();
    server.write("all/a.yaml", &policy("a", 1));
    server.says(&["apply", "-f", "all", "--mode", "disabled"]);
    server.write("all/a.yaml", &policy("a", 2));
    server.write("all/bad.yaml", &policy("bad", 1).replace("TCP", "TPC"));
    let told = server.refuses(&["apply", "-f", "all", "--prune", "--mode", "disabled"]);
    let expect = "all/bad.yaml: document 1 (CiliumNetworkPolicy shop/bad): spec.ingress[0]";
    assert!(told.contains(expect), "{told}");
    // The same by who does not look at them before.
    let mut client = server.client();
    let request = ApplyRequest {
        documents: ["a", "bad"]
            .map(|name| Document {
                name: name.into(),
                text: fs::read_to_string(server.path(&format!("all/{name}.yaml"))).unwrap(),
            })
            .into(),
        mode: PolicyMode::Disabled.into(),
        ..ApplyRequest::default()
    };
    let status = server.runtime.block_on(client.apply(request)).unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(status.message().contains("shop/bad"), "{status}");
    assert_eq!(server.listed().1.revision, 1);
}

#[test]
fn nothing_is_taken_that_would_do_nothing() {
    let server = Server::new();
    server.write("a.yaml", &policy("a", 1));
    let told = server.refuses(&["apply", "-f", "a.yaml"]);
    assert!(told.contains("policies are not enforced here"), "{told}");
    let told = server.refuses(&["apply", "-f", "a.yaml", "--audit"]);
    assert!(told.contains("policies are not enforced here"), "{told}");
    let told = server.says(&["apply", "-f", "a.yaml", "--validate-only"]);
    assert!(told.contains("would be created"), "{told}");
    server.says(&["apply", "-f", "a.yaml", "--mode", "disabled"]);
    let told = server.refuses(&["mode", "enforce", "shop/a"]);
    assert!(told.contains("policies are not enforced here"), "{told}");
    assert_eq!(server.listed().1.revision, 1);
}

#[test]
fn what_is_not_confirmed_is_undone_also_by_a_daemon_that_was_killed() {
    let mut server = Server::new();
    server.write("a.yaml", &policy("a", 1));
    server.write("b.yaml", &policy("b", 1));
    server.says(&["apply", "-f", "a.yaml", "--mode", "disabled"]);
    let within = |server: &Server, time: &str| {
        let apply = ["apply", "-f", "b.yaml", "--prune", "--mode", "disabled"];
        server.says(&[&apply[..], &["--confirm-within", time]].concat());
    };
    within(&server, "1s");
    assert_eq!(server.names(), ["b"]);
    eventually("it is undone", || (server.names() == ["a"]).then_some(()));
    within(&server, "60s");
    let told = server.refuses(&["delete", "shop/b"]);
    assert!(told.contains("waits to be confirmed"), "{told}");
    server.says(&["confirm"]);
    server.says(&["delete", "shop/b"]);
    within(&server, "1s");
    let deadline = server.listed().1.confirm_by.unwrap();
    server.kill();
    let server = server.started();
    eventually("it is undone", || server.names().is_empty().then_some(()));
    let now = std::time::SystemTime::now();
    assert!(now >= std::time::SystemTime::try_from(deadline).unwrap());
    assert!(server.says(&["history"]).contains("not confirmed"));
}

#[test]
fn plaintext_tcp_reads_and_changes_nothing() {
    let server = Server::new();
    server.write("a.yaml", &policy("a", 1));
    let log = fs::read_to_string(server.path("log")).unwrap();
    let mut words = log.split_whitespace();
    let port = words.find_map(|word| word.strip_prefix("server=127.0.0.1:"));
    let address = format!("127.0.0.1:{}", port.unwrap());
    let by_tcp = |arguments: &[&str]| {
        let arguments = [&["--server", &address, "policy"], arguments].concat();
        let sextant = Command::new(client_binary()).args(arguments).output();
        let output = sextant.unwrap();
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8(said).unwrap()
    };
    assert!(by_tcp(&["list"]).contains("revision 0"));
    let file = server.path("a.yaml");
    let apply = ["apply", "-f", file.to_str().unwrap(), "--validate-only"];
    let told = by_tcp(&apply);
    assert!(told.contains("Apply needs the role policy-admin"), "{told}");
    for change in [
        &["rollback"][..],
        &["confirm"],
        &["delete", "x"],
        &["mode", "audit", "x"],
    ] {
        let told = by_tcp(change);
        assert!(
            told.contains("needs the role policy-admin"),
            "{change:?}: {told}"
        );
    }
}

#[test]
fn a_stored_flow_is_explained_and_simulated() {
    let server = Server::new();
    let told = server.says(&["explain", "of-the-stranger"]);
    assert!(
        told.starts_with("shop/stranger -> shop/web:8080/TCP by revision 0\n"),
        "{told}"
    );
    assert!(
        told.contains("seen at 2026-01-02T03:04:05Z: FORWARDED"),
        "{told}"
    );
    assert!(
        told.ends_with("ingress: allowed: no policy is about it\nallowed\n"),
        "{told}"
    );
    server.write("a.yaml", &policy("a", 80));
    let told = server.says(&["simulate", "-f", "a.yaml"]);
    assert!(
        told.contains("CiliumNetworkPolicy shop/a default deny"),
        "{told}"
    );
    let request = sextant_proto::sextant::policy::v1::SimulateRequest {
        documents: vec![Document {
            name: String::new(),
            text: policy("a", 80),
        }],
        ..Default::default()
    };
    let mut client = server.client();
    let (changes, summary) = server.runtime.block_on(async {
        let mut answers = client.simulate(request).await.unwrap().into_inner();
        let (mut changes, mut summary) = (Vec::new(), None);
        while let Some(answer) = answers.message().await.unwrap() {
            changes.extend(answer.changes);
            summary = answer.summary.or(summary);
        }
        (changes, summary.unwrap())
    });
    assert_eq!((changes.len(), summary.judged, summary.denied), (1, 1, 1));
    assert_eq!(changes[0].source, "shop/stranger");
    assert_eq!(changes[0].by, "CiliumNetworkPolicy shop/a default deny");
}

#[test]
fn changes_are_events_of_the_agent() {
    let server = Server::new();
    server.write("a.yaml", &policy("a", 1));
    server.says(&["apply", "-f", "a.yaml", "--mode", "disabled"]);
    server.says(&["delete", "shop/a"]);
    let request = GetAgentEventsRequest {
        number: 10,
        ..GetAgentEventsRequest::default()
    };
    let kinds = server.runtime.block_on(async {
        let channel = connect(&server.address()).await.unwrap();
        let mut client = ObserverClient::new(channel);
        let mut events = client.get_agent_events(request).await.unwrap().into_inner();
        let mut kinds = Vec::new();
        while let Some(event) = events.message().await.unwrap() {
            kinds.push(event.agent_event.unwrap().r#type());
        }
        kinds
    });
    let expect = [AgentEventType::PolicyUpdated, AgentEventType::PolicyDeleted];
    assert_eq!(kinds, expect);
}

/// Policies of each set.
const MEMBERS: usize = 10;

/// A set whose policies all have the same port.
fn set(port: usize) -> ApplyRequest {
    let documents = (0..MEMBERS).map(|member| Document {
        name: String::new(),
        text: policy(&format!("p{member}"), port),
    });
    ApplyRequest {
        documents: documents.collect(),
        mode: PolicyMode::Disabled.into(),
        prune: true,
        ..ApplyRequest::default()
    }
}

/// The port of a policy.
fn port_of(policy: &Policy) -> usize {
    let document: serde_json::Value = serde_json::from_str(&policy.document).unwrap();
    let port = document.pointer("/spec/ingress/0/toPorts/0/ports/0/port");
    port.unwrap().as_str().unwrap().parse().unwrap()
}

/// Numbers that look random, from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        // Knuth's constants for 64 bits.
        let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = next.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// Set after set is applied, and the daemon killed at any moment of that: afterwards it
/// has the last set that was answered, or the next one, and all of it.
#[test]
fn sigkill_at_any_moment_leaves_the_old_set_or_the_new_one_whole() {
    let rounds = std::env::var("SEXTANT_POLICY_KILLS").map_or(25, |text| text.parse().unwrap());
    let seed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64;
    eprintln!("seed {seed}, {rounds} rounds");
    let mut random = Random(seed);
    let mut server = Server::new();
    let (mut answered, mut old, mut new) = (0, 0, 0);
    for round in 0..rounds {
        let mut client = server.client();
        let wait = Duration::from_micros(random.below(60_000));
        let first = answered + 1;
        let applying = server.runtime.spawn(async move {
            let mut last = first - 1;
            // Until the connection breaks.
            while client.apply(set(last + 1)).await.is_ok() {
                last += 1;
            }
            last
        });
        let end = Instant::now() + wait;
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        server.kill();
        let last = server.runtime.block_on(applying).unwrap();
        server = server.started();
        let (policies, status) = server.listed();
        let ports: Vec<_> = policies.iter().map(port_of).collect();
        let kept = ports.first().copied().unwrap_or(0);
        let is_whole = match kept {
            0 => ports.is_empty(),
            port => ports == [port; MEMBERS],
        };
        assert!(is_whole, "round {round}: {ports:?}");
        assert!(
            kept == last || kept == last + 1,
            "round {round}: {kept}, answered {last}"
        );
        assert_eq!(status.revision, kept as u64, "round {round}");
        let count = if kept == last { &mut old } else { &mut new };
        *count += 1;
        answered = kept;
    }
    eprintln!("{old} times the set that was answered, {new} times the next one; {answered} sets");
    let aside = |name: &Path| name.to_str().unwrap().contains("damaged");
    let mut state = fs::read_dir(server.path("state")).unwrap();
    assert!(!state.any(|entry| aside(&entry.unwrap().path())));
}
