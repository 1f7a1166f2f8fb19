//! A `sextantd` of the test's own, in one of its namespaces.

use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use sextant_proto::{
    flow::Flow,
    observer::{
        GetFlowsRequest, GetFlowsResponse, ServerStatusRequest, ServerStatusResponse,
        get_flows_response::ResponseTypes, observer_client::ObserverClient,
    },
    sextant::status::v1::{
        Attachment, GetStatusRequest, Status, status_service_client::StatusServiceClient,
    },
};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{Netns, eventually};

/// Short lives for flows, so that tests see their ends soon.
pub const QUICK: &str = "[datapath]\ntcp_idle = \"2s\"\ntcp_closed = \"1s\"\nother_idle = \"1s\"\n";

/// The daemon; killed by pid when dropped, its folder removed.
pub struct Daemon {
    child: Child,
    /// What it is started with.
    command: Vec<OsString>,
    folder: TempDir,
    runtime: tokio::runtime::Runtime,
}

/// The binary: `SEXTANTD`, or the one of this build.
#[must_use]
pub fn binary() -> PathBuf {
    std::env::var_os("SEXTANTD").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../target/debug/sextantd"
            ))
        },
        PathBuf::from,
    )
}

/// The own command line: `SEXTANT`, or the one beside the daemon.
#[must_use]
pub fn client_binary() -> PathBuf {
    let beside = || binary().with_file_name("sextant");
    std::env::var_os("SEXTANT").map_or_else(beside, PathBuf::from)
}

fn spawn(command: &[OsString], folder: &Path) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"));
    Command::new("ip")
        .args(command)
        .env("SEXTANT_NODE_NAME", "node-a")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.unwrap())
        .spawn()
        .unwrap()
}

impl Daemon {
    /// Starts it in `namespace` and waits until it is ready.
    #[must_use]
    pub fn start(namespace: &Netns, config: &str, arguments: &[&str]) -> Self {
        let daemon = Self::launch(namespace, config, arguments);
        eventually("sextantd ready", || daemon.status());
        daemon
    }

    /// As `start`, with a binary that is not the one of this build.
    #[must_use]
    pub fn start_binary(
        binary: &Path,
        namespace: &Netns,
        config: &str,
        arguments: &[&str],
    ) -> Self {
        let daemon = Self::launch_binary(binary, namespace, config, arguments);
        eventually("sextantd ready", || daemon.status());
        daemon
    }

    /// Starts it without waiting.
    #[must_use]
    pub fn launch(namespace: &Netns, config: &str, arguments: &[&str]) -> Self {
        Self::launch_binary(&binary(), namespace, config, arguments)
    }

    fn launch_binary(binary: &Path, namespace: &Netns, config: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sextant.toml");
        std::fs::write(&file, config).unwrap();
        let mut command = vec!["netns".into(), "exec".into(), namespace.name.clone().into()];
        command.push(binary.into());
        for (flag, value) in [
            ("--config", file.into_os_string()),
            (
                "--listen",
                format!("unix://{}", folder.path().join("socket").display()).into(),
            ),
            ("--state-dir", folder.path().join("state").into()),
            ("--metrics-listen", "127.0.0.1:9965".into()),
        ] {
            command.extend([flag.into(), value]);
        }
        command.extend(arguments.iter().map(Into::into));
        let child = spawn(&command, folder.path());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        Self {
            child,
            command,
            folder,
            runtime,
        }
    }

    /// Starts it again, with the state that it left, once it has ended.
    pub fn again(&mut self) {
        self.wait();
        self.child = spawn(&self.command, self.folder.path());
        eventually("sextantd ready again", || self.status());
    }

    /// What it reads at its next start.
    pub fn configure(&self, config: &str) {
        std::fs::write(self.folder.path().join("sextant.toml"), config).unwrap();
    }

    /// As `hubble --server` takes it.
    #[must_use]
    pub fn server(&self) -> String {
        format!("unix://{}", self.folder.path().join("socket").display())
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Its status, once it is ready.
    #[must_use]
    pub fn status(&self) -> Option<ServerStatusResponse> {
        self.runtime.block_on(async {
            let channel = connect(&self.server()).await?;
            let health = HealthClient::new(channel.clone())
                .check(HealthCheckRequest {
                    service: "hubble.server.Observer".into(),
                })
                .await
                .ok()?;
            if health.into_inner().status() != ServingStatus::Serving {
                return None;
            }
            let status = ObserverClient::new(channel)
                .server_status(ServerStatusRequest {})
                .await;
            Some(status.ok()?.into_inner())
        })
    }

    /// What it says of itself.
    #[must_use]
    pub fn own_status(&self) -> Option<Status> {
        self.runtime.block_on(async {
            let mut client = StatusServiceClient::new(connect(&self.server()).await?);
            let response = client.get_status(GetStatusRequest {}).await;
            response.ok()?.into_inner().status
        })
    }

    /// The programs on an interface, if there are any.
    #[must_use]
    pub fn attachment(&self, interface: &str) -> Option<Attachment> {
        let attachments = self.own_status()?.attachments;
        attachments
            .into_iter()
            .find(|one| one.interface == interface)
    }

    /// All responses to a request that does not follow.
    #[must_use]
    pub fn responses(&self, request: GetFlowsRequest) -> Vec<GetFlowsResponse> {
        self.runtime.block_on(async {
            let mut client = ObserverClient::new(connect(&self.server()).await.unwrap());
            let mut stream = client.get_flows(request).await.unwrap().into_inner();
            let mut all = Vec::new();
            while let Some(response) = stream.message().await.unwrap() {
                all.push(response);
            }
            all
        })
    }

    /// All flows that it holds.
    #[must_use]
    pub fn flows(&self) -> Vec<Flow> {
        self.responses(GetFlowsRequest::default())
            .into_iter()
            .filter_map(|response| match response.response_types {
                Some(ResponseTypes::Flow(flow)) => Some(flow),
                _ => None,
            })
            .collect()
    }

    /// A metric by name and labels as they are printed; 0 when it is absent.
    #[must_use]
    pub fn metric(&self, namespace: &Netns, name: &str) -> u64 {
        let page = namespace.run("curl -s http://127.0.0.1:9965/metrics");
        page.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
            .map_or(0, |value| value as u64)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: &str) {
        crate::netns::host(&format!("kill -{signal} {}", self.pid()));
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        eventually("sextantd ended", || self.child.try_wait().unwrap())
    }

    /// Runs a client of the test in the daemon's runtime.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of sextantd:\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A channel to a server on a unix socket.
pub async fn connect(server: &str) -> Option<Channel> {
    Endpoint::from_shared(server.to_owned())
        .unwrap()
        .timeout(Duration::from_secs(10))
        .connect()
        .await
        .ok()
}

/// A channel without a time limit, for streams.
pub async fn connect_for_ever(server: &str) -> Option<Channel> {
    Endpoint::from_shared(server.to_owned())
        .unwrap()
        .connect()
        .await
        .ok()
}
