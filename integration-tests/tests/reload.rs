//! Rights that change while the daemon runs: by SIGHUP, and by the files of tokens; who is cut off,
//! and that a configuration that is wrong changes nothing.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    fs,
    io::Write as _,
    process::{Command, Output, Stdio},
};

use sextant_integration_tests::{
    Certificates, Process, Subject, daemon::binary, eventually, free_port,
};

const FLOW: &str = r#"{"flow":{"verdict":"FORWARDED","source":{"labels":["k8s:app=web"]}}}"#;
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";
const BOTH: &str = "[[grant]]\nrole = 'viewer'\nto = ['cn:ada', 'cn:bob', 'token:ci']\n\
                    [[grant]]\nrole = 'recorder'\nto = ['token:ci']\n";
const BOTH_CERTIFICATES: &str = "[[grant]]\nrole = 'viewer'\nto = ['cn:ada', 'cn:bob']\n";
const TOKEN: &str = "[[token]]\nname = 'ci'\nfile = 'ci.token'\n";

/// A daemon with one listener of TLS, for ada, bob and a token.
struct Guarded {
    files: Certificates,
    port: u16,
    process: Process,
}

impl Guarded {
    fn start(rights: &str) -> Self {
        let files = Certificates::new();
        files.issue("server", &Subject::server(&["localhost", "127.0.0.1"]));
        for name in ["ada", "bob"] {
            files.issue(name, &Subject::client(name, &[]));
        }
        files.write("ci.token", &format!("{SECRET}\n"));
        files.write("flows.jsonl", &format!("{FLOW}\n"));
        let port = free_port();
        configure(&files, port, rights);
        let child = Command::new(binary())
            .args(["--no-datapath", "--metrics-listen", "off"])
            .args(["--config", "sextant.toml", "--replay", "flows.jsonl"])
            .args(["--state-dir", "state", "--listen"])
            .arg(format!("unix://{}", files.text("socket")))
            .env("NO_COLOR", "1")
            .current_dir(files.path(""))
            .stderr(fs::File::create(files.path("log")).unwrap())
            .spawn()
            .unwrap();
        let daemon = Self {
            files,
            port,
            process: Process(child),
        };
        daemon.tells("metrics\u{0}", "serving server=127.0.0.1");
        daemon
    }

    /// Waits for a text of the log, and for no other.
    fn tells(&self, never: &str, text: &str) {
        eventually(text, || {
            let log = self.log();
            assert!(!log.contains(never), "{log}");
            log.contains(text).then_some(())
        });
    }

    fn log(&self) -> String {
        fs::read_to_string(self.files.path("log")).unwrap()
    }

    /// Reads another configuration.
    fn reload(&self, rights: &str) {
        configure(&self.files, self.port, rights);
        let pid = self.process.0.id().to_string();
        let done = Command::new("kill").args(["-HUP", &pid]).status().unwrap();
        assert!(done.success());
    }

    fn command(&self, who: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary().with_file_name("sextant"));
        command.args(arguments).args(["--server"]);
        match who {
            "root" => _ = command.arg(format!("unix://{}", self.files.text("socket"))),
            _ => {
                command.arg(format!("tls://127.0.0.1:{}", self.port));
                command.args(["--tls-ca-cert-files", "ca.pem"]);
            }
        }
        match who.strip_suffix(".token") {
            Some(_) => _ = command.args(["--token-file", who]),
            None if who == "root" => {}
            None => {
                command.args(["--tls-client-cert-file", &format!("{who}.pem")]);
                command.args(["--tls-client-key-file", &format!("{who}-key.pem")]);
            }
        }
        command.current_dir(self.files.path("")).env_clear();
        command.env("HOME", "/nonexistent").stdin(Stdio::null());
        command
    }

    fn run(&self, who: &str, arguments: &[&str]) -> Output {
        self.command(who, arguments).output().unwrap()
    }

    fn may(&self, who: &str, arguments: &[&str]) {
        let output = self.run(who, arguments);
        assert!(output.status.success(), "{who}: {output:?}");
    }

    fn may_not(&self, who: &str, arguments: &[&str], told: &str) {
        let output = self.run(who, arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && error.contains(told),
            "{who}: {error}"
        );
    }

    /// Follows, and has seen one flow.
    fn follow(&self, who: &str) -> Follower {
        let path = self.files.path(&format!("{who}.out"));
        let out = fs::File::create(&path).unwrap();
        let arguments = ["observe", "--follow", "--last", "1", "-o", "json"];
        let mut command = self.command(who, &arguments);
        let child = command
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let follower = Follower {
            path,
            process: Process(child),
        };
        eventually("it follows", || (follower.flows() == 1).then_some(()));
        follower
    }
}

