//! The command line of `sextantd`.
//!
//! Words are taken as they are and judged by `load`, together with the other
//! sources, so that one run tells all mistakes.

use std::path::PathBuf;

use clap::{
    Parser, Subcommand,
    builder::{OsStringValueParser, TypedValueParser},
};

use super::{Config, DEFAULT_FILE, Listen, example};

/// Flags and subcommand.
#[derive(Clone, Debug, Default, Parser)]
#[command(
    name = "sextantd",
    version,
    args_override_self = true,
    about = "Shows the network flows of this host over Hubble's gRPC API",
    after_help = "Variables with several values have commas between them. \
                  `--help` shows the defaults of the file as well.",
    after_long_help = sections()
)]
pub struct Flags {
    /// Configuration file.
    #[arg(long, global = true, value_name = "FILE", value_parser = path(),
        help = help("config", "Configuration file"))]
    pub config: Option<PathBuf>,

    /// Listeners; any replaces the default ones.
    #[arg(long, global = true, value_name = "ADDR", help = help("listen",
        "Where gRPC is served: tcp://HOST:PORT or unix:///PATH; may be repeated"))]
    pub listen: Vec<String>,

    /// Globs of interfaces.
    #[arg(long, global = true, value_name = "GLOB", help = help("interface",
        "Interfaces to observe, such as `eth*`; may be repeated"))]
    pub interface: Vec<String>,

    /// No eBPF.
    #[arg(long, global = true, help = help("no-datapath",
        "No eBPF: serve replayed and recorded flows only, which needs no root"))]
    pub no_datapath: bool,

    /// Plaintext to the network.
    #[arg(long, global = true, help = help("plaintext",
        "Plaintext is meant, where --listen names an address that is not of this host alone"))]
    pub plaintext: bool,

    /// Files to load before serving.
    #[arg(long, global = true, value_name = "FILE", value_parser = path(), help = help("replay",
        "Load Hubble's JSON (lines, lists, logs) or a capture (pcap, pcapng) before serving, also gzipped; may be repeated"))]
    pub replay: Vec<PathBuf>,

    /// Flows in memory.
    #[arg(long, global = true, value_name = "N", help = help("flow-capacity", "Flows kept in memory"))]
    pub flow_capacity: Option<String>,

    /// Prometheus endpoint.
    #[arg(long, global = true, value_name = "ADDR", help = help("metrics-listen",
        "Prometheus endpoint, HOST:PORT; `off` for none"))]
    pub metrics_listen: Option<String>,

    /// Folder of the state.
    #[arg(long, global = true, value_name = "DIR", value_parser = path(), help = help("state-dir",
        "Where policies and identities are kept"))]
    pub state_dir: Option<PathBuf>,

    /// Name of this node.
    #[arg(long, global = true, value_name = "NAME", help = help("node-name", "Name of this node"))]
    pub node_name: Option<String>,

    /// Name of its cluster.
    #[arg(long, global = true, value_name = "NAME", help = help("cluster-name",
        "Cluster that this node is in"))]
    pub cluster_name: Option<String>,

    /// What to do; nothing is to run.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do other than to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Tell whether the configuration is right, or all that is wrong with it
    Check,
    /// Show what this kernel can do and what is chosen for it
    Probe,
}

/// Any path; an empty one is a mistake for `load` to tell.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

fn help(flag: &str, about: &str) -> String {
    let (variable, default) = (variable(flag), default_of(flag));
    format!("{about} [env: {variable}] [default: {default}]")
}

fn default_of(flag: &str) -> String {
    let config = Config::default();
    match flag {
        "config" => format!("{DEFAULT_FILE}, if it exists"),
        "listen" => {
            let listeners: Vec<_> = config.server.listen.iter().map(Listen::to_string).collect();
            listeners.join(" and ")
        }
        "interface" => "every interface that is up".into(),
        "no-datapath" => config.datapath.is_none().to_string(),
        "plaintext" => config.server.plaintext.to_string(),
        "flow-capacity" => config.flow_capacity.to_string(),
        "metrics-listen" => config.metrics_listen.unwrap_or_else(|| "off".into()),
        "state-dir" => config.state_dir.display().to_string(),
        "node-name" => format!("the host name, here {}", config.node_name),
        "cluster-name" => config.cluster_name,
        _ => "none".into(),
    }
}

fn sections() -> String {
    format!(
        "Flags win over the environment, which wins over the file. Variables with several values have \
         commas between them.\n\nFurther settings of the file (TOML), with their defaults:\n{}",
        example::defaults_of_sections()
    )
}

/// The environment variable of a flag.
pub(super) fn variable(setting: &str) -> String {
    format!("SEXTANT_{}", setting.to_uppercase().replace('-', "_"))
}
