//! The commands and what they have in common. Each command's own arguments are
//! beside its code.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{
    audit, connection::Connection, list, observe, policy, record, stats, status,
    text::harmless_lines, top, watch,
};

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
    /// List nodes, namespaces, interfaces or names.
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
    /// Show who called what writes, or was refused.
    Audit(audit::AuditArgs),
    /// Network policies: apply, roll back, explain; look at them before they are in force.
    Policy {
        /// What to do.
        #[command(subcommand)]
        command: policy::PolicyCommand,
    },
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

/// Prints a help, or what is wrong with the arguments; these are the caller's, but what
/// they have in them may be of others.
pub(crate) fn told(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    let _ = match error.use_stderr() && harmless_lines(&text) != text {
        true => io::stderr().write_all(harmless_lines(&text).as_bytes()),
        false => error.print(),
    };
    u8::try_from(error.exit_code()).unwrap_or(2).into()
}
