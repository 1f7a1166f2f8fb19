//! What changes the set of a server: `apply`, `delete`, `mode`, `rollback`, `confirm`.

use std::{io::Write as _, process::ExitCode, time::Duration};

use clap::{Args, ValueEnum};
use prost::Message;
use sextant_proto::sextant::policy::v1::{self as api, policy_service_client::PolicyServiceClient};

use super::{
    files::FileArgs,
    words::{self, Mode, NamesArgs, action, name},
};
use crate::{
    call,
    connect::{Channel, Server, client},
    connection::Connection,
    json, out,
    text::{self, bytes, grouped, harmless},
    time::{self, Format},
};

/// What all changes have.
#[derive(Debug, Args)]
pub(super) struct ChangeArgs {
    /// Change nothing, tell what would be changed.
    #[arg(long)]
    validate_only: bool,
    /// Change it only if the set is still at this revision.
    #[arg(long, value_name = "N")]
    expected_revision: Option<u64>,
    /// Undo the change after this time unless `sextant policy confirm` is called, whatever
    /// happens to the server meanwhile (1s to 24h).
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    confirm_within: Option<Duration>,
    /// Change it even if that denies this very connection, or the management ports.
    #[arg(long)]
    force: bool,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Output {
    /// A line for each policy, then the state of the set.
    #[default]
    Text,
    /// The answer as a JSON object.
    Json,
}

/// Arguments of `policy apply`.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    files: FileArgs,
    /// Delete all policies that are not among these.
    #[arg(long)]
    prune: bool,
    /// Put these policies in audit: what they deny is let through, and told.
    #[arg(long, conflicts_with = "mode")]
    audit: bool,
    /// How far these policies go [default: as they did; new ones: enforce]
    #[arg(long, value_enum, value_name = "MODE")]
    mode: Option<Mode>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Arguments of `policy delete`.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    names: NamesArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Arguments of `policy mode`.
#[derive(Debug, Args)]
pub(crate) struct ModeArgs {
    /// How far they are to go.
    #[arg(value_enum, value_name = "MODE")]
    mode: Mode,
    #[command(flatten)]
    names: NamesArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Arguments of `policy rollback`.
#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// The revision to go back to, of `sextant policy history` [default: the one before the last]
    #[arg(value_name = "REVISION")]
    revision: Option<u64>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Arguments of `policy confirm`.
#[derive(Debug, Args)]
pub(crate) struct ConfirmArgs {
    /// The revision to confirm [default: the one that waits]
    #[arg(value_name = "REVISION")]
    revision: Option<u64>,
}

impl ChangeArgs {
    fn within(&self) -> Option<prost_types::Duration> {
        // What is longer than any duration is refused by the server.
        let within = self.confirm_within?;
        Some(
            prost_types::Duration::try_from(within).unwrap_or(prost_types::Duration {
                seconds: i64::MAX,
                nanos: 0,
            }),
        )
    }
}

/// Gives policies to the server.
pub(super) async fn apply(connection: &Connection, args: &ApplyArgs) -> anyhow::Result<ExitCode> {
    if args.prune
        && let Some(folder) = args.files.passed_over()
    {
        anyhow::bail!(
            "{} would be passed over, and --prune delete the policies in it; name it with -f too, or leave out --prune",
            folder.display()
        );
    }
    let documents = args.files.documents()?;
    let (mode, change) = (args.mode.map(Mode::value), &args.change);
    let mode = match args.audit {
        true => Some(api::PolicyMode::Audit),
        false => mode,
    };
    let request = api::ApplyRequest {
        documents,
        mode: mode.map_or(0, Into::into),
        prune: args.prune,
        validate_only: change.validate_only,
        expected_revision: change.expected_revision,
        confirm_within: change.within(),
        force: change.force,
        policies: Vec::new(),
    };
    let server = Server::writing(connection).await?;
    let mut client = client!(PolicyServiceClient<Channel>, server);
    let answer = client.apply(server.unary(request)).await;
    let answer = answer.map_err(call::failed("apply policies to", &server))?;
    let answer = answer.into_inner();
    let name = "sextant.policy.v1.ApplyResponse";
    tell(
        change,
        &answer,
        name,
        &answer.changes,
        answer.status.as_ref(),
    )
}

/// Deletes policies of the server.
pub(super) async fn delete(connection: &Connection, args: &DeleteArgs) -> anyhow::Result<ExitCode> {
    let change = &args.change;
    let request = api::DeleteRequest {
        policies: args.names.references(),
        validate_only: change.validate_only,
        expected_revision: change.expected_revision,
        confirm_within: change.within(),
        force: change.force,
    };
    let server = Server::writing(connection).await?;
    let mut client = client!(PolicyServiceClient<Channel>, server);
    let answer = client.delete(server.unary(request)).await;
    let answer = answer.map_err(call::failed("delete policies of", &server))?;
    let answer = answer.into_inner();
    let name = "sextant.policy.v1.DeleteResponse";
    tell(
        change,
        &answer,
        name,
        &answer.changes,
        answer.status.as_ref(),
    )
}

/// Says how far policies go.
pub(super) async fn mode(connection: &Connection, args: &ModeArgs) -> anyhow::Result<ExitCode> {
    let change = &args.change;
    let request = api::SetModeRequest {
        policies: args.names.references(),
        mode: args.mode.value().into(),
        validate_only: change.validate_only,
        expected_revision: change.expected_revision,
        confirm_within: change.within(),
        force: change.force,
    };
    let server = Server::writing(connection).await?;
    let mut client = client!(PolicyServiceClient<Channel>, server);
    let answer = client.set_mode(server.unary(request)).await;
    let answer = answer.map_err(call::failed("set the mode of policies of", &server))?;
    let answer = answer.into_inner();
    let name = "sextant.policy.v1.SetModeResponse";
    tell(
        change,
        &answer,
        name,
        &answer.changes,
        answer.status.as_ref(),
    )
}

/// Makes the set as it was.
pub(super) async fn rollback(
    connection: &Connection,
    args: &RollbackArgs,
) -> anyhow::Result<ExitCode> {
    let change = &args.change;
    let request = api::RollbackRequest {
        revision: args.revision,
        validate_only: change.validate_only,
        expected_revision: change.expected_revision,
        confirm_within: change.within(),
        force: change.force,
    };
    let server = Server::writing(connection).await?;
    let mut client = client!(PolicyServiceClient<Channel>, server);
    let answer = client.rollback(server.unary(request)).await;
    let answer = answer.map_err(call::failed("roll back the policies of", &server))?;
    let answer = answer.into_inner();
    let name = "sextant.policy.v1.RollbackResponse";
    tell(
        change,
        &answer,
        name,
        &answer.changes,
        answer.status.as_ref(),
    )
}

/// Confirms the last change.
pub(super) async fn confirm(
    connection: &Connection,
    args: &ConfirmArgs,
) -> anyhow::Result<ExitCode> {
    let server = Server::writing(connection).await?;
    let mut client = client!(PolicyServiceClient<Channel>, server);
    let revision = args.revision.unwrap_or_default();
    let request = server.unary(api::ConfirmRequest { revision });
    let answer = client.confirm(request).await;
    let answer = answer.map_err(call::failed("confirm the change of", &server))?;
    let status = answer.into_inner().status.unwrap_or_default();
    print(&format!("revision {} is confirmed", status.revision))
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    let mut out = out::stdout();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// What a change did: by its answer, a message of this name that has all of it.
fn tell(
    args: &ChangeArgs,
    answer: &impl Message,
    message: &str,
    changes: &[api::PolicyChange],
    status: Option<&api::SetStatus>,
) -> anyhow::Result<ExitCode> {
    if args.output == Output::Json {
        return print(&json::print(answer, message));
    }
    let mut out = out::stdout();
    for change in changes {
        let would = if args.validate_only { "would be " } else { "" };
        let name = name(change.policy.as_ref());
        writeln!(
            out,
            "{name} {would}{}{}",
            action(change.action),
            mode_of(change)
        )?;
        for warning in &change.warnings {
            writeln!(out, "  warning: {}", harmless(warning))?;
        }
    }
    if changes.is_empty() {
        writeln!(out, "nothing to change")?;
    }
    let status = status.cloned().unwrap_or_default();
    let text = match args.validate_only {
        true => "all is well; nothing was changed".to_owned(),
        false => set(&status),
    };
    writeln!(out, "{text}")?;
    out.flush()?;
    let is_failed = status.state() == api::PolicyState::Failed;
    Ok(if is_failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// How far a policy goes, where that is not all the way.
fn mode_of(change: &api::PolicyChange) -> String {
    match change.mode() {
        api::PolicyMode::Audit => " (in audit)".to_owned(),
        api::PolicyMode::Disabled => " (disabled)".to_owned(),
        _ => String::new(),
    }
}

/// The state of the set, in a line or two.
pub(super) fn set(status: &api::SetStatus) -> String {
    let policies = match status.policies {
        0 => "no policies".to_owned(),
        1 => "1 policy".to_owned(),
        count => format!("{} policies", grouped(count.into())),
    };
    let mut told = format!("revision {}: {policies}", status.revision);
    match status.state() {
        api::PolicyState::Failed => {
            told += &format!(", NOT IN FORCE: {}", harmless(&status.error));
        }
        api::PolicyState::Active => {
            let (entries, size) = (grouped(status.map_entries), bytes(status.map_bytes as f64));
            told += &format!(
                ", in force: {} endpoints selected, {entries} entries, {size} in the kernel",
                grouped(status.selected_endpoints)
            );
        }
        _ => told += ", none does anything",
    }
    if status.state() != api::PolicyState::Failed && !status.error.is_empty() {
        told += &format!("\nwarning: {}", harmless(&status.error));
    }
    if let Some(by) = &status.confirm_by {
        let by = Format::Rfc3339.print(Some(by));
        told += &format!(
            "\nit is undone at {by} unless it is confirmed: sextant policy confirm {}",
            status.revision
        );
    }
    told
}

/// Arguments of `policy history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// How many of the latest changes, 100 at most.
    #[arg(long, value_name = "N", default_value_t = 20)]
    last: u32,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: super::output::Output,
}

/// Prints the changes, the oldest first.
pub(super) async fn history(
    connection: &Connection,
    args: &HistoryArgs,
) -> anyhow::Result<ExitCode> {
    let server = Server::reading(connection).await?;
    let mut client = client!(PolicyServiceClient<Channel>, server);
    let request = server.unary(api::ListRevisionsRequest {
        before: 0,
        limit: args.last,
    });
    let answer = client.list_revisions(request).await;
    let answer = answer.map_err(call::failed("list the changes of", &server))?;
    let mut revisions = answer.into_inner().revisions;
    revisions.reverse();
    let mut out = out::stdout();
    if args.output == super::output::Output::Json {
        for revision in &revisions {
            writeln!(
                out,
                "{}",
                json::print(revision, "sextant.policy.v1.Revision")
            )?;
        }
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    let head = ["REVISION", "TIME", "WHO", "WHAT", "POLICIES"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(revisions.iter().map(row));
    write!(out, "{}", text::table(&rows, &[text::Align::Right]))?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Policies that a row names.
const NAMED: usize = 3;

fn row(revision: &api::Revision) -> Vec<String> {
    let changes = revision.changes.iter().take(NAMED);
    let changes = changes.map(|change| {
        let name = name(change.policy.as_ref());
        format!("{name} {}", action(change.action))
    });
    let mut told = changes.collect::<Vec<_>>().join(", ");
    let more = (revision.policies as usize).saturating_sub(NAMED);
    if more > 0 {
        told += &format!(" and {more} more");
    }
    let waits = if revision.waits {
        " (to be confirmed)"
    } else {
        ""
    };
    vec![
        revision.revision.to_string(),
        Format::Rfc3339.print(revision.time.as_ref()),
        harmless(&revision.who),
        words::change(revision) + waits,
        told,
    ]
}
