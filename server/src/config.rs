//! What the daemon is told: defaults < file < environment < flags.
//!
//! `Config` is plain data, valid once `load` returned it. All mistakes of all
//! sources are reported together, each with its place and what to do.

mod access;
mod containers;
mod custom;
mod datapath;
mod draft;
mod error;
mod example;
mod export;
mod file;
mod flags;
mod given;
mod grants;
mod hubble;
mod inventory;
mod item;
mod kubernetes;
mod limits;
mod listeners;
mod load;
mod names;
mod otel;
mod outgoing;
mod policy;
mod remote;
mod report;
mod section;
mod socket;
mod values;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, net::IpAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;

use crate::{
    export::Exports,
    metrics::{custom::CustomSetting, hubble::Hubble},
};

pub use access::{Access, Grant, Role, Roles, Sees, Token, Who};
pub use containers::{Engine, EngineSocket};
pub use datapath::{CommandLines, Datapath, Names};
pub use error::{ConfigError, Mistake};
pub use example::example;
pub use flags::{Command, Flags};
pub use kubernetes::{Kubernetes, KubernetesKind};
pub use load::{check, load, parse};
pub use outgoing::Outgoing;
pub use policy::{DenyError, OnDeny, OnExit, Policy, Unknown};

/// Where the file is looked for when `--config` is not given.
pub const DEFAULT_FILE: &str = "/etc/sextant/sextant.toml";

/// Everything the daemon can be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Name of this node.
    pub node_name: String,
    /// Cluster that this node belongs to.
    pub cluster_name: String,
    /// Labels of this node as `key=value`, sorted.
    pub node_labels: Vec<String>,
    /// Where policies and identities are kept.
    pub state_dir: PathBuf,
    /// gRPC listeners and their limits.
    pub server: Server,
    /// Who may do what.
    pub access: Access,
    /// Who called what writes, or was refused.
    pub audit: Audit,
    /// Prometheus endpoint; `None` is off.
    pub metrics_listen: Option<String>,
    /// Its TLS; `None` is plaintext.
    pub metrics_tls: Option<Tls>,
    /// Metrics of flows under Hubble's names.
    pub hubble: Hubble,
    /// Metrics of flows that are made up here.
    pub custom: Vec<CustomSetting>,
    /// Files that flows are exported to.
    pub exports: Exports,
    /// Flows kept in memory.
    pub flow_capacity: u64,
    /// Bytes that they take at most; by `flow_capacity` when it is not given.
    pub flow_bytes: Option<u64>,
    /// Files to load before serving.
    pub replay: Vec<PathBuf>,
    /// In captures among them VLAN ids tell flows apart, as in the datapath.
    pub vlan_in_key: bool,
    /// eBPF; `None` serves replayed and recorded flows only.
    pub datapath: Option<Datapath>,
    /// CPU that daemon and programs may take, in percent of one CPU; 0 is no limit.
    pub cpu_budget_percent: u32,
    /// Names of addresses by DNS.
    pub names: Names,
    /// Where engines of containers are asked for names.
    pub containers: Vec<EngineSocket>,
    /// The API server of a Kubernetes cluster.
    pub kubernetes: Kubernetes,
    /// Command lines of processes.
    pub command_lines: CommandLines,
    /// Who is who.
    pub identity: Identity,
    /// Policies.
    pub policy: Policy,
    /// Other servers that are announced to relays.
    pub peers: Vec<Peer>,
}

/// gRPC.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Where to listen, without more to say of it.
    pub listen: Vec<Listen>,
    /// Where to listen, each with what is its own.
    pub listeners: Vec<Listener>,
    /// Plaintext on `listen` is meant, also beyond this host.
    pub plaintext: bool,
    /// Group, by name or number, whose members may write beside root.
    pub write_group: Option<String>,
    /// Streams that may be open at one time, over all connections.
    pub max_streams: usize,
    /// Calls other than streams that may be open at one time.
    pub max_calls: usize,
    /// Percent of streams, calls and pending bytes that one peer gets.
    pub peer_share: usize,
    /// Bytes of messages that are not complete, or not read by their client.
    pub max_pending_bytes: usize,
    /// How long a message may take to come.
    pub message_timeout: Duration,
    /// Streams that one connection may have open.
    pub max_streams_per_connection: u32,
    /// Connections that may be open at one time.
    pub max_connections: usize,
    /// Connections of one peer: a user of the unix socket, an address of TCP.
    pub max_connections_per_peer: usize,
    /// Largest request that is read, in bytes.
    pub max_request_bytes: usize,
    /// A lost-events message at most this often for each stream.
    pub lost_event_interval: Duration,
    /// How long open streams may take to end at shutdown.
    pub drain_timeout: Duration,
    /// Names of this server, beside those of the host, that a browser may use.
    pub hosts: Vec<String>,
    /// Send the header `hubble-server-version`.
    pub version_header: bool,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `tcp://HOST:PORT`.
    Tcp(String),
    /// `unix:///PATH`.
    Unix(PathBuf),
}

