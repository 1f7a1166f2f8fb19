//! `sextant status`: the state of the server, for people and for monitoring.
//!
//! Relay and plain Hubble tell less: what their ServerStatus has is shown.
//!
//! Exit codes: 0 all is well, 1 degraded (not serving, what the server tells, more
//! lost than allowed, with `--strict` events made coarser), 2 no answer. With `--serving`
//! 1 is that flows cannot be seen, also for want of an answer, and nothing else counts.

mod hubble;
mod page;

use std::{cell::Cell, io::Write, process::ExitCode, time::Duration};

use clap::{Args, ValueEnum};
use sextant_proto::{
    observer::{ServerStatusRequest, observer_client::ObserverClient},
    sextant::status::v1::{
        GetStatusRequest, Problem, ProblemKind, Status, WatchStatusRequest, WatchStatusResponse,
        status_service_client::StatusServiceClient,
    },
};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    again, call,
    connect::{Channel, Server, client},
    connection::Connection,
    json, out,
    text::harmless,
};

const ACTION: &str = "get the status of";
/// Of the time without a connection.
const MISSED: &str = "there are no states of that time";
/// The service that says whether flows can be seen.
const OBSERVER: &str = "hubble.server.Observer";
/// Between two looks at a server that cannot be watched.
const INTERVAL: Duration = Duration::from_secs(1);
const DEGRADED: u8 = 1;
const NO_ANSWER: u8 = 2;
/// Problems that are told one by one.
const MOST_PROBLEMS: usize = 5;

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,
    /// Again and again, until interrupted.
    #[arg(short, long)]
    watch: bool,
    /// Events that may have been lost since the start before it counts as degraded;
    /// without this, any that was lost within the last minute.
    #[arg(long, value_name = "EVENTS")]
    max_lost: Option<u64>,
    /// Events that were made coarser to keep the overhead budget count as degraded too.
    #[arg(long)]
    strict: bool,
    /// Only whether flows can be seen, as health checks of containers ask: exit code 1 when they cannot.
    #[arg(long, conflicts_with_all = ["output", "watch", "max_lost", "strict"])]
    serving: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Prints the state.
pub(crate) async fn run(connection: &Connection, args: &StatusArgs) -> anyhow::Result<ExitCode> {
    match look(connection, args).await {
        Ok(degraded) if degraded => Ok(ExitCode::from(DEGRADED)),
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(error) if crate::is_closed_pipe(&error) => Err(error),
        Err(error) => {
            crate::tell(&error);
            let code = if args.serving { DEGRADED } else { NO_ANSWER };
            Ok(ExitCode::from(code))
        }
    }
}

/// Whether it is degraded.
async fn look(connection: &Connection, args: &StatusArgs) -> anyhow::Result<bool> {
    let server = Server::reading(connection).await?;
    let serving = is_serving(&server).await?;
    if args.serving {
        write(["not serving\n", "serving\n"][usize::from(serving)])?;
        return Ok(!serving);
    }
    let failed = call::failed(ACTION, &server);
    let mut client = client!(StatusServiceClient<Channel>, server);
    let answer = client.get_status(server.unary(GetStatusRequest {})).await;
    let status = match answer {
        Ok(answer) => answer.into_inner().status.unwrap_or_default(),
        Err(status) if status.code() == Code::Unimplemented => {
            return look_at_hubble(&server, args).await;
        }
        Err(status) => return Err(failed(status).into()),
    };
    if !args.watch {
        return print(&status, serving, args);
    }
    watch(connection, server, args).await
}

