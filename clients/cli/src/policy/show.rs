//! The policies of a server: `list`, `get`, `hits`, `watch`.

use std::{io::Write as _, process::ExitCode};

use clap::{Args, ValueEnum};
use serde_json::Value;
use sextant_policy::document;
use sextant_proto::sextant::policy::v1::{self as api, policy_service_client::PolicyServiceClient};

use super::{
    change::set,
    output::Output,
    words::{self, ScopeArgs, action, kind, mode, name, state},
};
use crate::{
    again, call,
    connect::{Channel, Server, client},
    connection::Connection,
    json, out,
    text::{self, Align, grouped, harmless, harmless_lines},
    time::Format,
};

/// Policies of a page.
const PAGE: u32 = 1000;

/// Output formats of policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Form {
    /// Their documents as YAML.
    #[default]
    Yaml,
    /// Their documents as JSON, one a line.
    Json,
    /// All that the server tells of them, as JSON.
    Full,
}

/// Arguments of `policy list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,
}

/// Arguments of `policy get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Names: `NAME` or `NAMESPACE/NAME`; all policies if there is none.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    scope: ScopeArgs,
    /// Output format; what is printed can be applied, but for `full`.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Form,
}

/// Arguments of `policy hits`.
#[derive(Debug, Args)]
pub(crate) struct HitsArgs {
    /// Only of this policy: `NAME` or `NAMESPACE/NAME`.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    scope: ScopeArgs,
    /// How many.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: u32,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,
}

/// Arguments of `policy watch`.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// The changes after this revision first.
    #[arg(long, value_name = "REVISION")]
    from: Option<u64>,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,
}

/// All policies of the server that are wanted, with the state of the set.
pub(super) async fn fetch(
    server: &Server,
    scope: &ScopeArgs,
    with_documents: bool,
) -> anyhow::Result<(Vec<api::Policy>, api::SetStatus)> {
    let mut client = client!(PolicyServiceClient<Channel>, server);
    let mut request = api::ListRequest {
        kinds: match scope.kind() {
            api::PolicyKind::Unspecified => Vec::new(),
            kind => vec![kind.into()],
        },
        namespaces: match scope.namespace() {
            "" => Vec::new(),
            namespace => vec![namespace.to_owned()],
        },
        page_size: PAGE,
        without_documents: !with_documents,
        ..api::ListRequest::default()
    };
    let mut policies = Vec::new();
    loop {
        let answer = client.list(server.unary(request.clone())).await;
        let answer = answer.map_err(call::failed("list the policies of", server))?;
        let mut answer = answer.into_inner();
        policies.append(&mut answer.policies);
        if answer.next_page_token.is_empty() {
            return Ok((policies, answer.status.unwrap_or_default()));
        }
        request.page_token = answer.next_page_token;
    }
}

