//! Completion in the shell: a script asks this program, which knows its arguments, and
//! `candidates` for the values of filters.

use std::{io::Write as _, process::ExitCode};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::{CompleteEnv, Shell, env::Shells};

use crate::{args::Cli, out};

/// Asks for candidates, as the scripts do.
const VARIABLE: &str = "COMPLETE";
const NAME: &str = "sextant";

/// Answers the shell and ends, if it is the shell that asks.
pub(crate) fn answer_shell() {
    CompleteEnv::with_factory(Cli::command)
        .var(VARIABLE)
        .complete();
}

/// Prints the script by which the shell asks this program.
pub(crate) fn script(shell: Shell) -> anyhow::Result<ExitCode> {
    let shells = Shells::builtins();
    let name = shell.to_string();
    let shell = shells
        .completer(&name)
        .with_context(|| format!("{name} cannot be completed; use bash, zsh or fish"))?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, NAME, NAME, NAME, &mut script)?;
    let mut out = out::stdout();
    out.write_all(&script)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
