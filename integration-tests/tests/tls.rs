//! TLS of the daemon, with the real `hubble` and `sextant`: who gets in, who may do what,
//! and certificates that are renewed meanwhile.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    fs,
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    thread,
};

use sextant_integration_tests::{
    Certificates, Process, Subject, daemon::binary, eventually, hubble::tool,
};

const FLOW: &str = r#"{"flow":{"verdict":"FORWARDED","source":{"labels":["k8s:app=web"]}}}"#;
const NAME: &str = "n1.default.hubble-grpc.cilium.io";

/// A daemon with one listener of TLS, for clients of its CA, in which ada may record.
struct Secure {
    files: Certificates,
    server: String,
    process: Process,
}

impl Secure {
    fn start() -> Self {
        let files = Certificates::new();
        files.issue(
            "server",
            &Subject::server(&[NAME, "localhost", "127.0.0.1"]),
        );
        files.issue(
            "ada",
            &Subject::client("ada", &["spiffe://example.org/ada"]),
        );
        files.issue(
            "bob",
            &Subject::client("bob", &["spiffe://example.org/bob"]),
        );
        files.issue(
            "old",
            &Subject::client("ada", &["spiffe://example.org/ada"]).expired(),
        );
        files.issue(
            "early",
            &Subject::client("ada", &["spiffe://example.org/ada"]).early(),
        );
        let stranger = Subject::client("ada", &["spiffe://example.org/ada"]).by_stranger();
        files.issue("stranger", &stranger);
        files.write("flows.jsonl", &format!("{FLOW}\n"));
        let config = "[[listener]]\naddress = 'tcp://127.0.0.1:0'\ncertificate = 'server.pem'\n\
                      key = 'server-key.pem'\nclient_ca = ['ca.pem']\n\
                      [[grant]]\nrole = 'recorder'\nto = ['uri:spiffe://example.org/ada', 'subject:CN=carl, O=x']\n";
        files.write("sextant.toml", config);
        let folder = files.path("");
        let child = Command::new(binary())
            .args([
                "--no-datapath",
                "--metrics-listen",
                "off",
                "--node-name",
                "n1",
            ])
            .args(["--config", "sextant.toml", "--replay", "flows.jsonl"])
            .args(["--state-dir", "state", "--listen"])
            .arg(format!("unix://{}", files.path("socket").display()))
            .env("NO_COLOR", "1")
            .current_dir(&folder)
            .stderr(fs::File::create(files.path("log")).unwrap())
            .spawn()
            .unwrap();
        let process = Process(child);
        let server = eventually("the daemon listens", || {
            let log = fs::read_to_string(files.path("log")).unwrap();
            let mut words = log.split_whitespace();
            words
                .find_map(|word| word.strip_prefix("server=127.0.0.1:"))
                .map(|port| format!("tls://127.0.0.1:{port}"))
        });
        Self {
            files,
            server,
            process,
        }
    }

    /// Has it read its certificates again.
    fn reload(&self) {
        let pid = self.process.0.id().to_string();
        let sent = Command::new("kill").args(["-HUP", &pid]).status().unwrap();
        assert!(sent.success());
    }

