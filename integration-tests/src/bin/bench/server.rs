//! The two servers under the same load, as processes of their own, and what
//! they cost by the kernel's account.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::client::Client;

/// A million flows take a while to load.
const READY_WITHIN: Duration = Duration::from_secs(300);
/// `USER_HZ`, the same on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// Without CPU time for so long, nothing is left to do.
const QUIET: Duration = Duration::from_millis(300);

/// What a server is loaded with.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// JSON lines.
    pub(crate) corpus: PathBuf,
    /// How often it is loaded.
    pub(crate) times: usize,
    /// Flows kept; a power of two minus one.
    pub(crate) capacity: u64,
    /// How clients reach it.
    pub(crate) transport: Transport,
}

/// What a server listens on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    /// A unix socket.
    Unix,
    /// A port of loopback.
    Tcp,
}

/// A running server; killed by pid when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    /// `sextant` or `hubble`.
    pub(crate) name: &'static str,
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    /// As its clients take it.
    pub(crate) address: String,
    _folder: TempDir,
}

impl Transport {
    /// An address that nobody uses.
    fn address(self, folder: &TempDir) -> anyhow::Result<String> {
        Ok(match self {
            Self::Unix => format!("unix://{}", folder.path().join("socket").display()),
            Self::Tcp => format!("http://127.0.0.1:{}", free_port()?),
        })
    }
}

impl Server {
    /// `sextantd` without a datapath.
    pub(crate) async fn sextant(binary: &Path, load: &Load) -> anyhow::Result<Self> {
        Self::sextant_with(binary, load, &[]).await
    }

    /// The same with further arguments.
    pub(crate) async fn sextant_with(
        binary: &Path,
        load: &Load,
        more: &[&str],
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = load.transport.address(&folder)?;
        let mut command = Command::new(binary);
        command
            .args(["--no-datapath", "--metrics-listen", "off"])
            .args(["--node-name", "node-0", "--flow-capacity"])
            .arg(load.capacity.to_string())
            .arg("--listen")
            .arg(address.replace("http:", "tcp:"))
            .arg("--state-dir")
            .arg(folder.path().join("state"))
            .args(more)
            .env("SEXTANT_LOG", "warn");
        for _ in 0..load.times {
            command.arg("--replay").arg(&load.corpus);
        }
        Self::start("sextant", command, address, folder).await
    }

    /// The real Hubble observer.
    pub(crate) async fn hubble(binary: &Path, load: &Load) -> anyhow::Result<Self> {
        Self::hubble_with(binary, load, &[]).await
    }

    /// The same with further arguments.
    pub(crate) async fn hubble_with(
        binary: &Path,
        load: &Load,
        more: &[&str],
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = load.transport.address(&folder)?;
        let mut command = Command::new(binary);
        command
            .args(["serve", "-node-name", "node-0", "-load"])
            .arg(&load.corpus)
            .args(["-times", &load.times.to_string()])
            .args(["-capacity", &load.capacity.to_string()])
            .arg("-listen")
            .arg(&address)
            .args(more);
        Self::start("hubble", command, address, folder).await
    }

    async fn start(
        name: &'static str,
        mut command: Command,
        address: String,
        folder: TempDir,
    ) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {name}: {command:?}"))?;
        let stdout = child.stdout.take().map(BufReader::new);
        let mut server = Self {
            name,
            child,
            stdout,
            address,
            _folder: folder,
        };
        server.until_ready().await?;
        Ok(server)
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended before it was ready: {status}", self.name);
            }
            if self.is_serving().await {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("{} is not ready after {READY_WITHIN:?}", self.name)
    }

    async fn is_serving(&self) -> bool {
        let Ok(endpoint) = tonic::transport::Endpoint::from_shared(self.address.clone()) else {
            return false;
        };
        let Ok(channel) = endpoint.connect().await else {
            return false;
        };
        let request = HealthCheckRequest {
            service: String::new(),
        };
        let response = HealthClient::new(channel).check(request).await;
        response.is_ok_and(|response| response.into_inner().status() == ServingStatus::Serving)
    }

    /// A new connection.
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        Client::connect(&self.address).await
    }

    /// Its process id.
    #[must_use]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU time so far, user and system.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        cpu(self.pid())
    }

    /// Resident memory that is its own, in bytes.
    pub(crate) fn own_rss(&self) -> anyhow::Result<u64> {
        own_rss(self.pid())
    }

    /// Resident memory in bytes.
    pub(crate) fn rss(&self) -> anyhow::Result<u64> {
        rss(self.pid())
    }

    /// Writes a line to its input and reads the answer; for `hubble-observer`.
    pub(crate) fn ask(&mut self, line: &str) -> anyhow::Result<String> {
        let stdin = self.child.stdin.as_mut().context("no input")?;
        writeln!(stdin, "{line}")?;
        stdin.flush()?;
        let mut answer = String::new();
        self.stdout
            .as_mut()
            .context("no output")?
            .read_line(&mut answer)?;
        ensure!(!answer.is_empty(), "{} does not answer {line:?}", self.name);
        Ok(answer)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of the loopback that nobody uses.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.port())
}

/// CPU time of a process so far, user and system, in steps of 10 ms.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything.
    let rest = stat.rsplit_once(')').context("no name in stat")?.1;
    let ticks = |index: usize| -> anyhow::Result<u32> {
        Ok(rest
            .split_whitespace()
            .nth(index)
            .context("short stat")?
            .parse()?)
    };
    Ok(TICK * (ticks(11)? + ticks(12)?))
}

/// CPU time of the threads that a process has now, in nanoseconds.
pub(crate) fn cpu_of_threads(pid: u32) -> anyhow::Result<Duration> {
    let mut total = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = std::fs::read_to_string(task?.path().join("schedstat"))?;
        let run = stat.split_whitespace().next().context("empty schedstat")?;
        total += run.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(total))
}

/// Resident memory of a process in bytes.
pub(crate) fn rss(pid: u32) -> anyhow::Result<u64> {
    memory(pid, "VmRSS:")
}

/// What of it is the process's own, and no page of a file, in bytes.
pub(crate) fn own_rss(pid: u32) -> anyhow::Result<u64> {
    memory(pid, "RssAnon:")
}

/// The most that was resident, in bytes.
pub(crate) fn most_rss(pid: u32) -> anyhow::Result<u64> {
    memory(pid, "VmHWM:")
}

fn memory(pid: u32, field: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix(field));
    let line = line.with_context(|| format!("no {field}"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib << 10)
}

/// Waits until a server has nothing left to do.
pub(crate) async fn until_quiet(server: &Server) -> anyhow::Result<()> {
    loop {
        let before = server.cpu()?;
        tokio::time::sleep(QUIET).await;
        // A step of 10 ms now and then is what it takes at rest.
        if server.cpu()?.saturating_sub(before) <= Duration::from_millis(10) {
            return Ok(());
        }
    }
}
