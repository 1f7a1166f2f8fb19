//! `sextant status`: the state of the server, for people and for monitoring.
//!
//! Relay and plain Hubble tell less: what their ServerStatus has is shown.
//!
//! Exit codes: 0 all is well, 1 degraded (not serving, more lost than allowed,
//! interfaces that are not wholly observed, with `--strict` events made coarser), 2 no answer.

mod hubble;
mod page;

use std::{cell::Cell, io::Write, process::ExitCode, time::Duration};

use clap::{Args, ValueEnum};
use sextant_proto::{
    observer::{ServerStatusRequest, observer_client::ObserverClient},
    sextant::status::v1::{
        GetStatusRequest, Status, WatchStatusRequest, WatchStatusResponse,
        status_service_client::StatusServiceClient,
    },
};
use tonic::{Code, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    again, call,
    connect::{Server, client},
    connection::Connection,
    json, out,
    text::{grouped, harmless},
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
/// Problems of interfaces that are told one by one.
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
    /// Events that may have been lost before it counts as degraded.
    #[arg(long, value_name = "EVENTS", default_value_t = 0)]
    max_lost: u64,
    /// Events that were made coarser to keep the overhead budget count as degraded too.
    #[arg(long)]
    strict: bool,
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
            Ok(ExitCode::from(NO_ANSWER))
        }
    }
}

/// Whether it is degraded.
async fn look(connection: &Connection, args: &StatusArgs) -> anyhow::Result<bool> {
    let server = Server::reading(connection).await?;
    let serving = is_serving(&server).await?;
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
    let ledger = status.ledger.clone().unwrap_or_default();
    let losses = ledger.events.unwrap_or_default().lost;
    let lost: u64 = losses
        .iter()
        .filter(|l| !l.intended)
        .map(|l| l.events)
        .sum();
    if lost > args.max_lost {
        problems.push(format!(
            "{lost} events were lost, {} are allowed",
            args.max_lost
        ));
    }
    problems.extend(interfaces(status));
    let step = status.budget.as_ref().map_or(0, |budget| budget.step);
    if args.strict && step > 0 {
        problems.push(format!(
            "events are coarser by {step} steps, to keep the overhead budget"
        ));
    }
    problems
}

/// Interfaces that are not observed, or not wholly.
fn interfaces(status: &Status) -> Vec<String> {
    let mut problems: Vec<String> = status
        .unobserved
        .iter()
        .map(|one| format!("{} is not observed: {}", one.interface, one.reason))
        .collect();
    for one in &status.attachments {
        let name = &one.interface;
        if !one.failure.is_empty() {
            problems.push(format!("{name} is no longer observed: {}", one.failure));
        }
        for (way, ahead, unseen) in [
            ("ingress", &one.ahead_ingress, one.unseen_ingress),
            ("egress", &one.ahead_egress, one.unseen_egress),
        ] {
            if !ahead.is_empty() {
                problems.push(format!(
                    "{} may hide packets on {way} of {name}",
                    ahead.join(", ")
                ));
            }
            if unseen > 0 {
                problems.push(format!(
                    "{} packets on {way} of {name} were seen by no program",
                    grouped(unseen)
                ));
            }
        }
    }
    let more = problems.len().saturating_sub(MOST_PROBLEMS);
    problems.truncate(MOST_PROBLEMS);
    if more > 0 {
        problems.push(format!("{more} more of the kind"));
    }
    problems.iter().map(|problem| harmless(problem)).collect()
}

#[cfg(test)]
mod tests {
    use sextant_proto::sextant::status::v1::{
        Attachment, Budget, EventBalance, Ledger, Loss, UnobservedInterface,
    };

    use super::*;

    fn args(max_lost: u64, strict: bool) -> StatusArgs {
        StatusArgs {
            output: Output::Text,
            watch: false,
            max_lost,
            strict,
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

    #[test]
    fn interfaces_that_are_not_wholly_observed_degrade() {
        let one = |ahead: &[&str], unseen| Status {
            attachments: vec![Attachment {
                interface: "vb".into(),
                ahead_ingress: ahead.iter().map(|name| (*name).to_owned()).collect(),
                unseen_egress: unseen,
                ..Attachment::default()
            }],
            ..Status::default()
        };
        assert!(interfaces(&one(&[], 0)).is_empty());
        assert_eq!(
            interfaces(&one(&["foreign"], 1234)),
            [
                "foreign may hide packets on ingress of vb",
                "1,234 packets on egress of vb were seen by no program"
            ]
        );
        let refused = UnobservedInterface {
            interface: "v".into(),
            reason: "no".into(),
        };
        let many = Status {
            unobserved: vec![refused; 9],
            ..Status::default()
        };
        let told = interfaces(&many);
        assert_eq!((told.len(), told[5].as_str()), (6, "4 more of the kind"));
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
