//! `sextant policy simulate`: flows that a server or a file has, judged as if a set of
//! policies had been in force. Bound: what `sextant_policy::simulation` keeps.

use std::{io::Write, process::ExitCode};

use clap::{Args, ValueEnum};
use prost_types::Timestamp;
use serde_json::json;
use sextant_policy::{
    document,
    policy::{Direction, Policy},
    ports::name_of,
    set::PolicySet,
    simulation::{Change, Count, Counts, Simulation},
};

use sextant_proto::sextant::policy::v1 as api;

use super::{
    evaluate::{Mode, word},
    files::MaybeFileArgs,
    show::fetch,
    source::SourceArgs,
    words::ScopeArgs,
};
use crate::{
    connect::Server,
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
    /// Who denies by default.
    #[arg(long, value_enum, value_name = "MODE", default_value_t)]
    mode: Mode,
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

/// Prints what would change.
pub(super) async fn run(connection: &Connection, args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    let policies = match args.files.policies()? {
        Some(policies) => policies,
        None => of_server(connection).await?,
    };
    let set = PolicySet::new(policies, args.mode.into());
    let mut simulation = Simulation::new(&set);
    let lost = args
        .source
        .each(connection, |flow| simulation.see(flow))
        .await?;
    print(simulation, lost, args)
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

fn print(simulation: Simulation<'_>, lost: u64, args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    let (changes, counts) = simulation.finish();
    let mut out = out::stdout();
    let shown = &changes[..changes.len().min(args.limit)];
    match args.output {
        Output::Json => {
            for (change, count) in shown {
                writeln!(out, "{}", change_json(change, *count))?;
            }
            writeln!(out, "{}", counts_json(&counts, changes.len(), lost))?;
        }
        Output::Table => {
            if !shown.is_empty() {
                write!(out, "{}", table(shown))?;
            }
            tell(&mut out, &counts, changes.len() - shown.len())?;
            if lost > 0 {
                writeln!(
                    out,
                    "not judged: {} that were lost on the way",
                    grouped(lost)
                )?;
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn direction(change: &Change) -> &'static str {
    match change.direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}

fn table(changes: &[(Change, Count)]) -> String {
    let head = [
        "WOULD BE", "FROM", "TO", "PORT", "AT", "BY", "FLOWS", "LAST",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (change, count) in changes {
        rows.push(vec![
            word(change.verdict).to_owned(),
            harmless(&change.client),
            harmless(&change.server),
            format!("{}/{}", change.port, name_of(change.protocol)),
            direction(change).to_owned(),
            harmless(&change.by),
            grouped(count.flows),
            Format::default().print(Some(&stamp(count.last))),
        ]);
    }
    let mut aligns = [Align::Left; 8];
    aligns[6] = Align::Right;
    text::table(&rows, &aligns)
}

fn stamp(time: sextant_flows::flow::Time) -> Timestamp {
    Timestamp {
        seconds: time.seconds,
        nanos: time.nanos,
    }
}

fn tell(out: &mut impl Write, counts: &Counts, hidden: usize) -> std::io::Result<()> {
    let Counts {
        judged,
        selected,
        denied,
        allowed,
        ..
    } = counts;
    let [judged, selected, denied, allowed] =
        [judged, selected, denied, allowed].map(|n| grouped(*n));
    write!(
        out,
        "{judged} flows judged, {selected} with an end that a policy selects: \
         {denied} would be denied, {allowed} let through"
    )?;
    if counts.authenticated > 0 {
        let flows = grouped(counts.authenticated);
        write!(out, ", {flows} only once both ends have authenticated")?;
    }
    writeln!(out)?;
    if hidden > 0 || counts.not_told > 0 {
        let (kinds, flows) = (grouped(hidden as u64), grouped(counts.not_told));
        writeln!(
            out,
            "{kinds} more kinds, and {flows} flows of further ones; see --limit"
        )?;
    }
    for (reason, flows) in &counts.not_judged {
        writeln!(out, "not judged: {} {reason}", grouped(*flows))?;
    }
    Ok(())
}

fn change_json(change: &Change, count: Count) -> serde_json::Value {
    json!({ "change": {
        "verdict": word(change.verdict),
        "from": harmless(&change.client),
        "to": harmless(&change.server),
        "protocol": name_of(change.protocol),
        "protocol_number": change.protocol,
        "port": change.port,
        "direction": direction(change),
        "by": harmless(&change.by),
        "flows": count.flows,
        "first": Format::Rfc3339Nano.print(Some(&stamp(count.first))),
        "last": Format::Rfc3339Nano.print(Some(&stamp(count.last))),
    }})
}

fn counts_json(counts: &Counts, kinds: usize, lost: u64) -> serde_json::Value {
    let not_judged = counts.not_judged.iter();
    let not_judged: serde_json::Map<_, _> = not_judged
        .map(|(reason, flows)| (reason.to_string(), (*flows).into()))
        .collect();
    json!({ "summary": {
        "judged": counts.judged,
        "selected": counts.selected,
        "denied": counts.denied,
        "allowed": counts.allowed,
        "authenticated": counts.authenticated,
        "kinds": kinds,
        "flows_of_further_kinds": counts.not_told,
        "not_judged": not_judged,
        "lost": lost,
    }})
}
