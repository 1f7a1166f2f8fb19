//! `sextant policy simulate`: flows that were seen, judged as if a set of policies had been
//! in force: those of a server by that server, those of a file here. Bound: what
//! `sextant_policy::simulation` keeps.

use std::{io::Write, process::ExitCode};

use clap::{Args, ValueEnum};
use futures::TryStreamExt as _;
use serde_json::json;
use sextant_flows::flow::Flow;
use sextant_policy::{
    document,
    policy::Policy,
    ports::name_of,
    set::PolicySet,
    simulation::{MAX_GROUPS, Simulation},
};
use sextant_proto::sextant::policy::v1::{self as api, policy_service_client::PolicyServiceClient};
use tonic::Code;

use super::{
    evaluate::Mode,
    files::MaybeFileArgs,
    show::fetch,
    source::SourceArgs,
    words::{ScopeArgs, verdict},
};
use crate::{
    call,
    connect::{Channel, Server, client},
    connection::Connection,
    out,
    text::{self, Align, grouped, harmless},
    time::Format,
};

/// Arguments of `policy simulate`.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    #[command(flatten)]
    files: MaybeFileArgs,
    #[command(flatten)]
    source: SourceArgs,
    /// Kinds of changes that are printed.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Only the policies that are named count, not those of the server beside them.
    #[arg(long)]
    alone: bool,
    /// Who denies by default, by flows of a file [default: default]; a server has its own.
    #[arg(long, value_enum, value_name = "MODE")]
    mode: Option<Mode>,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Output {
    /// Columns.
    #[default]
    Table,
    /// One JSON object a line: the changes, then what was counted.
    Json,
}

/// What would change, and what was counted.
struct Told {
    changes: Vec<api::SimulatedChange>,
    summary: api::SimulationSummary,
    /// Flows that were lost on the way here.
    lost: u64,
}

/// Prints what would change.
pub(super) async fn run(connection: &Connection, args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    let by_server = match args.source.is_of_server() {
        true => by_server(connection, args).await?,
        false => None,
    };
    let told = match by_server {
        Some(told) => told,
        None => here(connection, args).await?,
    };
    print(&told, args)
}

/// A server knows its set, its node and who has the network of its host; nothing, if it is
/// one of Hubble that keeps no policies.
async fn by_server(connection: &Connection, args: &SimulateArgs) -> anyhow::Result<Option<Told>> {
    if args.mode.is_some() {
        anyhow::bail!(
            "--mode goes with --input-file: a server has its own (`[policy] enforcement`)"
        );
    }
    let (flows, documents) = (args.source.request()?, args.files.documents()?);
    if args.alone && documents.is_empty() {
        anyhow::bail!("--alone goes with policies: name them by -f");
    }
    let request = api::SimulateRequest {
        documents,
        prune: args.alone,
        since: flows.since,
        until: flows.until,
        whitelist: flows.whitelist,
        blacklist: flows.blacklist,
        limit: u32::try_from(args.limit.clamp(1, MAX_GROUPS)).unwrap_or_default(),
        policies: Vec::new(),
    };
    let server = Server::reading(connection).await?;
    let failed = call::failed("simulate policies at", &server);
    let mut client = client!(PolicyServiceClient<Channel>, server);
    let mut answers = match client.simulate(request).await {
        Ok(answers) => answers.into_inner(),
        Err(status) if status.code() == Code::Unimplemented => return Ok(None),
        Err(status) => return Err(failed(status).into()),
    };
    let mut told = Told {
        changes: Vec::new(),
        summary: api::SimulationSummary::default(),
        lost: 0,
    };
    while let Some(answer) = answers.try_next().await.map_err(&failed)? {
        told.changes.extend(answer.changes);
        told.summary = answer.summary.unwrap_or(told.summary);
    }
    Ok(Some(told))
}

/// By flows of a file.
async fn here(connection: &Connection, args: &SimulateArgs) -> anyhow::Result<Told> {
    let policies = match args.files.policies()? {
        Some(policies) => policies,
        None => of_server(connection).await?,
    };
    let set = PolicySet::new(policies, args.mode.unwrap_or_default().into());
    let mut simulation = Simulation::new(&set);
    let see = |flow: &Flow| simulation.see(flow);
    let lost = args.source.each(connection, see).await?;
    let (changes, summary) = simulation.told(args.limit);
    Ok(Told {
        changes,
        summary,
        lost,
    })
}

