//! `sextantd`: arguments, logging, configuration, then the app until a signal.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use sextantd::{
    app,
    config::{self, Command, Flags},
    datapath::Report,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let flags = Flags::parse();
    let filter = EnvFilter::try_from_env("SEXTANT_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    match run(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Several mistakes stand on a line each.
            for line in format!("{error:#}").lines() {
                eprintln!("sextantd: {line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> anyhow::Result<()> {
    if let Some(Command::Probe) = flags.command {
        let report = Report::take();
        print!("{report}");
        anyhow::ensure!(
            report.is_usable(),
            "this kernel lets no packets be observed"
        );
        return Ok(());
    }
    let environment = |name: &str| std::env::var(name).ok();
    if let Some(Command::Check) = flags.command {
        println!("{}", config::check(flags, environment)?);
        return Ok(());
    }
    let config = config::load(flags, environment)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?
        .block_on(serve(config))
}

async fn serve(config: config::Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tracing::debug!(?config, "effective configuration");
    let app = app::build(config).await?;
    for address in app.addresses() {
        tracing::info!(server = %address, "serving");
    }
    if let Some(address) = app.metrics_address() {
        tracing::info!("metrics at http://{address}/metrics");
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    tokio::select! {
        stopped = app.stop() => stopped,
        // A second signal does not wait.
        _ = terminate.recv() => anyhow::bail!("stopped at once by a second signal"),
        _ = interrupt.recv() => anyhow::bail!("stopped at once by a second signal"),
    }
}
