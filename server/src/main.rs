//! `sextantd`: arguments, logging, configuration, then the app until a signal.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use sextant_flows::printable::{printable, printable_lines};
use sextantd::{
    app,
    config::{self, Command, Flags},
    datapath::Report,
    log,
};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) => return log::told(&error),
    };
    log::start();
    match run(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::tell(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> anyhow::Result<()> {
    if let Some(Command::Probe) = flags.command {
        let report = Report::take();
        print!("{}", printable_lines(&report.to_string()));
        anyhow::ensure!(
            report.is_usable(),
            "this kernel lets no packets be observed"
        );
        return Ok(());
    }
    // One that is no text is a mistake, and not absent.
    let environment = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
    if let Some(Command::Check) = flags.command {
        println!("{}", printable(&config::check(flags, environment)?));
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