/// The policies of the server that are enforced or in audit.
async fn of_server(connection: &Connection) -> anyhow::Result<Vec<Policy>> {
    let server = Server::reading(connection).await?;
    let (policies, _) = fetch(&server, &ScopeArgs::default(), true).await?;
    let mut all = Vec::new();
    for policy in policies {
        if policy.mode() != api::PolicyMode::Disabled {
            all.extend(document::parse(&policy.document)?);
        }
    }
    Ok(all)
}

fn print(told: &Told, args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    let mut out = out::stdout();
    match args.output {
        Output::Json => {
            for change in &told.changes {
                writeln!(out, "{}", change_json(change))?;
            }
            writeln!(out, "{}", counts_json(told))?;
        }
        Output::Table => {
            if !told.changes.is_empty() {
                write!(out, "{}", table(&told.changes))?;
            }
            tell(&mut out, told)?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn direction(change: &api::SimulatedChange) -> &'static str {
    match change.direction() {
        api::PolicyDirection::Ingress => "ingress",
        _ => "egress",
    }
}

fn protocol(change: &api::SimulatedChange) -> &'static str {
    u8::try_from(change.protocol).map_or("?", name_of)
}

fn table(changes: &[api::SimulatedChange]) -> String {
    let head = [
        "WOULD BE", "FROM", "TO", "PORT", "AT", "BY", "FLOWS", "LAST",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for change in changes {
        rows.push(vec![
            verdict(change.verdict).to_owned(),
            harmless(&change.source),
            harmless(&change.destination),
            format!("{}/{}", change.port, protocol(change)),
            direction(change).to_owned(),
            harmless(&change.by),
            grouped(change.flows),
            Format::default().print(change.last.as_ref()),
        ]);
    }
    let mut aligns = [Align::Left; 8];
    aligns[6] = Align::Right;
    text::table(&rows, &aligns)
}

fn tell(out: &mut impl Write, told: &Told) -> std::io::Result<()> {
    let summary = &told.summary;
    let [judged, selected, denied, allowed] = [
        summary.judged,
        summary.selected,
        summary.denied,
        summary.allowed,
    ]
    .map(grouped);
    write!(
        out,
        "{judged} flows judged, {selected} with an end that a policy selects: \
         {denied} would be denied, {allowed} let through"
    )?;
    if summary.authenticated > 0 {
        let flows = grouped(summary.authenticated);
        write!(out, ", {flows} only once both ends have authenticated")?;
    }
    writeln!(out)?;
    if summary.not_told > 0 {
        let kinds = summary.kinds.saturating_sub(told.changes.len() as u64);
        let (kinds, flows) = (grouped(kinds), grouped(summary.not_told));
        writeln!(
            out,
            "{kinds} more kinds, {flows} flows of them and of further ones; see --limit"
        )?;
    }
    for one in &summary.not_judged {
        writeln!(
            out,
            "not judged: {} {}",
            grouped(one.flows),
            harmless(&one.reason)
        )?;
    }
    if told.lost > 0 {
        writeln!(
            out,
            "not judged: {} that were lost on the way",
            grouped(told.lost)
        )?;
    }
    Ok(())
}

fn change_json(change: &api::SimulatedChange) -> serde_json::Value {
    json!({ "change": {
        "verdict": verdict(change.verdict),
        "from": harmless(&change.source),
        "to": harmless(&change.destination),
        "protocol": protocol(change),
        "protocol_number": change.protocol,
        "port": change.port,
        "direction": direction(change),
        "by": harmless(&change.by),
        "flows": change.flows,
        "first": Format::Rfc3339Nano.print(change.first.as_ref()),
        "last": Format::Rfc3339Nano.print(change.last.as_ref()),
    }})
}

fn counts_json(told: &Told) -> serde_json::Value {
    let summary = &told.summary;
    let not_judged: serde_json::Map<_, _> = summary
        .not_judged
        .iter()
        .map(|one| (harmless(&one.reason), one.flows.into()))
        .collect();
    json!({ "summary": {
        "judged": summary.judged,
        "selected": summary.selected,
        "denied": summary.denied,
        "allowed": summary.allowed,
        "authenticated": summary.authenticated,
        "kinds": summary.kinds,
        "flows_of_further_kinds": summary.not_told,
        "not_judged": not_judged,
        "lost": told.lost,
    }})
}