/// The audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Where it goes.
    pub to: AuditTo,
    /// Bytes of a file, after which a new one is begun.
    pub max_bytes: u64,
    /// Old files that are kept beside it.
    pub keep: u32,
}

/// Where the audit log goes, beside memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditTo {
    /// Nowhere.
    Off,
    /// systemd's journal.
    Journal,
    /// A file; without a folder it is in the state folder.
    File(PathBuf),
}

/// A listener with what is its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub address: Listen,
    /// TLS; `None` is plaintext.
    pub tls: Option<Tls>,
    /// The most that anybody may do there; `None` is what the transport allows.
    pub roles: Option<Roles>,
    /// Plaintext is meant, also beyond this host.
    pub plaintext: bool,
}

/// TLS of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Authorities that issue certificates of clients, PEM.
    pub client_ca: Vec<PathBuf>,
    /// Whether clients must show one.
    pub client: ClientCertificate,
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// Without one there is no connection.
    Required,
    /// One that is shown must be right.
    Optional,
    /// None is asked for.
    None,
}

/// Identities.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity {
    /// Tell IPv4 from IPv6 addresses of the world (9 and 10 instead of 2).
    pub world_by_family: bool,
    /// Known endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// An endpoint of the static inventory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Endpoint {
    /// Name (Hubble's pod name).
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Labels as `key=value` or `source:key=value`.
    pub labels: Vec<String>,
    /// Name and kind of its workload.
    pub workload: Option<(String, String)>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its address ranges.
    pub cidrs: Vec<IpNet>,
    /// Names of the host's interfaces behind which it is.
    pub interfaces: Vec<String>,
    /// Its ports by name and IP protocol number, for policies.
    pub ports: BTreeMap<(String, u8), u16>,
}

/// Another server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Peer {
    /// `node` or `cluster/node`.
    pub name: String,
    /// `host:port` or `unix:///path`.
    pub address: String,
    /// Name to verify its certificate against; `None` is plaintext.
    pub tls_server_name: Option<String>,
    /// Whom to trust there, and what to show.
    pub outgoing: Outgoing,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node_name: names::node_of_host(&host_name()),
            cluster_name: "default".into(),
            node_labels: Vec::new(),
            state_dir: "/var/lib/sextant".into(),
            server: Server::default(),
            access: Access::default(),
            audit: Audit::default(),
            metrics_listen: Some("127.0.0.1:9965".into()),
            metrics_tls: None,
            hubble: Hubble::default(),
            custom: Vec::new(),
            exports: Exports::default(),
            flow_capacity: 131_071,
            flow_bytes: None,
            replay: Vec::new(),
            vlan_in_key: false,
            datapath: Some(Datapath::default()),
            cpu_budget_percent: 0,
            names: Names::default(),
            containers: containers::usual(),
            kubernetes: Kubernetes::default(),
            command_lines: CommandLines::default(),
            identity: Identity::default(),
            policy: Policy::default(),
            peers: Vec::new(),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: vec![
                Listen::Tcp("127.0.0.1:4245".into()),
                Listen::Unix("/run/sextant/sextant.sock".into()),
            ],
            listeners: Vec::new(),
            plaintext: false,
            write_group: None,
            max_streams: 1024,
            max_calls: 1024,
            peer_share: 25,
            max_pending_bytes: 64 << 20,
            message_timeout: Duration::from_secs(10),
            max_streams_per_connection: 256,
            max_connections: 4096,
            max_connections_per_peer: 512,
            max_request_bytes: 4 << 20,
            lost_event_interval: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(5),
            hosts: Vec::new(),
            version_header: false,
        }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            to: AuditTo::File("audit.jsonl".into()),
            max_bytes: 8 << 20,
            keep: 4,
        }
    }
}

