//! `sextant policy`: what network policies say and would do, judged here by the engine
//! of `sextant_policy`. Nothing is put into force.

mod check;
mod evaluate;
mod files;
mod simulate;
mod source;
mod suggest;

use std::process::ExitCode;

use clap::Subcommand;

use crate::connection::Connection;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Read policies and tell all that is wrong with them: exit code 1 if anything is.
    Check(check::CheckArgs),
    /// Tell the verdict on one connection, and which rules make it.
    Evaluate(evaluate::EvaluateArgs),
    /// Tell which flows of the past these policies, alone in force, would deny or let through.
    Simulate(Box<simulate::SimulateArgs>),
    /// Write the least policy that allows what endpoints were seen to do.
    Suggest(Box<suggest::SuggestArgs>),
}

/// Does it.
pub(crate) async fn run(
    connection: &Connection,
    command: &PolicyCommand,
) -> anyhow::Result<ExitCode> {
    match command {
        PolicyCommand::Check(args) => check::run(args),
        PolicyCommand::Evaluate(args) => evaluate::run(args),
        PolicyCommand::Simulate(args) => simulate::run(connection, args).await,
        PolicyCommand::Suggest(args) => suggest::run(connection, args).await,
    }
}