struct Follower {
    path: std::path::PathBuf,
    process: Process,
}

impl Follower {
    fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }

    fn flows(&self) -> usize {
        self.text().matches("\"flow\"").count()
    }

    fn ends(&mut self, told: &str) {
        let end = eventually("the stream ends", || self.process.0.try_wait().unwrap());
        assert!(
            !end.success() && self.text().contains(told),
            "{}",
            self.text()
        );
    }

    fn goes_on(&mut self) {
        assert!(
            self.process.0.try_wait().unwrap().is_none(),
            "{}",
            self.text()
        );
    }
}

fn configure(files: &Certificates, port: u16, rights: &str) {
    let listener = format!(
        "[[listener]]\naddress = 'tcp://127.0.0.1:{port}'\ncertificate = 'server.pem'\n\
         key = 'server-key.pem'\nclient_ca = ['ca.pem']\nclient = 'optional'\n"
    );
    files.write("sextant.toml", &format!("{rights}{listener}"));
}

const READ: [&str; 3] = ["observe", "--last", "1"];
const RECORD: [&str; 3] = ["record", "--file", "flows.jsonl"];

#[test]
fn a_right_that_is_taken_ends_the_stream_of_its_caller_alone() {
    let daemon = Guarded::start(&format!("{TOKEN}{BOTH}"));
    let (mut ada, mut bob) = (daemon.follow("ada"), daemon.follow("bob"));
    let mut token = daemon.follow("ci.token");
    daemon.reload("[[grant]]\nrole = 'viewer'\nto = ['cn:ada']\n");
    bob.ends("GetFlows needs the role viewer");
    token.ends("not known here");
    let entries = daemon.run("root", &["audit", "-o", "json"]);
    let entries = String::from_utf8(entries.stdout).unwrap();
    for (who, code) in [
        ("cn:bob", "PERMISSION_DENIED"),
        ("token:ci", "UNAUTHENTICATED"),
    ] {
        let mut lines = entries.lines();
        let told = lines.any(|line| {
            [who, code, "GetFlows", "cut off"]
                .iter()
                .all(|part| line.contains(part))
        });
        assert!(told, "{who}: {entries}");
    }
    daemon.may_not("bob", &READ, "needs the role viewer");
    daemon.may("root", &RECORD);
    eventually("ada's goes on", || (ada.flows() == 2).then_some(()));
    ada.goes_on();
    // What was given back holds at once.
    daemon.reload(&format!("{TOKEN}{BOTH}"));
    eventually("bob may read again", || {
        daemon.run("bob", &READ).status.success().then_some(())
    });
    daemon.may("ci.token", &RECORD);
    ada.goes_on();
}

#[test]
fn who_may_no_longer_record_is_cut_off_on_the_way() {
    let rights = "[[grant]]\nrole = 'recorder'\nto = ['cn:ada']\n";
    let daemon = Guarded::start(rights);
    let mut command = daemon.command("ada", &["record", "--file", "-"]);
    let out = fs::File::create(daemon.files.path("recorder.out")).unwrap();
    let child = command.stdin(Stdio::piped()).stderr(out).spawn().unwrap();
    let mut recorder = Process(child);
    let mut input = recorder.0.stdin.take().unwrap();
    // As many as one message takes, and the first of the next.
    for _ in 0..300 {
        writeln!(input, "{FLOW}").unwrap();
    }
    eventually("flows are recorded", || {
        let flows = daemon.run("root", &["observe", "--all", "-o", "json"]);
        let flows = String::from_utf8(flows.stdout).unwrap();
        (flows.lines().count() > 1).then_some(())
    });
    daemon.reload("");
    let end = eventually("the call ends", || recorder.0.try_wait().unwrap());
    let told = fs::read_to_string(daemon.files.path("recorder.out")).unwrap();
    assert!(
        !end.success() && told.contains("needs the role recorder"),
        "{told}"
    );
    drop(input);
    let entries = daemon.run("root", &["audit", "-o", "json"]);
    let entries = String::from_utf8(entries.stdout).unwrap();
    assert!(
        entries.contains("cn:ada") && entries.contains("PERMISSION_DENIED"),
        "{entries}"
    );
}