    fn call(
        &self,
        program: std::path::PathBuf,
        client: Option<&str>,
        arguments: &[&str],
    ) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).args(["--server", &self.server]);
        command.args(["--tls-ca-cert-files", "ca.pem"]);
        if let Some(client) = client {
            command
                .arg("--tls-client-cert-file")
                .arg(format!("{client}.pem"));
            command
                .arg("--tls-client-key-file")
                .arg(format!("{client}-key.pem"));
        }
        let command = command.current_dir(self.files.path("")).env_clear();
        command
            .env("HOME", "/nonexistent")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn sextant(&self, client: Option<&str>, arguments: &[&str]) -> Output {
        self.call(binary().with_file_name("sextant"), client, arguments)
    }

    /// The real `hubble` that follows as bob, and writes to this file.
    fn follow(&self, file: &str) -> Process {
        let child = Command::new(tool("hubble"))
            .args(["observe", "--follow", "--last", "1", "-o", "json"])
            .args(["--server", &self.server, "--tls-ca-cert-files", "ca.pem"])
            .args(["--tls-client-cert-file", "bob.pem"])
            .args(["--tls-client-key-file", "bob-key.pem"])
            .current_dir(self.files.path(""))
            .stdout(fs::File::create(self.files.path(file)).unwrap())
            .spawn();
        Process(child.unwrap())
    }

    fn lines(&self, file: &str) -> usize {
        let text = fs::read_to_string(self.files.path(file)).unwrap();
        text.lines().count()
    }

    fn is_refused(&self, client: Option<&str>, arguments: &[&str], text: &str) {
        let output = self.sextant(client, arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{client:?} {arguments:?}");
        assert!(error.contains(text), "{client:?}: {error}");
    }
}

#[test]
fn who_has_a_certificate_reads_and_who_has_the_role_writes() {
    let daemon = Secure::start();
    for client in ["ada", "bob"] {
        for program in [tool("hubble"), binary().with_file_name("sextant")] {
            let output = daemon.call(program, Some(client), &["observe", "--last", "1"]);
            assert!(output.status.success(), "{output:?}");
            assert!(
                String::from_utf8_lossy(&output.stdout).contains("FORWARDED"),
                "{output:?}"
            );
        }
    }
    let record = ["record", "--file", "flows.jsonl"];
    let output = daemon.sextant(Some("ada"), &record);
    assert!(output.status.success(), "{output:?}");
    daemon.is_refused(Some("bob"), &record, "RecordFlows needs the role recorder");
    daemon.is_refused(Some("ada"), &["audit"], "ListAudit needs the role operator");
}

#[test]
fn without_a_right_certificate_nobody_gets_in() {
    let daemon = Secure::start();
    let read = ["observe", "--last", "1"];
    daemon.is_refused(None, &read, "certificate");
    daemon.is_refused(Some("old"), &read, "certificate");
    daemon.is_refused(Some("early"), &read, "certificate");
    daemon.is_refused(Some("stranger"), &read, "certificate");
    let server = format!("unix://{}", daemon.files.text("socket"));
    let listed = eventually("all of them are in the audit log", || {
        let output = Command::new(binary().with_file_name("sextant"))
            .args(["audit", "-o", "json", "--server", &server])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let count = text.matches("UNAUTHENTICATED").count();
        (count >= 2).then_some(text)
    });
    // The first at once; those that are alike are counted.
    for part in ["no certificate", "\"TLS\"", "UnknownIssuer", "127.0.0.1:"] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    let named = [
        "observe",
        "--last",
        "1",
        "--tls-server-name",
        "other.example",
    ];
    daemon.is_refused(Some("ada"), &named, "other.example");
    let address = daemon.server.trim_start_matches("tls://");
    let old = Command::new("openssl")
        .args(["s_client", "-tls1_2", "-connect", address])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&old.stderr);
    assert!(text.contains("alert protocol version"), "{text}");
}

#[test]
fn a_renewed_certificate_is_taken_and_open_streams_go_on() {
    let daemon = Secure::start();
    let mut follower = daemon.follow("followed");
    let lines = || daemon.lines("followed");
    eventually("the follower follows", || (lines() == 1).then_some(()));
    // A name that the old one has not.
    daemon
        .files
        .issue("server", &Subject::server(&["new.example", "127.0.0.1"]));
    let named = ["observe", "--last", "1", "--tls-server-name", "new.example"];
    eventually("new connections have the new certificate", || {
        daemon
            .sextant(Some("ada"), &named)
            .status
            .success()
            .then_some(())
    });
    let output = daemon.sextant(Some("ada"), &["record", "--file", "flows.jsonl"]);
    assert!(output.status.success(), "{output:?}");
    eventually("the follower goes on", || (lines() == 2).then_some(()));
    assert!(follower.0.try_wait().unwrap().is_none());
}

