//! Servers that speak to each other over TLS, and the real `hubble-relay` in front of them: both
//! sides show certificates, and whoever has the wrong one is told so.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use sextant_integration_tests::{
    Certificates, Process, Subject, certificates::HERE, daemon::binary, eventually, free_port,
    hubble::tool,
};

/// Two nodes and a relay with certificates of one authority.
fn certificates() -> Certificates {
    let files = Certificates::new();
    for node in ["n1", "n2"] {
        let name = format!("{node}.default.hubble-grpc.cilium.io");
        files.issue(node, &Subject::server(&[&name]));
        let client = Subject::client(node, &[&format!("spiffe://example.org/{node}")]);
        files.issue(&format!("{node}-client"), &client);
        let flow = format!(
            r#"{{"flow":{{"verdict":"FORWARDED","node_name":"{node}","source":{{"labels":["k8s:app={node}"]}}}}}}"#
        );
        files.write(&format!("{node}.jsonl"), &format!("{flow}\n"));
    }
    files
}

/// A server with one listener, of TLS that wants certificates of clients.
struct Node<'a> {
    files: &'a Certificates,
    name: &'static str,
    process: Process,
}

impl<'a> Node<'a> {
    /// With further configuration.
    fn start(files: &'a Certificates, name: &'static str, port: u16, config: &str) -> Self {
        let node = Self::launch(files, name, port, config);
        eventually("the daemon is ready", || {
            node.nodes().status.success().then_some(())
        });
        node
    }

    fn launch(files: &'a Certificates, name: &'static str, port: u16, config: &str) -> Self {
        let listener = format!(
            "[[listener]]\naddress = 'tcp://127.0.0.1:{port}'\ncertificate = '{name}.pem'\n\
             key = '{name}-key.pem'\nclient_ca = ['ca.pem']\n{config}"
        );
        files.write(&format!("{name}.toml"), &listener);
        let child = Command::new(binary())
            .args([
                "--no-datapath",
                "--metrics-listen",
                "off",
                "--node-name",
                name,
            ])
            .args(["--config", &format!("{name}.toml")])
            .args(["--replay", &format!("{name}.jsonl")])
            .args(["--state-dir", &format!("{name}.state"), "--listen"])
            .arg(format!("unix://{}", files.text(&format!("{name}.socket"))))
            .env("NO_COLOR", "1")
            .current_dir(files.path(""))
            .stderr(fs::File::create(files.path(&format!("{name}.log"))).unwrap())
            .spawn()
            .unwrap();
        Self {
            files,
            name,
            process: Process(child),
        }
    }

    /// What it knows of itself and its peers.
    fn nodes(&self) -> Output {
        let socket = self.files.text(&format!("{}.socket", self.name));
        let server = format!("unix://{socket}");
        hubble(self.files, &["list", "nodes", "--server", &server])
    }

    /// Its lines of one node.
    fn sees(&self, node: &str, words: &[&str]) {
        eventually(&format!("{node}: {words:?}"), || {
            let nodes = String::from_utf8(self.nodes().stdout).unwrap();
            let line = nodes
                .lines()
                .find(|line| line.starts_with(node))?
                .to_owned();
            words.iter().all(|word| line.contains(word)).then_some(())
        });
    }

    fn log(&self) -> String {
        fs::read_to_string(self.files.path(&format!("{}.log", self.name))).unwrap()
    }

    fn tells(&self, text: &str) {
        eventually(text, || {
            // Peers are asked when somebody wants to know.
            self.nodes();
            self.log().contains(text).then_some(())
        });
    }
}

