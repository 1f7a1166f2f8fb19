//! `sextant observe`: flows, and the events of agents, as `hubble observe` shows
//! them, and a little more.

mod agent;
mod before;
mod columns;
mod debug;
mod events;
mod fields;
mod follow;
mod input;
mod layout;
pub(crate) mod names;
mod printer;
mod selector;
mod stream;

use std::{io::Write, process::ExitCode};

use clap::{Args, ValueEnum};
use prost_types::Timestamp;
use sextant_proto::observer::{
    GetFlowsRequest, GetFlowsResponse, get_flows_response::ResponseTypes,
    observer_client::ObserverClient,
};

pub(crate) use columns::Column;
use fields::Style;
use printer::Printer;
use selector::{Selection, SelectorArgs};
use stream::{Show as _, drain};

use crate::{
    call,
    color::{Paint, When},
    connect::{Channel, Server, client},
    connection::Connection,
    filter::FilterArgs,
    input::{InputArgs, Wanted},
    out, time,
};

/// Arguments of `observe`.
#[derive(Debug, Args)]
pub(crate) struct ObserveArgs {
    /// What is shown.
    #[arg(value_enum, value_name = "WHAT", default_value_t)]
    what: What,
    #[command(flatten)]
    selectors: SelectorArgs,
    #[command(flatten)]
    filters: FilterArgs,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    input: InputArgs,
}

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum What {
    /// Flows.
    #[default]
    Flows,
    /// What agents tell of themselves: policies, endpoints, addresses. No filters.
    AgentEvents,
    /// What agents tell of single packets. No filters.
    DebugEvents,
}

/// How flows are shown.
#[derive(Debug, Args)]
#[command(next_help_heading = "Format")]
pub(crate) struct FormatArgs {
    /// Output format.
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        ignore_case = true
    )]
    pub(crate) output: Output,
    /// More columns in compact, table and dict.
    #[arg(long, value_enum, value_name = "COLUMNS", value_delimiter = ',')]
    pub(crate) columns: Vec<Column>,
    /// When to colour.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    color: When,
    /// How times are printed, in UTC.
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        ignore_case = true
    )]
    time_format: time::Format,
    /// Print the name of the node.
    #[arg(long)]
    print_node_name: bool,
    /// Print the names of policies.
    #[arg(long)]
    print_policy_names: bool,
    /// Print addresses rather than names.
    #[arg(long)]
    numeric: bool,
    /// Print names rather than addresses.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    ip_translation: bool,
    /// Fields to ask for, with JSON: a comma-separated list.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    pub(crate) field_mask: Vec<String>,
    /// Ask for the visible fields only, with compact, table and dict.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub(crate) use_default_field_masks: bool,
    /// Say nothing of nodes that fail.
    #[arg(short, long)]
    silent_errors: bool,
}

/// An output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Output {
    /// One line for each flow.
    #[default]
    Compact,
    /// Columns.
    #[value(alias = "tab")]
    Table,
    /// One line for each field.
    Dict,
    /// One JSON object a line, as protobuf maps it.
    Json,
    /// The same as json.
    Jsonpb,
}

impl FormatArgs {
    fn style(&self) -> Style {
        let when = match self.output {
            // Columns cannot be counted with colours in them.
            Output::Table => When::Never,
            _ => self.color,
        };
        Style {
            paint: Paint::of(when),
            time_format: self.time_format,
            node_name: self.print_node_name,
            policy_names: self.print_policy_names,
            translate: self.ip_translation && !self.numeric,
            columns: self.columns.clone(),
        }
    }

    fn is_json(&self) -> bool {
        matches!(self.output, Output::Json | Output::Jsonpb)
    }
}

/// Shows flows until there are no more, or the user has seen enough.
pub(crate) async fn run(connection: &Connection, args: &ObserveArgs) -> anyhow::Result<ExitCode> {
    if args.what != What::Flows {
        return events::run(connection, args).await;
    }
    let (selection, request) = selector::request(args)?;
    if args.filters.only_print() {
        let filters = args.filters.filters()?;
        out::stdout().write_all(filters.to_yaml().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut printer = Printer::new(
        args.format.output,
        args.format.style(),
        args.format.silent_errors,
    );
    let mut out = out::stdout();
    if let Some(file) = args.input.input() {
        let mut wanted = Wanted::new(&args.filters.filters()?, selection.since, selection.until)?;
        input::flows(file, &mut wanted, selection.part(), &mut printer, &mut out)?;
    } else {
        let server = Server::reading(connection).await?;
        tokio::select! {
            result = ask(connection, server, (selection, request), &mut printer, &mut out) => result?,
            _ = tokio::signal::ctrl_c() => {}
        }
    }
    printer.finish(&mut out)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

async fn ask(
    connection: &Connection,
    server: Server,
    (selection, request): (Selection, GetFlowsRequest),
    printer: &mut Printer,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    if selection.follow {
        let ask = async |server: &Server, since: Option<Timestamp>| {
            let mut client = client!(ObserverClient<Channel>, server);
            let mut request = request.clone();
            if since.is_some() {
                (request.number, request.since) = (0, since);
            }
            Ok(client.get_flows(request).await?.into_inner())
        };
        let action = "get the flows of";
        return follow::follow((connection, server), action, ask, printer, out).await;
    }
    let failed = call::failed("get the flows of", &server);
    let client = client!(ObserverClient<Channel>, server);
    if before::is_meant(&selection) {
        let ask = async |part: Selection| {
            let part = GetFlowsRequest {
                number: part.number,
                since: part.since,
                until: part.until,
                ..request.clone()
            };
            Ok(client.clone().get_flows(part).await?.into_inner())
        };
        let is_flow = |message: &GetFlowsResponse| {
            matches!(message.response_types, Some(ResponseTypes::Flow(_)))
        };
        for response in before::last(&selection, ask, is_flow)
            .await
            .map_err(failed)?
        {
            printer.print(&response, out)?;
        }
        return Ok(());
    }
    let answer = client.clone().get_flows(request).await;
    drain(answer.map_err(&failed)?.into_inner(), failed, printer, out).await
}

/// The full name of what `observe` prints.
const RESPONSE: &str = "observer.GetFlowsResponse";

fn json_line(response: &GetFlowsResponse) -> String {
    crate::json::print(response, RESPONSE) + "\n"
}
