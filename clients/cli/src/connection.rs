//! The arguments that all commands have: which server, how to speak to it, and how long
//! to wait for it.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::{settings::Settings, time};

/// Which server, and how long to wait for it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct Connection {
    #[command(flatten)]
    pub(crate) settings: Settings,
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