#[test]
fn a_view_that_is_narrowed_holds_for_open_streams_too() {
    let daemon = Guarded::start(BOTH_CERTIFICATES);
    let (mut ada, mut bob) = (daemon.follow("ada"), daemon.follow("bob"));
    let narrow = "[[grant]]\nrole = 'viewer'\nto = ['cn:ada']\n\
                  [[grant]]\nrole = 'viewer'\nto = ['cn:bob']\nlabels = ['app=other']\n";
    daemon.reload(narrow);
    eventually("bob is told", || {
        bob.text()
            .contains("what this caller may see has changed")
            .then_some(())
    });
    daemon.may("root", &RECORD);
    eventually("ada's goes on", || (ada.flows() == 2).then_some(()));
    let output = daemon.run("bob", &["observe", "--all"]);
    assert!(
        output.status.success() && output.stdout.is_empty(),
        "{output:?}"
    );
    assert_eq!(bob.flows(), 1, "{}", bob.text());
    ada.goes_on();
    bob.goes_on();
}

#[test]
fn a_configuration_that_is_wrong_changes_nothing_and_is_told() {
    let daemon = Guarded::start(&format!("{TOKEN}{BOTH}"));
    let mut bob = daemon.follow("bob");
    let endpoint = "[[endpoint]]\nname = 'new'\naddresses = ['10.1.1.1']\n";
    let nobody = "[[grant]]\nrole = 'viewer'\nto = ['cn:nobody']\n";
    for (rights, told) in [
        (
            format!("{nobody}{endpoint}[[grant]]\nrole = 'king'\nto = ['cn:x']\n"),
            "sextant.toml:8: grant.role: `king` is no role",
        ),
        (
            format!("{nobody}{endpoint}[[token]]\nname = 'x'\nfile = 'none.token'\n"),
            "the token `x` in none.token: No such file",
        ),
        (
            format!("{nobody}{endpoint}[[grant]]\nrole = 'viewer'\nto = ['group:nogroup-x']\n"),
            "nogroup-x",
        ),
        (format!("{nobody}{endpoint}["), "sextant.toml:7"),
    ] {
        daemon.reload(&rights);
        daemon.tells("configuration read again", told);
        bob.goes_on();
        daemon.may("bob", &READ);
        daemon.may("ci.token", &RECORD);
    }
    assert_eq!(
        daemon
            .log()
            .matches("configuration not read again, as before")
            .count(),
        4
    );
}

#[test]
fn a_token_changes_with_its_file_and_ends_streams_of_the_old_one() {
    let daemon = Guarded::start(&format!("{TOKEN}{BOTH}"));
    daemon.files.write("old.token", SECRET);
    daemon.files.write("new.token", OTHER);
    let mut follower = daemon.follow("old.token");
    // One that is of no use changes nothing.
    daemon.files.write("ci.token", "two words\n");
    daemon.tells(
        "tokens read again",
        "tokens not read again, as before: the token `ci`",
    );
    daemon.may("old.token", &READ);
    follower.goes_on();
    daemon.files.write("ci.token", &format!("{OTHER}\r\n"));
    follower.ends("not known here");
    daemon.may_not("old.token", &READ, "not known here");
    daemon.may("new.token", &RECORD);
    // The log has names, never secrets.
    let entries = daemon.run("root", &["audit", "-o", "json"]);
    let entries = String::from_utf8(entries.stdout).unwrap();
    let of = |who: &str| entries.lines().filter(|line| line.contains(who)).count();
    // The stream that was cut off, and what was recorded.
    assert_eq!(of("\"token:ci\""), 2, "{entries}");
    assert!(entries.contains("is not known here"), "{entries}");
    for secret in [SECRET, OTHER] {
        let kept = fs::read_to_string(daemon.files.path("state/audit.jsonl")).unwrap();
        for text in [&entries, &daemon.log(), &kept] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
