//! Engines of containers of the test's own: sockets, data and cgroups apart from those
//! of the host, no firewall. All need root, and what `make setup` installs.
//!
//! Containers run busybox in the network of the engine, which is a namespace of the test.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{Netns, eventually};

/// The image that there is.
pub const IMAGE: &str = "localhost/test:1";

/// An engine; killed with its containers when dropped.
pub struct Engine {
    /// What it keeps.
    pub folder: TempDir,
    namespace: String,
    child: Child,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Docker,
    Podman,
    /// podman of this user.
    Rootless(u32),
    Containerd,
}

impl Engine {
    /// dockerd with an image whose labels are `labels` (`LABEL a=b`); containers survive its end.
    #[must_use]
    pub fn docker(namespace: &Netns, folder: TempDir, labels: &[&str]) -> Self {
        let network = r#""bridge": "none", "ip-forward": false, "ip-masq": false, "iptables": false, "userland-proxy": false"#;
        Self::docker_with(namespace, folder, labels, network)
    }

    /// dockerd with a bridge and a proxy in the namespace; also with rules of the firewall of that.
    #[must_use]
    pub fn docker_publishing(namespace: &Netns, folder: TempDir, rules: bool) -> Self {
        let network = format!(
            r#""userland-proxy-path": "{}", "iptables": {rules}, "ip-masq": {rules}"#,
            program("docker-proxy")
        );
        Self::docker_with(namespace, folder, &[], &network)
    }

