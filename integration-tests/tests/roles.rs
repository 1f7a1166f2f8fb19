//! Who may call what: each RPC that reflection lists is called for real, by one caller
//! of each role and by one who has none.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use sextant_integration_tests::{Daemon, Netns, hubble::tool, root};

/// Users that the machine of the test has not, by role.
const VIEWER: u32 = 64_001;
const RECORDER: u32 = 64_002;
const OPERATOR: u32 = 64_003;
const NOBODY: u32 = 64_004;
const POLICY_ADMIN: u32 = 64_005;
const CONFIG: &str = "[[grant]]\nrole = \"viewer\"\nto = [\"uid:64001\"]\n\
                      [[grant]]\nrole = \"recorder\"\nto = [\"uid:64002\"]\n\
                      [[grant]]\nrole = \"operator\"\nto = [\"uid:64003\"]\n\
                      [[grant]]\nrole = \"policy-admin\"\nto = [\"uid:64005\"]\n";

/// The one user of these that may call a method; `None` where all may. What is new
/// and has no line here is for viewers.
fn may(method: &str) -> Option<u32> {
    match method {
        "grpc.health.v1.Health.Check" | "grpc.health.v1.Health.Watch" => None,
        "sextant.flow.v1.FlowService.RecordFlows" => Some(RECORDER),
        "sextant.audit.v1.AuditService.ListAudit" => Some(OPERATOR),
        "sextant.policy.v1.PolicyService.Apply"
        | "sextant.policy.v1.PolicyService.Confirm"
        | "sextant.policy.v1.PolicyService.Delete"
        | "sextant.policy.v1.PolicyService.Rollback"
        | "sextant.policy.v1.PolicyService.SetMode" => Some(POLICY_ADMIN),
        _ => Some(VIEWER),
    }
}

struct Calls {
    _namespace: Netns,
    _daemon: Daemon,
    socket: PathBuf,
    /// Descriptors of all services, so that who may not ask reflection can call.
    descriptors: PathBuf,
}

impl Calls {
    fn new() -> Self {
        let namespace = Netns::new();
        let daemon = Daemon::start(&namespace, CONFIG, &["--no-datapath"]);
        let socket = PathBuf::from(daemon.server().trim_start_matches("unix://"));
        let folder = socket.parent().unwrap();
        // Who is refused is to be refused by the server, and not by files.
        open(folder, 0o755);
        open(&socket, 0o666);
        let calls = Self {
            descriptors: folder.join("descriptors"),
            _namespace: namespace,
            _daemon: daemon,
            socket,
        };
        let path = calls.descriptors.to_str().unwrap();
        calls.as_root(&["-protoset-out", path], &["describe"]);
        open(&calls.descriptors, 0o644);
        calls
    }

    fn as_root(&self, options: &[&str], arguments: &[&str]) -> String {
        let output = Command::new(tool("grpcurl"))
            .args(["-plaintext", "-unix"])
            .args(options)
            .arg(&self.socket)
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// All methods of all services, as reflection has them.
    fn methods(&self) -> Vec<String> {
        let services = self.as_root(&[], &["list"]);
        let methods = services
            .lines()
            .map(|one| self.as_root(&[], &["list", one]));
        methods
            .flat_map(|list| list.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    /// Whether this user is let in; streams that follow are left.
    fn lets_in(&self, user: u32, method: &str) -> bool {
        let output = Command::new("setpriv")
            .args([format!("--reuid={user}"), format!("--regid={user}")])
            .arg("--clear-groups")
            .arg(tool("grpcurl"))
            .args([
                "-plaintext",
                "-unix",
                "-max-time",
                "2",
                "-d",
                "",
                "-protoset",
            ])
            .arg(&self.descriptors)
            .arg(&self.socket)
            .arg(method)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let is_refused = said.contains("Code: PermissionDenied");
        // Whoever is let in gets an answer, if only that the request says nothing.
        let is_answered = output.status.success() || said.contains("Code: ");
        assert!(is_answered, "{method} as {user}: {said}");
        !is_refused
    }
}

fn open(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn every_rpc_that_reflection_lists_is_refused_to_who_has_not_its_role() {
    if !root() {
        return;
    }
    let calls = Calls::new();
    let methods = calls.methods();
    for known in ["observer.Observer.GetFlows", "peer.Peer.Notify"] {
        assert!(methods.iter().any(|method| method == known), "{methods:?}");
    }
    thread::scope(|scope| {
        for user in [VIEWER, RECORDER, OPERATOR, NOBODY, POLICY_ADMIN] {
            let (calls, methods) = (&calls, &methods);
            scope.spawn(move || {
                for method in methods {
                    let expected = may(method).is_none_or(|one| one == user);
                    assert_eq!(calls.lets_in(user, method), expected, "{method} as {user}");
                }
            });
        }
    });
}
