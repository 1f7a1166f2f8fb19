//! The commands and what they have in common. Each command's own arguments are
//! beside its code.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::{list, observe, record, stats, status, time, top, watch};

/// Shows the network flows of a host, and the state of the server that sees them.
#[derive(Debug, Parser)]
#[command(name = "sextant", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show flows or events of agents, with the selectors and filters of `hubble observe`.
    Observe(Box<observe::ObserveArgs>),
    /// List nodes, namespaces or interfaces.
    List(list::ListArgs),
    /// Watch the peers of the server come and go.
    Watch(watch::WatchArgs),
    /// Show the state of the server: exit code 1 when it is degraded, 2 without an answer.
    Status(status::StatusArgs),
    /// Watch what is busiest: flows, endpoints, ports, drops, own cost.
    Top(Box<top::TopArgs>),
    /// Summarise the flows of a window: rates and the busiest groups.
    Stats(Box<stats::StatsArgs>),
    /// List the values that a field has in the stored flows.
    Hints(Box<stats::HintsArgs>),
    /// Hand the flows of a file to the server.
    Record(record::RecordArgs),
    /// Print the completion script for a shell.
    Completion {
        /// The shell.
        #[arg(value_parser = clap::value_parser!(clap_complete::Shell))]
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder.
    #[command(hide = true)]
    Man {
        /// The folder, which must exist.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
}

/// Which server, and how long to wait for it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct Connection {
    /// Server: `HOST:PORT`, `tcp://HOST:PORT` or `unix:///PATH` [env: SEXTANT_SERVER]
    /// [default: the current context's, else localhost:4245; for commands that write
    /// unix:///run/sextant/sextant.sock]
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub(crate) server: Option<String>,
    /// Context of the configuration file, which names a server.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Configuration file [default: $XDG_CONFIG_HOME/sextant/cli.toml, else
    /// ~/.config/sextant/cli.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How long a connection may take to come about.
    #[arg(long, global = true, value_name = "DURATION", default_value = "5s", value_parser = time::duration)]
    pub(crate) timeout: Duration,
    /// How long a single answer may take; streams may last for ever.
    #[arg(long, global = true, value_name = "DURATION", default_value = "12s", value_parser = time::duration)]
    pub(crate) request_timeout: Duration,
}