    fn docker_with(namespace: &Netns, folder: TempDir, labels: &[&str], network: &str) -> Self {
        let json = format!(r#"{{"live-restore": true, "ip6tables": false, {network}}}"#);
        fs::write(folder.path().join("daemon.json"), json).unwrap();
        let engine = Self::start(Kind::Docker, namespace, folder);
        engine.import(labels);
        engine
    }

    /// podman's service with the same.
    #[must_use]
    pub fn podman(namespace: &Netns, folder: TempDir, labels: &[&str]) -> Self {
        let engine = Self::start(Kind::Podman, namespace, folder);
        engine.import(labels);
        engine
    }

    /// podman's service of a user that there is for it alone, with the image, and that user. Needs no
    /// cgroup of its own.
    #[must_use]
    pub fn rootless(namespace: &Netns, folder: TempDir) -> (Self, u32) {
        let user = 30_000 + std::process::id() % 20_000;
        prepare_user(folder.path(), user);
        let engine = Self::start(Kind::Rootless(user), namespace, folder);
        engine.import(&[]);
        (engine, user)
    }

    /// containerd, without an image.
    #[must_use]
    pub fn containerd(namespace: &Netns, folder: TempDir) -> Self {
        let at = folder.path().display();
        let config = format!(
            "version = 2\nroot = '{at}/root'\nstate = '{at}/state'\n[grpc]\naddress = '{at}/socket'\n\
             [plugins.'io.containerd.internal.v1.opt']\npath = '{at}/opt'\n\
             [plugins.'io.containerd.grpc.v1.cri']\nsandbox_image = '{IMAGE}'\ndisable_apparmor = true\n\
             restrict_oom_score_adj = true\n\
             [plugins.'io.containerd.grpc.v1.cri'.containerd]\nsnapshotter = 'native'\n"
        );
        fs::write(folder.path().join("config.toml"), config).unwrap();
        Self::start(Kind::Containerd, namespace, folder)
    }

    /// containerd with the image for pods, which podman makes.
    #[must_use]
    pub fn pods(namespace: &Netns, folder: TempDir, labels: &[&str]) -> Self {
        let engine = Self::containerd(namespace, folder);
        let (at, podman) = (engine.folder.path(), podman(engine.folder.path()));
        let archive = archive(at);
        let import = format!("{podman} import {} {archive} {IMAGE}", changes(labels));
        let image = at.join("image.tar");
        let save = format!(
            "{podman} save --format docker-archive -o {} {IMAGE}",
            image.display()
        );
        crate::netns::host(&format!("{import} && {save}"));
        engine.run(&format!("-n k8s.io images import {}", image.display()));
        engine
    }

    fn start(kind: Kind, namespace: &Netns, folder: TempDir) -> Self {
        let root = rootfs(folder.path());
        assert!(root.join("bin/busybox").exists());
        let engine = Self {
            child: launch(kind, &namespace.name, folder.path()),
            namespace: namespace.name.clone(),
            folder,
            kind,
        };
        engine.is_ready();
        engine
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket(self.folder.path())
    }

    /// A word that no other engine has.
    #[must_use]
    pub fn mark(&self) -> String {
        let name = self.folder.path().file_name();
        name.unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The files of a container.
    #[must_use]
    pub fn rootfs(&self) -> PathBuf {
        self.folder.path().join("rootfs")
    }

    /// Its own client, with these arguments.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn run(&self, arguments: &str) -> String {
        let (ok, text) = self.try_run(arguments);
        assert!(ok, "`{arguments}` failed: {text}\n{}", self.log());
        text
    }

    /// As `run`, for what may fail.
    pub fn try_run(&self, arguments: &str) -> (bool, String) {
        let at = self.folder.path().display();
        let client = match self.kind {
            Kind::Docker => format!("{} -H unix://{at}/socket", program("docker")),
            Kind::Podman => podman(self.folder.path()),
            Kind::Rootless(_) => format!("{} --remote --url unix://{at}/socket", program("podman")),
            Kind::Containerd => format!("{} -a {at}/socket", program("ctr")),
        };
        let out = enter(&self.namespace)
            .args(["sh", "-c", &format!("{client} {arguments}")])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = [out.stdout, out.stderr].concat();
        (
            out.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        crate::netns::host(&format!("kill -{signal} {}", self.child.id()));
    }

    /// Ends it; its containers go on.
    pub fn end(&mut self) {
        self.signal("TERM");
        self.child.wait().unwrap();
    }

    /// Starts it again.
    pub fn again(&mut self) {
        self.child = launch(self.kind, &self.namespace, self.folder.path());
        self.is_ready();
    }

    fn is_ready(&self) {
        let asks = match self.kind {
            Kind::Docker | Kind::Podman | Kind::Rootless(_) => "ps",
            Kind::Containerd => "version",
        };
        eventually("an engine that answers", || {
            let is_there = self.socket().exists();
            (is_there && self.try_run(asks).0).then_some(())
        });
    }

    fn import(&self, labels: &[&str]) {
        let archive = archive(self.folder.path());
        self.run(&format!("import {} {archive} {IMAGE}", changes(labels)));
    }

    /// How to list containers, and to remove one.
    fn removals(&self) -> &'static [(&'static str, &'static [&'static str])] {
        match self.kind {
            Kind::Docker => &[("ps -aq --no-trunc", &["rm -f"])],
            Kind::Podman | Kind::Rootless(_) => &[("ps -aq --no-trunc", &["rm -f -t 0"])],
            Kind::Containerd => &[
                ("containers ls -q", &["tasks rm -f", "containers rm"]),
                (
                    "-n k8s.io containers ls -q",
                    &["-n k8s.io tasks rm -f", "-n k8s.io containers rm"],
                ),
            ],
        }
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A hanging one would not do it.
        self.signal("CONT");
        for (list, remove) in self.removals() {
            for id in self.try_run(list).1.split_whitespace() {
                for remove in *remove {
                    let _ = self.try_run(&format!("{remove} {id}"));
                }
            }
        }
        self.signal("TERM");
        let _ = self.child.wait();
        // What watches over containers outlives the engine.
        kill_all_of(self.folder.path());
        if let Kind::Rootless(user) = self.kind {
            kill_all_by(user);
        }
        let cgroups = format!(
            "rmdir /sys/fs/cgroup/*/kubepods/*-{0} /sys/fs/cgroup/kubepods/*-{0}",
            self.mark()
        );
        let _ = Command::new("sh").args(["-c", &cgroups]).output();
        let _ = Command::new("sh")
            .args([
                "-c",
                "grep -o \"$0[^ ]*\" /proc/self/mounts | sort -r | xargs -r -n1 umount -l",
            ])
            .arg(self.folder.path())
            .status();
    }
}

/// The files of a container, as one.
fn archive(folder: &Path) -> String {
    let archive = folder.join("rootfs.tar").display().to_string();
    let files = folder.join("rootfs");
    crate::netns::host(&format!("tar -C {} -cf {archive} .", files.display()));
    archive
}

/// What an image says of itself, and what it does unless it is told.
fn changes(labels: &[&str]) -> String {
    let labels = labels
        .iter()
        .map(|label| format!("--change 'LABEL {label}'"));
    let command = r#"--change 'CMD ["/bin/sleep", "10000"]'"#.to_owned();
    labels.chain([command]).collect::<Vec<_>>().join(" ")
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("socket")
}

fn enter(namespace: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{namespace}"));
    command
}