#[test]
fn a_name_with_commas_is_not_taken_for_several() {
    let daemon = Secure::start();
    daemon
        .files
        .issue("carl", &Subject::client("carl, O=x", &[]));
    let record = ["record", "--file", "flows.jsonl"];
    daemon.is_refused(Some("carl"), &record, "needs the role recorder");
}

#[test]
fn a_certificate_for_servers_is_none_for_clients() {
    let daemon = Secure::start();
    daemon.files.issue("host", &Subject::server(&["localhost"]));
    daemon.is_refused(Some("host"), &["observe", "--last", "1"], "certificate");
}

/// A session that goes on is not asked for its certificate, which may have expired since.
#[test]
fn each_connection_shows_its_certificate() {
    let daemon = Secure::start();
    let address = daemon.server.trim_start_matches("tls://");
    let connect = |arguments: &[&str]| {
        let mut client = Command::new("openssl")
            .args([
                "s_client", "-connect", address, "-CAfile", "ca.pem", "-alpn", "h2",
            ])
            .args(arguments)
            .current_dir(daemon.files.path(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // What the server says after the handshake is read until it hangs up.
        let input = client.stdin.take();
        let output = client.wait_with_output().unwrap();
        drop(input);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let shown = [
        "-cert",
        "ada.pem",
        "-key",
        "ada-key.pem",
        "-sess_out",
        "session",
    ];
    let text = connect(&shown);
    assert!(text.contains("New, TLSv1.3"), "{text}");
    assert!(
        !text.contains("Post-Handshake New Session Ticket"),
        "{text}"
    );
    if daemon.files.path("session").exists() {
        let text = connect(&["-sess_in", "session"]);
        assert!(!text.contains("Reused"), "{text}");
    }
}

#[test]
fn certificates_change_under_load_and_no_call_and_no_stream_fails() {
    const ROUNDS: u32 = 10;
    let daemon = Secure::start();
    let files = ["one", "two", "three"];
    let mut followers = files.map(|file| daemon.follow(file));
    for file in files {
        eventually("the follower follows", || {
            (daemon.lines(file) == 1).then_some(())
        });
    }
    let (is_over, served) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        for client in ["ada", "bob"] {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    let output = daemon.sextant(Some(client), &["observe", "--last", "1"]);
                    assert!(output.status.success(), "{output:?}");
                    served.fetch_add(1, Relaxed);
                }
            });
        }
        for round in 0..ROUNDS {
            if round % 2 == 1 {
                // A renewal that is half done, or goes wrong, changes nothing.
                daemon.files.write("server-key.pem", "torn");
                daemon.reload();
            }
            // In the last round with a name that all before have not.
            let last = (round + 1 == ROUNDS).then_some("new.example");
            let names: Vec<_> = ["localhost", "127.0.0.1"].into_iter().chain(last).collect();
            daemon.files.issue("server", &Subject::server(&names));
            daemon.reload();
            let before = served.load(Relaxed);
            eventually("calls go on", || {
                (served.load(Relaxed) >= before + 4).then_some(())
            });
        }
        is_over.store(true, Relaxed);
    });
    let named = ["observe", "--last", "1", "--tls-server-name", "new.example"];
    let output = daemon.sextant(Some("bob"), &named);
    assert!(output.status.success(), "{output:?}");
    let output = daemon.sextant(Some("ada"), &["record", "--file", "flows.jsonl"]);
    assert!(output.status.success(), "{output:?}");
    for (file, follower) in files.iter().zip(&mut followers) {
        eventually("the follower goes on", || {
            (daemon.lines(file) == 2).then_some(())
        });
        assert!(follower.0.try_wait().unwrap().is_none());
    }
}