fn hubble(files: &Certificates, arguments: &[&str]) -> Output {
    Command::new(tool("hubble"))
        .args(arguments)
        .env_clear()
        .env("HOME", "/nonexistent")
        .current_dir(files.path(""))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn peer(port: u16, keys: &str) -> String {
    format!("[[peer]]\nname = 'n2'\naddress = '127.0.0.1:{port}'\n{keys}")
}

#[test]
fn a_peer_is_asked_over_tls_and_shown_this_servers_certificate() {
    let files = certificates();
    let (first, second) = (free_port(), free_port());
    let outgoing =
        "[outgoing]\nca = ['ca.pem']\ncertificate = 'n1-client.pem'\nkey = 'n1-client-key.pem'\n";
    let config = format!("{outgoing}{}tls = true\n", peer(second, ""));
    let named = "[[grant]]\nrole = 'viewer'\nto = ['uri:spiffe://example.org/n1']\n";
    let other = Node::start(&files, "n2", second, named);
    let node = Node::start(&files, "n1", first, &config);
    node.sees("n1", &["Connected"]);
    node.sees("n2", &["Connected", "1/"]);
    drop(other);
    node.sees("n2", &["Unavailable"]);
    node.tells("peer gives no status");
    let _other = Node::start(&files, "n2", second, named);
    node.sees("n2", &["Connected"]);
    assert!(
        node.log().contains("gives its status again"),
        "{}",
        node.log()
    );
    // The next connection has the new certificate, which has no right there.
    files.issue(
        "n1-client",
        &Subject::client("n1", &["spiffe://example.org/other"]),
    );
    node.sees("n2", &["Error"]);
    node.tells("ServerStatus needs the role viewer");
}

#[test]
fn a_peer_is_shown_a_token_and_the_new_one_once_its_file_changes() {
    let files = certificates();
    let (first, second) = (free_port(), free_port());
    let (good, bad) = ("0123456789abcdef01", "0123456789abcdef02");
    files.write("n2.token", &format!("{good}\n"));
    files.write("n1.token", &format!("{bad}\r\n"));
    let wants = "client = 'optional'\n[[token]]\nname = 'n1'\nfile = 'n2.token'\n\
                 [[grant]]\nrole = 'viewer'\nto = ['token:n1']\n";
    let _other = Node::start(&files, "n2", second, wants);
    let keys = "ca = ['ca.pem']\ntoken_file = 'n1.token'\n";
    let node = Node::start(&files, "n1", first, &peer(second, keys));
    node.sees("n2", &["Error"]);
    node.tells("not known here");
    files.write("n1.token", &format!("{good}\r\n"));
    node.sees("n2", &["Connected"]);
    assert!(![good, bad].iter().any(|token| node.log().contains(token)));
}

#[test]
fn what_is_wrong_with_a_peers_tls_is_told_with_its_setting() {
    let files = certificates();
    let (first, second) = (free_port(), free_port());
    let stranger = Subject::client("n1", &[]).by_stranger();
    files.issue("stranger-client", &stranger);
    let _other = Node::start(&files, "n2", second, "");
    let pair = "certificate = 'n1-client.pem'\nkey = 'n1-client-key.pem'\n";
    for (keys, told) in [
        (format!("ca = ['stranger.pem']\n{pair}"), "in `ca`"),
        (
            format!("ca = ['ca.pem']\ntls_server_name = 'other.example'\n{pair}"),
            "in `tls_server_name`",
        ),
        (format!("tls = true\n{pair}"), "in `ca`"),
    ] {
        let node = Node::start(&files, "n1", first, &peer(second, &keys));
        node.sees("n2", &["Unavailable"]);
        node.tells(told);
    }
    for keys in [
        "ca = ['ca.pem']\n",
        "ca = ['ca.pem']\ncertificate = 'stranger-client.pem'\nkey = 'stranger-client-key.pem'\n",
    ] {
        let node = Node::start(&files, "n1", first, &peer(second, keys));
        node.tells("peer gives no status");
        let nodes = String::from_utf8(node.nodes().stdout).unwrap();
        let line = nodes.lines().find(|line| line.starts_with("n2")).unwrap();
        assert!(!line.contains("Connected"), "{line}");
    }
}

#[test]
fn files_of_outgoing_tls_that_are_of_no_use_are_refused_at_the_start() {
    let files = certificates();
    files.write("empty.pem", "");
    files.write("word.pem", "hello\n");
    files.write("two.token", "two words\n");
    let pair =
        |certificate: &str, key: &str| format!("certificate = '{certificate}'\nkey = '{key}'\n");
    for (keys, parts) in [
        (
            "ca = ['none.pem']\n".to_owned(),
            ["peer `n2`: ca: cannot read none.pem", "No such file"],
        ),
        (
            "ca = ['empty.pem']\n".into(),
            ["ca: empty.pem holds no certificate", "empty"],
        ),
        (
            "ca = ['word.pem']\n".into(),
            ["ca: word.pem holds no certificate", "none in it"],
        ),
        ("ca = ['.']\n".into(), ["ca: cannot read", "directory"]),
        (
            pair("n1.pem", "n2-key.pem"),
            ["n1.pem and n2-key.pem", "of another certificate"],
        ),
        (
            pair("n1.pem", "n1.pem"),
            ["key: n1.pem holds no private key", "none in it"],
        ),
        (
            pair("n1-key.pem", "n1-key.pem"),
            ["certificate: n1-key.pem holds no certificate", ""],
        ),
        (
            "tls = true\ntoken_file = 'empty.pem'\n".into(),
            ["token_file: empty.pem", "empty"],
        ),
        (
            "tls = true\ntoken_file = 'two.token'\n".into(),
            ["token_file: two.token", "one word"],
        ),
    ] {
        let mut node = Node::launch(&files, "n1", free_port(), &peer(1, &keys));
        let end = eventually("it ends", || node.process.0.try_wait().unwrap());
        let log = node.log();
        assert_eq!(end.code(), Some(1), "{keys}: {log}");
        assert!(parts.iter().all(|part| log.contains(part)), "{keys}: {log}");
    }
}

/// Relay in front of the first node, with its certificates for both sides.
fn relay(files: &Certificates, peer_service: &str, client: &str) -> (Process, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let log = fs::File::create(files.path(&format!("{client}.log"))).unwrap();
    let child = Command::new(tool("hubble-relay"))
        .args(["serve", "--gops=false", "--retry-timeout", "1s"])
        .args(["--peer-service", peer_service, "--listen-address", &address])
        .args([
            "--health-listen-address",
            &format!("127.0.0.1:{}", free_port()),
        ])
        .args(["--tls-hubble-server-ca-files", "ca.pem"])
        .args(["--tls-hubble-client-cert-file", &format!("{client}.pem")])
        .args(["--tls-hubble-client-key-file", &format!("{client}-key.pem")])
        .args(["--tls-relay-server-cert-file", "relay.pem"])
        .args(["--tls-relay-server-key-file", "relay-key.pem"])
        .args(["--tls-relay-client-ca-files", "ca.pem"])
        .current_dir(files.path(""))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    (Process(child), address)
}

#[test]
fn relay_reads_two_nodes_with_certificates_on_both_sides() {
    let files = certificates();
    files.issue("relay", &Subject::server(&HERE));
    files.issue("relay-client", &Subject::client("relay", &[]));
    files.issue("wrong-client", &Subject::client("relay", &[]).by_stranger());
    files.issue("ada", &Subject::client("ada", &[]));
    // The name of the node, and that of its peer service.
    let names = ["n1", "hubble-peer"].map(|name| format!("{name}.default.hubble-grpc.cilium.io"));
    files.issue("n1", &Subject::server(&[&names[0], &names[1]]));
    let (first, second) = (free_port(), free_port());
    let named = "[[grant]]\nrole = 'viewer'\nto = ['cn:relay']\n";
    let config = format!("{named}{}", peer(second, "ca = ['ca.pem']\n"));
    let _nodes = [
        Node::start(&files, "n1", first, &config),
        Node::start(&files, "n2", second, named),
    ];
    let peer_service = format!("127.0.0.1:{first}");
    let through = |relay: &str, arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(["--server", relay, "--tls", "--tls-ca-cert-files", "ca.pem"]);
        all.extend([
            "--tls-client-cert-file",
            "ada.pem",
            "--tls-client-key-file",
            "ada-key.pem",
        ]);
        hubble(&files, &all)
    };
    let (_relay, address) = relay(&files, &peer_service, "relay-client");
    let flows = eventually("flows of both nodes", || {
        let output = through(&address, &["observe", "--all", "-o", "jsonpb"]);
        let text = String::from_utf8(output.stdout).unwrap();
        ["app=n1", "app=n2"]
            .iter()
            .all(|label| text.contains(label))
            .then_some(text)
    });
    assert_eq!(flows.lines().count(), 2, "{flows}");
    let nodes = through(&address, &["list", "nodes", "-o", "json"]);
    let nodes = String::from_utf8(nodes.stdout).unwrap();
    assert_eq!(nodes.matches("NODE_CONNECTED").count(), 2, "{nodes}");
    for node in ["n1", "n2"] {
        let name = format!("{node}.default.hubble-grpc.cilium.io");
        assert!(nodes.contains(&name), "{nodes}");
    }

    // One whose certificate is of another authority learns of no node,
    let (refused, address) = relay(&files, &peer_service, "wrong-client");
    let log = || fs::read_to_string(files.path("wrong-client.log")).unwrap();
    eventually("relay is refused", || {
        log()
            .contains("unknown certificate authority")
            .then_some(())
    });
    let output = through(&address, &["observe", "--all", "-o", "jsonpb"]);
    assert!(output.stdout.is_empty(), "{output:?}");
    drop(refused);
    let refusal = "the client's certificate is refused: invalid peer certificate: UnknownIssuer";
    eventually("the node tells the refusal", || {
        let log = fs::read_to_string(files.path("n1.state/audit.jsonl")).unwrap_or_default();
        log.contains(refusal).then_some(())
    });
    // and reads from none where it learns of them by the unix socket.
    let socket = format!("unix://{}", files.text("n1.socket"));
    let (_refused, address) = relay(&files, &socket, "wrong-client");
    eventually("relay is refused by the nodes", || {
        let nodes = through(&address, &["list", "nodes", "-o", "json"]);
        let nodes = String::from_utf8(nodes.stdout).unwrap();
        (nodes.matches("NODE_UNAVAILABLE").count() == 2).then_some(())
    });
    let output = through(&address, &["observe", "--all", "-o", "jsonpb"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("\"flow\""), "{text}");
}
