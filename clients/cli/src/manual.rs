//! Manual pages, made from the arguments.

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::args::Cli;

/// Writes a page for the program and one for each command.
pub(crate) fn write(dir: &Path) -> anyhow::Result<ExitCode> {
    clap_mangen::generate_to(Cli::command(), dir)
        .with_context(|| format!("cannot write the manual pages into {}", dir.display()))?;
    Ok(ExitCode::SUCCESS)
}
