//! What the tests of the command line share: the programs, and a `sextantd` that
//! replays files of the test without eBPF, and so without root.

use std::{
    env,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

pub(crate) const SEXTANT: &str = env!("CARGO_BIN_EXE_sextant");

/// A program that the environment or the build provides.
pub(crate) fn program(variable: &str, default: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = env::var_os(variable).map_or_else(|| root.join(default), PathBuf::from);
    if !path.is_file() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

/// How long a program may take; only a test that fails needs it.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// Looks again and again until there is what is waited for.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(POLL);
    }
}

/// `sextantd` with the flows of the test; it ends with the value.
pub(crate) struct Daemon {
    process: Child,
    /// Its state, its socket `s` and its log, `log`.
    pub(crate) folder: tempfile::TempDir,
}

impl Daemon {
    /// Starts it with the events of a file; nothing where it is not built.
    #[allow(dead_code, reason = "not all tests need a server")]
    pub(crate) fn start(replay: &Path) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let process = spawn(folder.path(), replay)?;
        let mut daemon = Self { process, folder };
        daemon.await_answer();
        Some(daemon)
    }

    /// Kills it, as a crash would.
    #[allow(dead_code, reason = "not all tests kill")]
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it still runs");
        self.process.wait().expect("it was killed");
    }

    /// Starts it anew where it was.
    #[allow(dead_code, reason = "not all tests kill")]
    pub(crate) fn start_again(&mut self, replay: &Path) {
        // As after a crash, the socket is still there.
        self.process = spawn(self.folder.path(), replay).expect("it was started before");
        self.await_answer();
    }

    fn await_answer(&mut self) {
        eventually("an answer of sextantd", || {
            // Ready is when it says so; unlike a stream, this leaves no trace in its counts.
            let asked = run(Path::new(SEXTANT), &self.arguments("status"));
            let ended = self.process.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "sextantd ended: {}", self.log());
            asked.status.success().then_some(())
        });
    }

    /// Its address on the unix socket.
    pub(crate) fn server(&self) -> String {
        format!("unix://{}", self.folder.path().join("s").display())
    }

    /// What it said until now.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).expect("the log can be read")
    }

    /// A command line, split at spaces, for this server.
    pub(crate) fn arguments(&self, line: &str) -> Vec<String> {
        let mut arguments: Vec<String> = line.split_whitespace().map(String::from).collect();
        arguments.extend(["--server".into(), self.server()]);
        arguments
    }
}

fn spawn(folder: &Path, replay: &Path) -> Option<Child> {
    let daemon = program("SEXTANTD", "target/debug/sextantd")?;
    let log = File::create(folder.join("log")).expect("a log");
    let process = Command::new(daemon)
        .args(["--no-datapath", "--metrics-listen", "off"])
        .args(["--node-name", "n1", "--listen", "tcp://127.0.0.1:0"])
        .arg("--listen")
        .arg(format!("unix://{}", folder.join("s").display()))
        .arg("--replay")
        .arg(replay)
        .arg("--state-dir")
        .arg(folder)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("sextantd starts");
    Some(process)
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A file of the test data.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// Runs a program to its end, among the test data, with nothing of the user's
/// environment that could colour or redirect.
pub(crate) fn run(program: &Path, arguments: &[String]) -> Output {
    Command::new(program)
        .args(arguments)
        .env_clear()
        .current_dir(data(""))
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}