/// Memory for each flow unless it is told: three times what a usual flow takes.
const BYTES_OF_A_FLOW: u64 = 1024;
/// Even a small store has room for some flows of the largest size.
const LEAST_FLOW_BYTES: u64 = 16 << 20;

impl Server {
    /// All listeners, in the order of the configuration.
    #[must_use]
    pub fn all_listeners(&self) -> Vec<Listener> {
        let plain = self.listen.iter().map(|address| Listener {
            address: address.clone(),
            tls: None,
            roles: None,
            plaintext: self.plaintext,
        });
        plain.chain(self.listeners.iter().cloned()).collect()
    }

    /// Addresses that others than this host reach, in plaintext.
    #[must_use]
    pub fn open_listeners(&self) -> Vec<String> {
        let listeners = self.all_listeners().into_iter();
        let open = listeners.filter(listeners::is_open);
        open.map(|listener| listener.address.to_string()).collect()
    }
}

impl Config {
    /// Bytes that flows in memory take at most.
    #[must_use]
    pub fn flow_bytes(&self) -> u64 {
        let usual = self.flow_capacity.saturating_mul(BYTES_OF_A_FLOW);
        self.flow_bytes.unwrap_or(usual.max(LEAST_FLOW_BYTES))
    }

    /// The name that relays look for in this node's certificate (Cilium's
    /// `TLSServerName`).
    #[must_use]
    pub fn tls_server_name(&self) -> String {
        server_name(&self.cluster_name, &self.node_name)
    }

    /// Names of the settings, or sections of them, in which the other differs.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let pairs = [
            ("node_name", self.node_name == other.node_name),
            ("cluster_name", self.cluster_name == other.cluster_name),
            ("node_labels", self.node_labels == other.node_labels),
            ("state_dir", self.state_dir == other.state_dir),
            ("server", self.server == other.server),
            ("grant and token", self.access == other.access),
            ("audit", self.audit == other.audit),
            (
                "metrics.listen",
                self.metrics_listen == other.metrics_listen,
            ),
            ("metrics", self.metrics_tls == other.metrics_tls),
            ("metrics.hubble", self.hubble == other.hubble),
            ("metrics.custom", self.custom == other.custom),
            ("export", self.exports == other.exports),
            ("flow_capacity", self.flow_capacity == other.flow_capacity),
            ("flow_bytes", self.flow_bytes == other.flow_bytes),
            ("replay", self.replay == other.replay),
            (
                "datapath.vlan_in_key",
                self.vlan_in_key == other.vlan_in_key,
            ),
            ("datapath", self.datapath == other.datapath),
            (
                "overhead",
                self.cpu_budget_percent == other.cpu_budget_percent,
            ),
            ("names", self.names == other.names),
            ("containers", self.containers == other.containers),
            ("kubernetes", self.kubernetes == other.kubernetes),
            ("command_lines", self.command_lines == other.command_lines),
            ("identity", self.identity == other.identity),
            ("policy", self.policy == other.policy),
            ("peer", self.peers == other.peers),
        ];
        let differ = pairs.into_iter().filter(|(_, is_equal)| !is_equal);
        differ.map(|(name, _)| name).collect()
    }

    /// The node's name as flows carry it: `node`, or `cluster/node` when the
    /// cluster is not the default one. In lower case, as a kubelet has it: Hubble's
    /// filters lower-case what they look for, and take names as they are.
    #[must_use]
    pub fn full_node_name(&self) -> String {
        full_node_name(&self.cluster_name, &self.node_name)
    }
}

/// The same of any node.
#[must_use]
pub fn full_node_name(cluster: &str, node: &str) -> String {
    let name = if cluster.is_empty() || cluster == "default" {
        node.to_owned()
    } else {
        format!("{cluster}/{node}")
    };
    name.to_lowercase()
}

/// The name of a node in its certificate; without a cluster it is the default one.
#[must_use]
pub fn server_name(cluster: &str, node: &str) -> String {
    let cluster = match cluster {
        "" => "default",
        cluster => cluster,
    };
    let node = node.replace('.', "-");
    format!("{node}.{cluster}.hubble-grpc.cilium.io").to_lowercase()
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// The name that the system has.
#[must_use]
pub fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_else(|_| "localhost".into())
}
