//! `sextant policy`: the set of policies of a server and its changes; and what policies
//! say and would do, judged here by the engine of `sextant_policy`.

mod change;
mod check;
mod diff;
mod evaluate;
mod explain;
mod files;
mod output;
mod show;
mod simulate;
mod source;
mod suggest;
mod words;

use std::process::ExitCode;

use clap::Subcommand;

use crate::connection::Connection;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Read policies and tell all that is wrong with them: exit code 1 if anything is.
    Check(check::CheckArgs),
    /// Give policies to the server: create and update them, all or none.
    Apply(change::ApplyArgs),
    /// List the policies of the server, and whether they are in force.
    List(show::ListArgs),
    /// Print policies of the server as they can be applied.
    Get(show::GetArgs),
    /// Delete policies of the server, all or none.
    Delete(change::DeleteArgs),
    /// Print what applying files would change: exit code 1 if anything.
    Diff(diff::DiffArgs),
    /// Say how far policies of the server go: enforce, audit, disabled.
    Mode(change::ModeArgs),
    /// Confirm the last change, so that it is not undone.
    Confirm(change::ConfirmArgs),
    /// List the changes that were made.
    History(change::HistoryArgs),
    /// Make the set as it was at a revision.
    Rollback(change::RollbackArgs),
    /// Watch changes as they are made.
    Watch(show::WatchArgs),
    /// Tell what the rules did: flows, packets, bytes.
    Hits(show::HitsArgs),
    /// Tell how the verdict on a stored flow or a connection comes about, rule by rule.
    Explain(Box<explain::ExplainArgs>),
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
        PolicyCommand::Apply(args) => change::apply(connection, args).await,
        PolicyCommand::List(args) => show::list(connection, args).await,
        PolicyCommand::Get(args) => show::get(connection, args).await,
        PolicyCommand::Delete(args) => change::delete(connection, args).await,
        PolicyCommand::Diff(args) => diff::run(connection, args).await,
        PolicyCommand::Mode(args) => change::mode(connection, args).await,
        PolicyCommand::Confirm(args) => change::confirm(connection, args).await,
        PolicyCommand::History(args) => change::history(connection, args).await,
        PolicyCommand::Rollback(args) => change::rollback(connection, args).await,
        PolicyCommand::Watch(args) => show::watch(connection, args).await,
        PolicyCommand::Hits(args) => show::hits(connection, args).await,
        PolicyCommand::Explain(args) => explain::run(connection, args).await,
        PolicyCommand::Evaluate(args) => evaluate::run(connection, args).await,
        PolicyCommand::Simulate(args) => simulate::run(connection, args).await,
        PolicyCommand::Suggest(args) => suggest::run(connection, args).await,
    }
}
