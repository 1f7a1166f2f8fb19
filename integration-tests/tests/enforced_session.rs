//! Who looks after a host over ssh is not locked out of it: a change of policies that would
//! cut his session is refused, and one that is forced is undone, unless he confirms it.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    fs,
    io::{Read as _, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, SystemTime},
};

use sextant_integration_tests::{
    Certificates, Daemon, Netns, Process, Subject,
    bpffs::Bpffs,
    daemon::{client_binary, connect},
    enforced::{Hosts, host_policy},
    eventually, netns, root,
};
use sextant_proto::sextant::policy::v1::{
    ListRequest, SetStatus, policy_service_client::PolicyServiceClient,
};

/// Before a program: when it is killed, so are all that it started.
const WHOLE: [&str; 4] = ["unshare", "--pid", "--fork", "--kill-child"];

/// Keys of both sides, and root's home and shell on the host.
fn prepare(folder: &Path) {
    let home = folder.display();
    netns::host(&format!(
        "cd {home} && for key in host client; do dropbearkey -t ed25519 -f $key >/dev/null 2>&1; done && \
         mkdir -m 700 .ssh && dropbearkey -y -f client | grep ^ssh- >.ssh/authorized_keys && \
         echo 'root:x:0:0:root:{home}:/bin/sh' >passwd"
    ));
}

/// The ssh server of the host, which has `passwd` of the folder for its own.
fn server(host: &Netns, folder: &Path) -> Process {
    let folder = folder.display();
    let child = Command::new("nsenter")
        .arg(format!("--net=/run/netns/{}", host.name))
        .args(WHOLE)
        .args(["--mount", "sh", "-c"])
        .arg(format!(
            "mount --bind {folder}/passwd /etc/passwd && \
             exec dropbear -F -s -r {folder}/host -P {folder}/pid -p 10.9.1.1:22"
        ))
        .stdin(Stdio::null())
        .stderr(fs::File::create(Path::new(&folder.to_string()).join("log")).unwrap())
        .spawn()
        .unwrap();
    eventually("the ssh server listens", || {
        let listening = host.run("ss -Hltn sport = :22");
        listening.contains("10.9.1.1:22").then_some(())
    });
    Process(child)
}

/// Somebody at a terminal, who is logged in on the host by ssh.
struct Session {
    terminal: Child,
    screen: Arc<Mutex<String>>,
}

impl Session {
    fn open(from: &Netns, folder: &Path) -> Self {
        let key = folder.join("client");
        let mut terminal = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{}", from.name))
            .args(WHOLE)
            .args(["script", "--quiet", "--flush", "--command"])
            .arg(format!("dbclient -y -y -i {} root@10.9.1.1", key.display()))
            .arg("/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut shown, written) = (terminal.stdout.take().unwrap(), Arc::clone(&screen));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = shown.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..length]);
                written.lock().unwrap().push_str(&text);
            }
        });
        let mut session = Self { terminal, screen };
        session.types("echo logged-$((40 + 2))-in");
        session.shows("logged-42-in");
        session
    }

    fn types(&mut self, line: &str) {
        writeln!(self.terminal.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for it.
    fn shows(&self, text: &str) {
        eventually(text, || self.has(text).then_some(()));
    }

    fn has(&self, text: &str) -> bool {
        self.screen.lock().unwrap().contains(text)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the terminal:\n{}", self.screen.lock().unwrap());
        }
        let _ = self.terminal.kill();
        let _ = self.terminal.wait();
    }
}

fn status(daemon: &Daemon) -> SetStatus {
    daemon.block_on(async {
        let mut client = PolicyServiceClient::new(connect(&daemon.server()).await.unwrap());
        let answer = client.list(ListRequest::default()).await;
        answer.unwrap().into_inner().status.unwrap()
    })
}

/// When the change that was made last is undone.
fn deadline(daemon: &Daemon) -> SystemTime {
    eventually("a change that waits", || {
        status(daemon).confirm_by?.try_into().ok()
    })
}

