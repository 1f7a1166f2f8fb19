//! What viewers see whose grant is limited, by the real clients: their own flows, with nothing
//! in them that is hidden, whatever they ask.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output},
    time::SystemTime,
};

use sextant_integration_tests::{Daemon, Netns, daemon::binary, hubble::tool, root};
use tempfile::TempDir;

/// `shop` is limited and redacted, `web` limited by labels, `all` sees everything.
const SHOP: u32 = 61_001;
const WEB: u32 = 61_002;
const ALL: u32 = 61_003;

const CONFIG: &str = "
[[grant]]
role = 'viewer'
to = ['uid:61001']
namespaces = ['shop']
redact = ['url-path', 'url-query', 'dns-names']
[[grant]]
role = 'viewer'
to = ['uid:61002']
labels = ['app=web']
[[grant]]
role = 'viewer'
to = ['uid:61003']
";

/// Flows of two teams: what is whose is in the URL and the DNS names.
const FLOWS: &str = concat!(
    r#"{"flow":{"time":"NOW","verdict":"FORWARDED","Type":"L7","source":{"namespace":"shop","pod_name":"front","labels":["k8s:app=web"]},"destination":{"namespace":"pay","pod_name":"api"},"destination_names":["secret-host"],"l7":{"type":"REQUEST","http":{"method":"GET","url":"http://secret-host/secret-path?secret=query","headers":[{"key":"x-path","value":"secret-path"}]}},"Summary":"GET http://secret-host/secret-path"}}"#,
    "\n",
    r#"{"flow":{"time":"NOW","verdict":"FORWARDED","Type":"L7","source":{"namespace":"shop","pod_name":"front"},"destination":{"namespace":"kube-system","pod_name":"dns"},"l7":{"type":"REQUEST","dns":{"query":"secret-host."}}}}"#,
    "\n",
    r#"{"flow":{"time":"NOW","verdict":"DROPPED","source":{"namespace":"bank","pod_name":"vault","labels":["k8s:app=db"]},"destination":{"namespace":"pay","pod_name":"api"}}}"#,
    "\n",
);

struct Server {
    daemon: Daemon,
    _namespace: Netns,
    _flows: TempDir,
}

impl Server {
    fn start() -> Self {
        let namespace = Netns::new();
        let flows = tempfile::tempdir().unwrap();
        let file = flows.path().join("flows.jsonl");
        let now = prost_types::Timestamp::from(SystemTime::now()).to_string();
        fs::write(&file, FLOWS.replace("NOW", &now)).unwrap();
        let replay = ["--no-datapath", "--replay", file.to_str().unwrap()];
        let daemon = Daemon::start(&namespace, CONFIG, &replay);
        let socket = daemon.server().trim_start_matches("unix://").to_owned();
        let folder = std::path::Path::new(&socket).parent().unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
        Self {
            daemon,
            _namespace: namespace,
            _flows: flows,
        }
    }

    fn ask(&self, uid: u32, program: &str, arguments: &[&str]) -> Output {
        let program = match program {
            "sextant" => binary().with_file_name("sextant"),
            other => tool(other),
        };
        let uid = uid.to_string();
        Command::new("setpriv")
            .args(["--reuid", &uid, "--regid", &uid, "--clear-groups"])
            .arg(program)
            .args(arguments)
            .args(["--server", &self.daemon.server()])
            .env("HOME", "/nonexistent")
            .output()
            .unwrap()
    }

    fn said(&self, uid: u32, program: &str, arguments: &[&str]) -> String {
        let output = self.ask(uid, program, arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn count(&self, uid: u32, filters: &[&str]) -> usize {
        let mut arguments = vec!["observe", "--all", "-o", "json"];
        arguments.extend(filters);
        let text = self.said(uid, "hubble", &arguments);
        text.lines().count()
    }
}

#[test]
fn each_team_sees_its_own_flows_and_those_who_may_see_all() {
    if !root() {
        return;
    }
    let server = Server::start();
    let counts = [SHOP, WEB, ALL, 0].map(|uid| server.count(uid, &[]));
    assert_eq!(counts, [2, 1, 3, 3]);
    // The last of its own, not of all.
    let last = server.said(SHOP, "hubble", &["observe", "--last", "1", "-o", "json"]);
    assert!(
        last.contains("kube-system") && !last.contains("bank"),
        "{last}"
    );
    let stranger = server.ask(61_009, "hubble", &["observe", "--all"]);
    let error = String::from_utf8_lossy(&stranger.stderr);
    assert!(error.contains("needs the role viewer"), "{error}");
    let agent = server.ask(SHOP, "hubble", &["observe", "agent-events", "--all"]);
    let error = String::from_utf8_lossy(&agent.stderr);
    assert!(error.contains("limited to some flows"), "{error}");
}

#[test]
fn what_is_hidden_is_in_no_answer() {
    if !root() {
        return;
    }
    let server = Server::start();
    let questions: [(&str, &[&str]); 7] = [
        ("hubble", &["observe", "--all", "-o", "json"]),
        ("hubble", &["observe", "--all", "-o", "dict"]),
        ("sextant", &["observe", "--all", "-o", "json"]),
        ("sextant", &["stats", "--group-by", "destination-name"]),
        ("sextant", &["hints", "destination-name"]),
        ("sextant", &["hints", "source-namespace"]),
        ("hubble", &["list", "namespaces"]),
    ];
    for (program, arguments) in questions {
        let all = server.said(ALL, program, arguments);
        let shop = server.said(SHOP, program, arguments);
        assert!(!shop.contains("secret"), "{arguments:?}: {shop}");
        assert!(!shop.contains("bank"), "{arguments:?}: {shop}");
        let has = ["secret", "bank"]
            .into_iter()
            .any(|text| all.contains(text));
        assert!(has, "nothing to hide in {arguments:?}: {all}");
    }
}

#[test]
fn filters_tell_nothing_of_what_is_hidden() {
    if !root() {
        return;
    }
    let server = Server::start();
    for (filters, all, shop) in [
        (["--http-path", "secret"], 1, 0),
        (["--http-url", "secret"], 1, 0),
        (["--to-fqdn", "secret-host"], 1, 0),
        (["--http-header", "x-path:secret-path"], 1, 0),
        (["--from-namespace", "bank"], 1, 0),
        (["--http-path", "HUBBLE_REDACTED"], 0, 1),
        (["--from-namespace", "shop"], 2, 2),
        (
            ["--cel-expression", "_flow.l7.http.url.contains('secret')"],
            1,
            0,
        ),
    ] {
        let counts = [ALL, SHOP].map(|uid| server.count(uid, &filters));
        assert_eq!(counts, [all, shop], "{filters:?}");
    }
}