/// Prints the policies.
pub(super) async fn list(connection: &Connection, args: &ListArgs) -> anyhow::Result<ExitCode> {
    let server = Server::reading(connection).await?;
    let is_json = args.output == Output::Json;
    let (policies, status) = fetch(&server, &args.scope, is_json).await?;
    let mut out = out::stdout();
    if is_json {
        for policy in &policies {
            writeln!(out, "{}", json::print(policy, "sextant.policy.v1.Policy"))?;
        }
    } else {
        if !policies.is_empty() {
            write!(out, "{}", table(&policies))?;
        }
        writeln!(out, "{}", set(&status))?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn table(policies: &[api::Policy]) -> String {
    let head = [
        "KIND",
        "NAMESPACE",
        "NAME",
        "MODE",
        "STATE",
        "RULES",
        "SELECTED",
        "ENTRIES",
        "DENIED",
        "REVISION",
        "UPDATED",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(policies.iter().map(|policy| {
        let status = policy.status.clone().unwrap_or_default();
        vec![
            kind(policy.kind).to_owned(),
            harmless(&policy.namespace),
            harmless(&policy.name),
            mode(policy.mode),
            state(status.state),
            grouped(status.rules.into()),
            grouped(status.selected_endpoints.into()),
            grouped(status.map_entries),
            grouped(denied(&status)),
            policy.revision.to_string(),
            Format::Rfc3339.print(policy.updated.as_ref()),
        ]
    }));
    let mut aligns = [Align::Left; 11];
    aligns[5..10].fill(Align::Right);
    text::table(&rows, &aligns)
}

/// Connections that it denied, or would have denied in audit.
fn denied(status: &api::PolicyStatus) -> u64 {
    let denies = |hits: &&api::VerdictHits| {
        matches!(
            hits.verdict(),
            api::PolicyVerdict::Deny | api::PolicyVerdict::Audit
        )
    };
    status
        .hits
        .iter()
        .filter(denies)
        .map(|hits| hits.flows)
        .sum()
}

/// Prints documents.
pub(super) async fn get(connection: &Connection, args: &GetArgs) -> anyhow::Result<ExitCode> {
    let server = Server::reading(connection).await?;
    let mut policies = Vec::new();
    if args.names.is_empty() {
        policies = fetch(&server, &args.scope, true).await?.0;
    }
    let mut client = client!(PolicyServiceClient<Channel>, server);
    for name in &args.names {
        let policy = Some(args.scope.reference(name));
        let answer = client.get(server.unary(api::GetRequest { policy })).await;
        let answer = answer.map_err(call::failed("get a policy of", &server))?;
        policies.extend(answer.into_inner().policy);
    }
    let mut out = out::stdout();
    for (number, policy) in policies.iter().enumerate() {
        match args.output {
            Form::Full => writeln!(out, "{}", json::print(policy, "sextant.policy.v1.Policy"))?,
            Form::Json => writeln!(out, "{}", harmless(&policy.document))?,
            Form::Yaml => {
                if number > 0 {
                    writeln!(out, "---")?;
                }
                write!(out, "{}", yaml(policy)?)?;
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The document of a policy as YAML.
pub(super) fn yaml(policy: &api::Policy) -> anyhow::Result<String> {
    let document: Value = serde_json::from_str(&policy.document)?;
    let text = document::to_yaml(&document)?;
    let end = if text.ends_with('\n') { "" } else { "\n" };
    Ok(harmless_lines(&text) + end)
}

/// Prints what the rules did.
pub(super) async fn hits(connection: &Connection, args: &HitsArgs) -> anyhow::Result<ExitCode> {
    let server = Server::reading(connection).await?;
    let mut client = client!(PolicyServiceClient<Channel>, server);
    let policy = args.name.as_ref().map(|name| args.scope.reference(name));
    let request = api::ListHitsRequest {
        policy,
        limit: args.limit,
    };
    let answer = client.list_hits(server.unary(request)).await;
    let answer = answer.map_err(call::failed("list the hits of", &server))?;
    let hits = answer.into_inner().hits;
    let mut out = out::stdout();
    if args.output == Output::Json {
        for hit in &hits {
            writeln!(out, "{}", json::print(hit, "sextant.policy.v1.Hit"))?;
        }
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    let head = [
        "POLICY", "RULE", "VERDICT", "FLOWS", "PACKETS", "BYTES", "LAST",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for hit in &hits {
        let rule = hit.rule.clone().unwrap_or_default();
        let verdict = words::short(
            hit.verdict,
            "POLICY_VERDICT_",
            api::PolicyVerdict::as_str_name,
        );
        rows.push(vec![
            name(rule.policy.as_ref()),
            match rule.rule.as_str() {
                "" => "default deny".to_owned(),
                rule => harmless(rule),
            },
            verdict,
            grouped(hit.flows),
            grouped(hit.packets),
            grouped(hit.bytes),
            Format::default().print(hit.last.as_ref()),
        ]);
    }
    let mut aligns = [Align::Left; 7];
    aligns[3..6].fill(Align::Right);
    write!(out, "{}", text::table(&rows, &aligns))?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Of the time without a connection.
const MISSED: &str = "changes made meanwhile are in `sextant policy history`";

/// Prints changes until interrupted.
pub(super) async fn watch(connection: &Connection, args: &WatchArgs) -> anyhow::Result<ExitCode> {
    let server = Server::reading(connection).await?;
    let mut out = out::stdout();
    let from = args.from;
    let ask = async |server: &Server| {
        let mut client = client!(PolicyServiceClient<Channel>, server);
        let request = api::WatchRequest {
            from_revision: from,
        };
        Ok(client.watch(request).await?.into_inner())
    };
    let show = |answer: Option<api::WatchResponse>| {
        let Some(answer) = answer else {
            return Ok(());
        };
        match args.output {
            Output::Json => {
                writeln!(
                    out,
                    "{}",
                    json::print(&answer, "sextant.policy.v1.WatchResponse")
                )?;
            }
            Output::Table => write!(out, "{}", lines(&answer))?,
        }
        Ok(out.flush()?)
    };
    let action = "watch the policies of";
    tokio::select! {
        ended = again::watch((connection, server), action, MISSED, ask, show) => ended?,
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn lines(answer: &api::WatchResponse) -> String {
    let status = answer.status.clone().unwrap_or_default();
    let Some(revision) = &answer.revision else {
        return set(&status) + "\n";
    };
    let time = Format::Rfc3339.print(revision.time.as_ref());
    let mut told = format!(
        "{time} revision {}: {} by {}\n",
        revision.revision,
        words::change(revision),
        harmless(&revision.who)
    );
    for change in &revision.changes {
        told += &format!(
            "  {} {}\n",
            name(change.policy.as_ref()),
            action(change.action)
        );
    }
    let more = (revision.policies as usize).saturating_sub(revision.changes.len());
    if more > 0 {
        told += &format!("  and {more} more\n");
    }
    told
}