fn config(bpffs: &Bpffs, certificates: &Certificates) -> String {
    certificates.issue("server", &Subject::server(&["10.9.1.1"]));
    let admin = Subject::client("admin", &["spiffe://a.test/admin"]);
    certificates.issue("admin", &admin);
    let [chain, key, ca] =
        ["server.pem", "server-key.pem", "ca.pem"].map(|file| certificates.text(file));
    format!(
        "[[listener]]\naddress = 'tcp://10.9.1.1:4244'\ncertificate = '{chain}'\nkey = '{key}'\n\
         client_ca = ['{ca}']\n[[grant]]\nrole = 'policy-admin'\nto = ['uri:spiffe://a.test/admin']\n\
         [policy]\non_exit = 'keep'\npins = '{}'\n",
        bpffs.pins().display()
    )
}

/// What the command line says on the neighbour, over the interface that is observed.
fn over_tcp(neighbour: &Netns, certificates: &Certificates, arguments: &str) -> (bool, String) {
    let [ca, chain, key] =
        ["ca.pem", "admin.pem", "admin-key.pem"].map(|file| certificates.text(file));
    neighbour.try_run(&format!(
        "{} --server tls://10.9.1.1:4244 --tls-ca-cert-files {ca} --tls-client-cert-file {chain} \
         --tls-client-key-file {key} {arguments}",
        client_binary().display()
    ))
}

#[test]
fn a_session_by_ssh_is_not_cut_unless_forced_and_then_comes_back_by_itself() {
    if !root() {
        return;
    }
    let (bpffs, certificates, hosts) = (Bpffs::new(), Certificates::new(), Hosts::new());
    let (host, neighbour) = (&hosts.host, &hosts.neighbour);
    for namespace in [host, neighbour] {
        // TCP sends again once a second, however long it waited (kernel 6.15).
        let _ = namespace.try_run("sysctl -qw net.ipv4.tcp_rto_max_ms=1000");
    }
    let mut daemon = hosts.observe(&config(&bpffs, &certificates));
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let _server = server(host, folder.path());
    let mut session = Session::open(neighbour, folder.path());
    let file = folder.path().join("deny.yaml");
    fs::write(&file, host_policy("ingress: [{fromCIDR: [192.0.2.0/24]}]")).unwrap();
    let apply = format!("policy apply -f {}", file.display());
    let typed = format!(
        "{} --server {} {apply}",
        client_binary().display(),
        daemon.server()
    );

    session.types(&format!("{typed}; echo ended-$?"));
    session.shows("ended-1");
    assert!(session.has("the change would deny a session that is open, from 10.9.1.2"));
    assert!(session.has("to port 22 (CiliumClusterwideNetworkPolicy the-host default deny)"));
    let (ok, told) = over_tcp(neighbour, &certificates, &apply);
    let why = "would deny the connection that it comes on, from 10.9.1.2 to port 4244";
    assert!(!ok && told.contains(why), "{told}");
    assert_eq!(status(&daemon).revision, 0);

    // The last one is taken back by the programs: nothing of ours lives then.
    for (word, is_killed, is_back) in [
        ("first", false, true),
        ("second", true, true),
        ("third", true, false),
    ] {
        session.types(&format!("{typed} --force --confirm-within 3s"));
        let deadline = deadline(&daemon);
        session.types(&format!("echo {word}-$((40 + 2))"));
        // The host changes meanwhile, and both sets with it.
        for last in 1..=5 {
            host.run(&format!("ip address replace 10.9.77.{last} dev lo"));
            thread::sleep(Duration::from_millis(100));
        }
        if is_killed {
            daemon.signal("KILL");
            daemon.wait();
        }
        if is_killed && is_back {
            daemon.again();
        }
        let shown = format!("{word}-42");
        session.shows(&shown);
        assert!(SystemTime::now() >= deadline, "{word}: it was never cut");
        if !is_back {
            daemon.again();
        }
        assert_eq!(status(&daemon).policies, 0);
    }
}