fn podman(folder: &Path) -> String {
    let at = folder.display();
    format!(
        "{} --root {at}/root --runroot {at}/run --tmpdir {at}/tmp --runtime runc --cgroup-manager=cgroupfs \
         --storage-driver=vfs --events-backend=file",
        program("podman")
    )
}

fn launch(kind: Kind, namespace: &str, folder: &Path) -> Child {
    let at = folder.display();
    let line = match kind {
        Kind::Docker => format!(
            "{} --config-file {at}/daemon.json -H unix://{at}/socket --data-root {at}/data --exec-root {at}/exec \
             -p {at}/pid",
            program("dockerd")
        ),
        Kind::Podman => format!(
            "{} system service --time=0 unix://{at}/socket",
            podman(folder)
        ),
        Kind::Rootless(user) => as_user(
            folder,
            user,
            &format!(
                "{} system service --time=0 unix://{at}/socket",
                podman(folder)
            ),
        ),
        Kind::Containerd => format!("{} -c {at}/config.toml", program("containerd")),
    };
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .unwrap();
    enter(namespace)
        .args(["sh", "-c", &format!("exec {line}")])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Files of a user that is known to no other program.
fn prepare_user(folder: &Path, user: u32) {
    let at = folder.display();
    let write = |name: &str, text: String| fs::write(folder.join(name), text).unwrap();
    let passwd = format!("root:x:0:0::/root:/bin/sh\nsx:x:{user}:{user}::{at}/home:/bin/sh\n");
    write("passwd", passwd);
    write("group", format!("root:x:0:\nsx:x:{user}:\n"));
    write("subids", format!("sx:{}:65536\n", user * 65_536));
    crate::netns::host(&format!(
        "mkdir {at}/home {at}/runtime && chmod 700 {at}/runtime && mknod -m 666 {at}/tun c 10 200 && \
         chown -R {user}:{user} {at}"
    ));
}

/// What a user runs who may have a network of their own, as usual hosts have it.
fn as_user(folder: &Path, user: u32, line: &str) -> String {
    let at = folder.display();
    let binds = "passwd:/etc/passwd group:/etc/group subids:/etc/subuid subids:/etc/subgid tun:/dev/net/tun";
    let binds: String = binds
        .split(' ')
        .filter_map(|bind| bind.split_once(':'))
        .map(|(own, place)| format!("mount --bind {at}/{own} {place} && "))
        .collect();
    format!(
        "unshare --mount sh -c '{binds} cd {at}/home && exec env HOME={at}/home XDG_RUNTIME_DIR={at}/runtime \
         setpriv --reuid {user} --regid {user} --clear-groups {line}'"
    )
}

/// Processes of a user and of those that are this user's.
fn kill_all_by(user: u32) {
    let subids = user * 65_536;
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        let uid = uid.and_then(|uids| uids.split_whitespace().next()?.parse::<u32>().ok());
        if uid.is_some_and(|uid| uid == user || (subids..subids + 65_536).contains(&uid)) {
            let _ = Command::new("kill")
                .arg("-9")
                .arg(entry.file_name())
                .output();
        }
    }
}

/// One that `make setup` unpacked or installed.
fn program(name: &str) -> String {
    let tools = crate::hubble::tools();
    let unpacked = ["usr/sbin", "usr/bin"]
        .map(|folder| tools.join("../docker-trixie").join(folder).join(name));
    let installed = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    let installed = installed.map(|folder| Path::new(folder).join(name));
    let found = unpacked
        .into_iter()
        .chain(installed)
        .find(|path| path.exists());
    let found = found.unwrap_or_else(|| panic!("{name} is missing: run `make setup`"));
    found.display().to_string()
}

/// Busybox and names of what it can do.
fn rootfs(folder: &Path) -> PathBuf {
    let root = folder.join("rootfs");
    for part in ["bin", "proc", "sys", "dev", "etc", "tmp", "www"] {
        fs::create_dir_all(root.join(part)).unwrap();
    }
    fs::copy(program("busybox"), root.join("bin/busybox")).unwrap();
    for name in ["sh", "sleep", "httpd", "wget", "true"] {
        let _ = std::os::unix::fs::symlink("busybox", root.join("bin").join(name));
    }
    fs::write(root.join("www/index.html"), "here\n").unwrap();
    root
}

/// By their command lines, which have the folder.
fn kill_all_of(folder: &Path) {
    let folder = folder.to_string_lossy().into_owned();
    for _ in 0..20 {
        let mut any = false;
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&folder) {
                any = true;
                let _ = Command::new("kill").args(["-9", &name]).output();
            }
        }
        if !any {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