/// Prints states until interrupted; whether the last one is degraded, or there is none.
async fn watch(connection: &Connection, server: Server, args: &StatusArgs) -> anyhow::Result<bool> {
    let (serving, degraded) = (Cell::new(false), Cell::new(true));
    let ask = async |server: &Server| {
        serving.set(is_serving(server).await.unwrap_or(false));
        let mut client = client!(StatusServiceClient<Channel>, server);
        let answer = client.watch_status(WatchStatusRequest::default()).await?;
        Ok(answer.into_inner())
    };
    let show = |state: Option<WatchStatusResponse>| {
        degraded.set(match state {
            Some(state) => print(&state.status.unwrap_or_default(), serving.get(), args)?,
            None => true,
        });
        Ok(())
    };
    tokio::select! {
        ended = again::watch((connection, server), ACTION, MISSED, ask, show) => ended?,
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(degraded.get())
}

/// The same of a server that has Hubble's own API only.
async fn look_at_hubble(server: &Server, args: &StatusArgs) -> anyhow::Result<bool> {
    let mut client = client!(ObserverClient<Channel>, server);
    let (mut is_lost, mut has_shown) = (false, false);
    loop {
        let (text, degraded) = match state_of_hubble(server, &mut client, args).await {
            Ok(state) => state,
            // The channel connects again by itself.
            Err(error) if args.watch && has_shown => {
                let why = again::why(Err(error))?;
                if !std::mem::replace(&mut is_lost, true) {
                    again::tell(&format!("lost {}: {why}; trying again", server.name))?;
                }
                tokio::select! {
                    () = tokio::time::sleep(INTERVAL) => continue,
                    _ = tokio::signal::ctrl_c() => return Ok(true),
                }
            }
            Err(error) => return Err(error),
        };
        if std::mem::take(&mut is_lost) {
            again::tell(&format!("connected to {} again; {MISSED}", server.name))?;
        }
        write(&text)?;
        has_shown = true;
        if !args.watch {
            return Ok(degraded);
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            _ = tokio::signal::ctrl_c() => return Ok(degraded),
        }
    }
}

/// What is shown of it, and whether it is degraded.
async fn state_of_hubble(
    server: &Server,
    client: &mut ObserverClient<Channel>,
    args: &StatusArgs,
) -> anyhow::Result<(String, bool)> {
    let is_serving = is_serving(server).await?;
    let failed = call::failed(ACTION, server);
    let request = server.unary(ServerStatusRequest {});
    let answer = client.server_status(request).await.map_err(failed)?;
    let status = answer.into_inner();
    let problems = hubble::problems(&status, is_serving);
    let text = match args.output {
        Output::Text => hubble::text(&status, &problems),
        Output::Json => json::print(&status, "observer.ServerStatusResponse") + "\n",
    };
    Ok((text, !problems.is_empty()))
}

/// A server without health, or without this service in it, serves if it answers.
async fn is_serving(server: &Server) -> anyhow::Result<bool> {
    let request = HealthCheckRequest {
        service: OBSERVER.into(),
    };
    let answer = HealthClient::new(server.channel.clone())
        .check(server.unary(request))
        .await;
    match answer {
        Ok(answer) => Ok(answer.into_inner().status() == ServingStatus::Serving),
        Err(status) if matches!(status.code(), Code::Unimplemented | Code::NotFound) => Ok(true),
        Err(status) => Err(call::failed("ask for the health of", server)(status).into()),
    }
}

/// Prints one state; says whether it is degraded.
fn print(status: &Status, serving: bool, args: &StatusArgs) -> anyhow::Result<bool> {
    let problems = problems(status, serving, args);
    let text = match args.output {
        Output::Text => page::text(status, &problems),
        Output::Json => json::print(status, "sextant.status.v1.Status") + "\n",
    };
    write(&text)?;
    Ok(!problems.is_empty())
}

fn write(text: &str) -> std::io::Result<()> {
    let mut out = out::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// What is not as it should be.
fn problems(status: &Status, serving: bool, args: &StatusArgs) -> Vec<String> {
    let mut problems = Vec::new();
    if !serving {
        problems.push("the server does not serve flows (yet, or any more)".into());
    }
    problems.extend(told(status, args.max_lost));
    let step = status.budget.as_ref().map_or(0, |budget| budget.step);
    if args.strict && step > 0 {
        problems.push(format!(
            "events are coarser by {step} steps, to keep the overhead budget"
        ));
    }
    problems
}

/// What the server tells; losses by the number that is allowed, if one is given.
fn told(status: &Status, max_lost: Option<u64>) -> Vec<String> {
    let is_asked = |problem: &&Problem| max_lost.is_none() || problem.kind() != ProblemKind::Loss;
    let asked = status.problems.iter().filter(is_asked);
    let mut problems: Vec<String> = asked.map(|problem| harmless(&problem.text)).collect();
    let more = problems.len().saturating_sub(MOST_PROBLEMS);
    problems.truncate(MOST_PROBLEMS);
    if more > 0 {
        problems.push(format!("{more} more"));
    }
    let lost = lost(status);
    if let Some(allowed) = max_lost
        && lost > allowed
    {
        problems.push(format!("{lost} events were lost, {allowed} are allowed"));
    }
    problems
}

/// Events that were lost since the start.
fn lost(status: &Status) -> u64 {
    let ledger = status.ledger.as_ref();
    let events = ledger.and_then(|ledger| ledger.events.as_ref());
    let lost = events.map_or(&[][..], |events| &events.lost);
    let unwanted = lost.iter().filter(|loss| !loss.intended);
    unwanted.map(|loss| loss.events).sum()
}

#[cfg(test)]
mod tests {
    use sextant_proto::sextant::status::v1::{Budget, EventBalance, Ledger, Loss};

    use super::*;

    fn args(max_lost: impl Into<Option<u64>>, strict: bool) -> StatusArgs {
        StatusArgs {
            output: Output::Text,
            watch: false,
            max_lost: max_lost.into(),
            strict,
            serving: false,
        }
    }

    fn status(lost: u64, intended: bool, step: u32) -> Status {
        let loss = Loss {
            place: "observed_ring".into(),
            cause: "full".into(),
            events: lost,
            intended,
        };
        let events = EventBalance {
            lost: vec![loss],
            ..EventBalance::default()
        };
        Status {
            ledger: Some(Ledger {
                events: Some(events),
                ..Ledger::default()
            }),
            budget: Some(Budget {
                step,
                ..Budget::default()
            }),
            ..Status::default()
        }
    }

    #[test]
    fn losses_beyond_what_is_allowed_degrade_and_intended_ones_do_not() {
        assert!(problems(&status(0, false, 0), true, &args(0, false)).is_empty());
        assert_eq!(
            problems(&status(1, false, 0), true, &args(0, false)).len(),
            1
        );
        assert!(problems(&status(1, false, 0), true, &args(1, false)).is_empty());
        assert!(problems(&status(9, true, 0), true, &args(0, false)).is_empty());
    }

    fn told_by_server(kinds: &[ProblemKind]) -> Status {
        let problem = |kind: &ProblemKind| Problem {
            kind: (*kind).into(),
            text: "no\u{1b}[31m".into(),
            ..Problem::default()
        };
        Status {
            problems: kinds.iter().map(problem).collect(),
            ..Status::default()
        }
    }

    #[test]
    fn what_the_server_tells_degrades_and_losses_only_beyond_what_is_allowed() {
        use ProblemKind::{Interface, Loss};
        let both = told_by_server(&[Loss, Interface]);
        assert_eq!(problems(&both, true, &args(None, false)).len(), 2);
        assert_eq!(problems(&both, true, &args(1, false)).len(), 1);
        let many = problems(&told_by_server(&[Interface; 9]), true, &args(None, false));
        assert_eq!((many.len(), many[5].as_str()), (6, "4 more"));
        assert!(!many[0].contains('\u{1b}'), "{many:?}");
    }

    #[test]
    fn what_was_lost_long_ago_is_over_unless_a_number_is_given() {
        assert!(problems(&status(9, false, 0), true, &args(None, false)).is_empty());
    }

    #[test]
    fn coarser_events_degrade_only_when_asked_and_a_server_that_does_not_serve_always() {
        assert!(problems(&status(0, false, 2), true, &args(0, false)).is_empty());
        assert_eq!(
            problems(&status(0, false, 2), true, &args(0, true)).len(),
            1
        );
        assert_eq!(
            problems(&status(0, false, 0), false, &args(0, false)).len(),
            1
        );
    }
}
