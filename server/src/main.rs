//! `sextantd`: arguments, logging, configuration, then the app until a signal.

use std::{
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Parser as _;
use sextant_flows::printable::{printable, printable_lines};
use sextantd::{
    app,
    config::{self, Command, Flags},
    containers,
    datapath::Report,
    descriptors, export, kubernetes, log, memory, rlimits, services,
    spans::{self, Spans},
};
use tokio::{
    runtime::{Handle, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};

/// Gives back what a peak took, also when nothing is asked any more; set up in
/// `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Tasks between two looks at what came by the sockets.
const EVENT_INTERVAL: u32 = 8;
/// Interfaces, signals and metrics are little work.
const OBSERVING_THREADS: usize = 2;

fn main() -> ExitCode {
    if let Err(error) = rlimits::check_stack() {
        log::tell(&error.into());
        return ExitCode::FAILURE;
    }
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) => return log::told(&error),
    };
    let spans = Spans::default();
    log::start(&spans);
    match run(&flags, &spans) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::tell(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags, spans: &Spans) -> anyhow::Result<()> {
    // One that is no text is a mistake, and not absent.
    let environment = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
    if let Some(Command::Probe) = flags.command {
        let report = Report::take();
        print!("{}", printable_lines(&report.to_string()));
        let config = config::load(flags, environment).unwrap_or_default();
        print!(
            "{}",
            printable_lines(&containers::probe(&config.containers))
        );
        print!(
            "{}",
            printable_lines(&kubernetes::probe(&config.kubernetes))
        );
        print!("{}", printable_lines(&services::probe()));
        anyhow::ensure!(
            report.is_usable(),
            "this kernel lets no packets be observed"
        );
        return Ok(());
    }
    if let Some(Command::Check) = flags.command {
        let told = config::check(flags, environment)?;
        export::try_exports(&config::load(flags, environment)?.exports)?;
        println!("{}", printable(&told));
        return Ok(());
    }
    let load = || -> anyhow::Result<_> {
        let mut config = config::load(flags, environment)?;
        fit_memory(&mut config)?;
        Ok(config)
    };
    let config = load()?;
    descriptors::raise_limit();
    let flows = config.datapath.as_ref();
    rlimits::check(flows.map(|of| u64::from(of.flows_ipv4) + u64::from(of.flows_ipv6)))?;
    rlimits::check_tasks()?;
    // Requests on threads of their own: what observes never waits for what serves.
    let serving = runtime("serve", None)?;
    let observing = runtime("observe", Some(OBSERVING_THREADS))?;
    let served = panic::catch_unwind(AssertUnwindSafe(|| {
        observing.block_on(serve(config, load, serving.handle(), spans))
    }));
    // As where no more threads or memory are to be had.
    let result = served.unwrap_or_else(|_| {
        Err(anyhow::anyhow!(
            "the daemon panicked, as told above; where no thread or memory was to be had, raise the limits \
             (TasksMax=, MemoryMax= of the unit, `ulimit -u`)"
        ))
    });
    // Work that does not end by itself ends with the process.
    serving.shutdown_background();
    observing.shutdown_background();
    result
}

fn runtime(name: &str, threads: Option<usize>) -> anyhow::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads);
    }
    // Tasks may take a millisecond: who comes meanwhile does not wait for 61 of them.
    builder
        .enable_all()
        .thread_name(name)
        .event_interval(EVENT_INTERVAL);
    // Tokio panics where the system gives it no thread.
    let told = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let built = panic::catch_unwind(AssertUnwindSafe(|| builder.build()));
    panic::set_hook(told);
    match built {
        Ok(runtime) => runtime.context("starting the threads"),
        Err(_) => anyhow::bail!(
            "no threads can be started; raise the limit of tasks (TasksMax= of the unit, `ulimit -u`) or of memory"
        ),
    }
}

/// Tables that fit into what the control group has.
fn fit_memory(config: &mut config::Config) -> Result<(), memory::TooLittleMemory> {
    let Some(limit) = memory::limit() else {
        return Ok(());
    };
    let is_less = memory::fit(config, limit)?;
    if let (true, Some(datapath)) = (is_less, &config.datapath) {
        tracing::warn!(
            limit_mib = limit >> 20,
            flows_ipv4 = datapath.flows_ipv4,
            flows_ipv6 = datapath.flows_ipv6,
            "tables are smaller than configured, since the memory of the control group is limited; \
             raise MemoryMax= of the unit"
        );
    }
    Ok(())
}

/// Handlers of signals that say nothing to it, those of real time among them.
fn without_meaning() -> std::io::Result<Vec<Signal>> {
    let named = [
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGALRM,
        libc::SIGVTALRM,
        libc::SIGPROF,
        libc::SIGIO,
        libc::SIGPWR,
        libc::SIGSTKFLT,
    ];
    let all = named.into_iter().chain(libc::SIGRTMIN()..=libc::SIGRTMAX());
    all.map(|number| signal(SignalKind::from_raw(number)))
        .collect()
}

async fn serve(
    config: config::Config,
    reload: impl Fn() -> anyhow::Result<config::Config>,
    serving: &Handle,
    spans: &Spans,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    tracing::debug!(?config, "effective configuration");
    let mut hangup = signal(SignalKind::hangup())?;
    // By default these end a process without a word: a file that may not grow is an error
    // of the write, a second of grace is left to stop in, and others mean nothing here.
    let _file_size = signal(SignalKind::from_raw(libc::SIGXFSZ))?;
    let _without_meaning = without_meaning()?;
    let mut time_is_up = signal(SignalKind::from_raw(libc::SIGXCPU))?;
    let started = tokio::select! {
        app = app::build(config, serving, spans) => Some(app?),
        // A file that takes long to load is not waited for.
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        _ = quit.recv() => None,
        _ = time_is_up.recv() => return Err(out_of_time()),
    };
    let Some(mut app) = started else {
        // What is attached goes with what was dropped.
        tracing::info!("stopped before it was ready");
        return Ok(());
    };
    for address in app.addresses() {
        tracing::info!(server = %address, "serving");
    }
    for address in app.open_addresses() {
        tracing::warn!(
            server = address,
            "plaintext beyond this host: whoever reaches it may read all flows; a certificate in [[listener]] keeps them"
        );
    }
    if let Some(url) = app.metrics_url() {
        tracing::info!("metrics at {url}");
    }
    let failure = loop {
        tokio::select! {
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
            _ = quit.recv() => break None,
            _ = hangup.recv() => {
                let span = spans::reload("configuration");
                let done = span.in_scope(|| reload().and_then(|config| app.reload(config)));
                spans::reloaded(&span, done.is_ok());
                if let Err(error) = done {
                    tracing::error!("configuration not read again, as before:");
                    log::tell(&error);
                }
            },
            _ = time_is_up.recv() => break Some(out_of_time()),
            // Better no daemon, which is started anew, than one that sees nothing.
            error = app.failed() => break Some(error),
        }
    };
    match &failure {
        Some(error) => tracing::error!("{error:#}; stopping"),
        None => tracing::info!("stopping"),
    }
    let stopped = tokio::select! {
        stopped = app.stop() => stopped,
        // A second signal does not wait.
        _ = terminate.recv() => anyhow::bail!("stopped at once by a second signal"),
        _ = interrupt.recv() => anyhow::bail!("stopped at once by a second signal"),
    };
    failure.map_or(stopped, Err)
}

fn out_of_time() -> anyhow::Error {
    anyhow::anyhow!(
        "the limit of CPU time is used up; raise it by LimitCPU= of the unit or `ulimit -t`"
    )
}
