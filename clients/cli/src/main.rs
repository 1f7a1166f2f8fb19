//! `sextant`, the command line of Sextant: shows flows, summaries and the state
//! of a server, and hands flows in.
//!
//! It talks gRPC only, to `sextantd` or, where Hubble's own API is enough, to any
//! Hubble server; it links no eBPF. Exit codes: 0 done, 1 failed, 2 wrong
//! arguments; `status` has its own.

mod again;
mod args;
mod audit;
mod call;
mod candidates;
mod color;
mod complete;
mod connect;
mod connection;
mod context;
mod file;
mod filter;
mod input;
mod list;
mod manual;
mod observe;
mod out;
mod policy;
mod record;
mod refusal;
mod settings;
mod stats;
mod status;
mod tally;
mod text;
mod time;
mod tls;
mod top;
mod watch;

use std::{io, process::ExitCode};

use clap::Parser as _;
use sextant_flows::json;

use args::{Cli, Command};

fn main() -> ExitCode {
    complete::answer_shell();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return args::told(&error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::Error::from(error).context("cannot start")),
    };
    let result = runtime.block_on(run(cli));
    // A thread may wait for a line of standard input: nobody wants it any more.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let connection = &cli.connection;
    match cli.command {
        Command::Observe(args) => observe::run(connection, &args).await,
        Command::List(args) => list::run(connection, &args).await,
        Command::Watch(args) => watch::run(connection, &args).await,
        Command::Status(args) => status::run(connection, &args).await,
        Command::Stats(args) => stats::run(connection, &args).await,
        Command::Hints(args) => stats::hints(connection, &args).await,
        Command::Top(args) => top::run(connection, &args).await,
        Command::Record(args) => record::run(connection, &args).await,
        Command::Audit(args) => audit::run(connection, &args).await,
        Command::Policy { command } => policy::run(connection, &command).await,
        Command::Completion { shell } => complete::script(shell),
        Command::Man { dir } => manual::write(&dir),
    }
}

/// The reader of our output has seen enough, as `head` does.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
    })
}

fn failed(error: &anyhow::Error) -> ExitCode {
    tell(error);
    ExitCode::FAILURE
}

/// Tells what failed.
fn tell(error: &anyhow::Error) {
    // Standard error may be closed too: then there is nobody to tell.
    let text = text::harmless_lines(&format!("{error:#}"));
    let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("sextant: {text}\n"));
}
