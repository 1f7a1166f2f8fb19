//! The real API server of Kubernetes with its etcd, in a network namespace of the test's
//! own, and `kubectl`. No controllers and no kubelet: the test says what those would.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{Netns, Process, hubble::tool};

const SERVER: &str = "https://127.0.0.1:6443";
const ADMIN: &str = "test-admin-token";

/// A cluster without nodes.
pub struct Cluster {
    namespace: String,
    folder: TempDir,
    server: Option<Process>,
    _etcd: Process,
}

impl Cluster {
    /// Starts it, and waits until it answers.
    #[must_use]
    pub fn start(namespace: &Netns) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let key = Command::new("openssl")
            .args(["genrsa", "-out"])
            .arg(path("sa.key"))
            .stderr(Stdio::null())
            .status();
        assert!(key.unwrap().success());
        let tokens = format!("{ADMIN},admin,1,\"system:masters\"\n");
        fs::write(path("tokens.csv"), tokens).unwrap();
        let etcd = spawn(
            &namespace.name,
            folder.path(),
            "etcd",
            &[
                "--data-dir",
                path("etcd").to_str().unwrap(),
                "--listen-client-urls=http://127.0.0.1:2379",
                "--advertise-client-urls=http://127.0.0.1:2379",
                "--listen-peer-urls=http://127.0.0.1:2380",
            ],
        );
        let mut cluster = Self {
            namespace: namespace.name.clone(),
            folder,
            server: None,
            _etcd: Process(etcd),
        };
        cluster.start_server();
        cluster
    }

    /// Ends the API server, as by a crash.
    pub fn kill_server(&mut self) {
        self.server = None;
    }

    /// Starts it again, with what is in its etcd.
    pub fn start_server(&mut self) {
        let folder = self.folder.path();
        let file = |name: &str| folder.join(name).display().to_string();
        let arguments = [
            "--etcd-servers=http://127.0.0.1:2379".to_owned(),
            "--bind-address=127.0.0.1".into(),
            "--advertise-address=127.0.0.1".into(),
            "--secure-port=6443".into(),
            format!("--cert-dir={}", file("certs")),
            "--service-cluster-ip-range=10.96.0.0/24".into(),
            format!("--service-account-issuer={SERVER}"),
            format!("--service-account-signing-key-file={}", file("sa.key")),
            format!("--service-account-key-file={}", file("sa.key")),
            format!("--token-auth-file={}", file("tokens.csv")),
            "--authorization-mode=RBAC".into(),
            "--disable-admission-plugins=ServiceAccount".into(),
            "--endpoint-reconciler-type=none".into(),
        ];
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let server = spawn(&self.namespace, folder, "kube-apiserver", &arguments);
        self.server = Some(Process(server));
        let ready = || self.try_kubectl("get --raw /readyz", "").0.then_some(());
        let deadline = Instant::now() + Duration::from_secs(90);
        while ready().is_none() {
            assert!(
                Instant::now() < deadline,
                "the API server is not ready: {}",
                fs::read_to_string(folder.join("kube-apiserver.log")).unwrap_or_default()
            );
            sleep(Duration::from_millis(200));
        }
    }

    /// Runs `kubectl` as the administrator and returns what it printed.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn kubectl(&self, arguments: &str) -> String {
        self.kubectl_with(arguments, "")
    }

    /// The same, with a document as its input.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn kubectl_with(&self, arguments: &str, input: &str) -> String {
        let (ok, out) = self.try_kubectl(arguments, input);
        assert!(ok, "kubectl {arguments}: {out}");
        out
    }

    /// The same, for what may fail: success and output.
    pub fn try_kubectl(&self, arguments: &str, input: &str) -> (bool, String) {
        let document = self.folder.path().join("input.yaml");
        fs::write(&document, input).unwrap();
        let output = Command::new("ip")
            .args(["netns", "exec", &self.namespace])
            .arg(tool("kubectl"))
            .args(["--server", SERVER, "--insecure-skip-tls-verify"])
            .args(["--token", ADMIN])
            .args(arguments.split_whitespace())
            .env("HOME", self.folder.path())
            .env_remove("KUBECONFIG")
            .stdin(File::open(document).unwrap())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    }

    /// A kubeconfig with the token of a service account.
    #[must_use]
    pub fn kubeconfig(&self, namespace: &str, account: &str) -> PathBuf {
        let token = self.kubectl(&format!("create token {account} --namespace {namespace}"));
        let file = self.folder.path().join(format!("{account}.kubeconfig"));
        let authority = self.folder.path().join("certs/apiserver.crt");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: a\n\
             clusters: [{{name: a, cluster: {{server: '{SERVER}', certificate-authority: '{}'}}}}]\n\
             users: [{{name: a, user: {{token: '{}'}}}}]\n\
             contexts: [{{name: a, context: {{cluster: a, user: a}}}}]\n",
            authority.display(),
            token.trim()
        );
        fs::write(&file, text).unwrap();
        file
    }

    /// Makes a pod that runs at this address, with a label `app` of its workload's name.
    pub fn run_pod(&self, pod: &Pod<'_>) {
        let Pod {
            namespace,
            name,
            app,
            node,
            address,
        } = pod;
        let owner = format!(
            "{{apiVersion: apps/v1, kind: ReplicaSet, name: {app}-5d69, uid: r-{app}, controller: true}}"
        );
        let manifest = format!(
            "apiVersion: v1\nkind: Pod\n\
             metadata: {{name: {name}, namespace: {namespace}, generateName: {app}-5d69-, ownerReferences: [{owner}],\n\
             \x20 labels: {{app: {app}, pod-template-hash: 5d69}}}}\n\
             spec: {{nodeName: {node}, containers: [{{name: c, image: i}}]}}\n"
        );
        self.kubectl_with("create -f -", &manifest);
        let status = format!(
            r#"{{"status":{{"phase":"Running","podIP":"{address}","podIPs":[{{"ip":"{address}"}}]}}}}"#
        );
        self.kubectl(&format!(
            "patch pod {name} --namespace {namespace} --subresource=status --type=merge -p {status}"
        ));
    }

    /// Takes a pod away at once.
    pub fn delete_pod(&self, namespace: &str, name: &str) {
        self.kubectl(&format!(
            "delete pod {name} --namespace {namespace} --grace-period=0 --force"
        ));
    }
}

/// A pod of a deployment.
pub struct Pod<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its deployment, and its label `app`.
    pub app: &'a str,
    /// Where it runs.
    pub node: &'a str,
    /// Where it is reached.
    pub address: &'a str,
}

fn spawn(namespace: &str, folder: &Path, program: &str, arguments: &[&str]) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join(format!("{program}.log")))
        .unwrap();
    Command::new("ip")
        .args(["netns", "exec", namespace])
        .arg(tool(program))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}
