//! `sextant stats` and `sextant hints`: what is in the stored flows.

mod table;

use std::{io::Write as _, process::ExitCode, time::Duration};

use clap::{Args, ValueEnum};
use prost_types::Timestamp;
use sextant_flows::flow::Time;
use sextant_proto::sextant::flow::v1::{
    FlowField, FlowSummary, ListFilterHintsRequest, ListFilterHintsResponse, SummarizeFlowsRequest,
    SummaryOrder, WatchFlowSummaryRequest, WatchFlowSummaryResponse,
    flow_service_client::FlowServiceClient,
};

use crate::{
    again, call,
    connect::{Channel, Server, client},
    connection::Connection,
    filter::FilterArgs,
    input::InputArgs,
    json, out,
    tally::{self, Question},
    text::{Align, grouped, harmless, table},
    time,
};

/// Length of the window, if nothing is said.
const WINDOW: Duration = Duration::from_secs(60);

const ACTION: &str = "summarise the flows of";
/// Of the time without a connection.
const MISSED: &str = "there are no summaries of that time";

/// Arguments of `stats`.
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    /// Length of the window, which ends now, or with the last flow of a file [default: 1m,
    /// and all of a file]
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    window: Option<Duration>,
    /// Flows since then: how long ago (3s, 1h43m), or a date or time (2006-01-02T15:04:05Z).
    #[arg(long, value_name = "TIME", value_parser = time::moment, conflicts_with_all = ["window", "follow"])]
    since: Option<Timestamp>,
    /// Flows until then.
    #[arg(long, value_name = "TIME", value_parser = time::moment, conflicts_with = "follow")]
    until: Option<Timestamp>,
    /// Count each part of the window of this length too.
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    bucket: Option<Duration>,
    /// Fields to group by, four at most, such as `source-ip,destination-port`.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',', value_parser = field)]
    group_by: Vec<FlowField>,
    /// How many groups are shown.
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: u32,
    /// What the largest groups have most of.
    #[arg(long, value_enum, value_name = "ORDER", default_value_t)]
    order: Order,
    /// Again and again, until interrupted.
    #[arg(short, long, conflicts_with = "input_file")]
    follow: bool,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    filters: FilterArgs,
}

/// Arguments of `hints`.
#[derive(Debug, Args)]
pub(crate) struct HintsArgs {
    /// The field, such as `source-endpoint`.
    #[arg(value_name = "FIELD", value_parser = field)]
    field: FlowField,
    /// Only values that begin with this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    /// How many values are shown.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    filters: FilterArgs,
}

/// By what groups are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Order {
    /// Bytes.
    #[default]
    Bytes,
    /// Packets.
    Packets,
    /// Flow events.
    Flows,
    /// Dropped packets.
    Drops,
    /// TCP segments that sides on the server's host sent again.
    Retrans,
}

impl From<Order> for SummaryOrder {
    fn from(order: Order) -> Self {
        match order {
            Order::Bytes => Self::Bytes,
            Order::Packets => Self::Packets,
            Order::Flows => Self::Flows,
            Order::Drops => Self::Drops,
            Order::Retrans => Self::Retransmissions,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Output {
    /// Columns.
    #[default]
    Table,
    /// One JSON object a line.
    Json,
}

/// The name of a field as it is typed: `source-ip` for `FLOW_FIELD_SOURCE_IP`.
fn name(field: FlowField) -> String {
    let name = field.as_str_name().trim_start_matches("FLOW_FIELD_");
    name.to_lowercase().replace('_', "-")
}

fn fields() -> impl Iterator<Item = FlowField> {
    (1..).map_while(|number| FlowField::try_from(number).ok())
}

fn field(text: &str) -> Result<FlowField, String> {
    let wanted = text.to_lowercase().replace('_', "-");
    fields()
        .find(|field| name(*field) == wanted)
        .ok_or_else(|| {
            let known: Vec<String> = fields().map(name).collect();
            format!("no such field; there are {}", known.join(", "))
        })
}

/// Prints a summary.
pub(crate) async fn run(connection: &Connection, args: &StatsArgs) -> anyhow::Result<ExitCode> {
    let filters = args.filters.filters()?;
    if let Some(input) = args.input.input() {
        let summary = tally::summary(&Question {
            input,
            filters: &filters,
            window: args.window,
            since: args.since.map(Time::from),
            until: args.until.map(Time::from),
            bucket: args.bucket,
            group_by: &args.group_by,
            limit: args.limit,
            order: args.order.into(),
        })?;
        return print(Some(summary), args);
    }
    let length = |given: Duration| prost_types::Duration::try_from(given).ok();
    let window = match args.since {
        Some(_) => None,
        None => length(args.window.unwrap_or(WINDOW)),
    };
    let request = SummarizeFlowsRequest {
        window,
        since: args.since,
        until: args.until,
        bucket: args.bucket.and_then(length),
        whitelist: filters.whitelist,
        blacklist: filters.blacklist,
        group_by: args.group_by.iter().map(|field| (*field).into()).collect(),
        limit: args.limit,
        order: SummaryOrder::from(args.order).into(),
        ..SummarizeFlowsRequest::default()
    };
    let server = Server::reading(connection).await?;
    let failed = call::failed(ACTION, &server);
    let mut client = client!(FlowServiceClient<Channel>, server);
    if !args.follow {
        let mut request = request;
        let mut whole: Option<FlowSummary> = None;
        loop {
            let answer = client.summarize_flows(server.unary(request.clone())).await;
            let page = answer.map_err(&failed)?.into_inner().summary;
            let is_more = add_page(&mut whole, page);
            let shown = whole.as_ref().map_or(0, |whole| whole.groups.len());
            if !is_more || shown >= args.limit as usize {
                return print(whole, args);
            }
            // Where all groups would be more than a message takes.
            let token = whole.as_ref().map(|whole| whole.next_page_token.clone());
            request.page_token = token.unwrap_or_default();
            request.limit = args.limit - shown as u32;
        }
    }
    follow(connection, server, request, args).await
}

/// Puts the groups of a page behind those before; whether there is another page.
fn add_page(whole: &mut Option<FlowSummary>, page: Option<FlowSummary>) -> bool {
    let Some(mut page) = page else { return false };
    let is_more = !page.next_page_token.is_empty() && !page.groups.is_empty();
    if let Some(before) = whole.take() {
        let groups = std::mem::take(&mut page.groups);
        page.groups = before.groups;
        page.groups.extend(groups);
    }
    *whole = Some(page);
    is_more
}

/// Prints summaries until interrupted.
async fn follow(
    connection: &Connection,
    server: Server,
    summary: SummarizeFlowsRequest,
    args: &StatsArgs,
) -> anyhow::Result<ExitCode> {
    let request = WatchFlowSummaryRequest {
        summary: Some(summary),
        interval: None,
    };
    let ask = async |server: &Server| {
        let mut client = client!(FlowServiceClient<Channel>, server);
        let answer = client.watch_flow_summary(request.clone()).await?;
        Ok(answer.into_inner())
    };
    let show = |summary: Option<WatchFlowSummaryResponse>| match summary {
        Some(summary) => print(summary.summary, args).map(|_| ()),
        None => Ok(()),
    };
    tokio::select! {
        ended = again::watch((connection, server), ACTION, MISSED, ask, show) => ended?,
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn print(summary: Option<FlowSummary>, args: &StatsArgs) -> anyhow::Result<ExitCode> {
    let summary = summary.unwrap_or_default();
    let text = match args.output {
        Output::Json => json::print(&summary, "sextant.flow.v1.FlowSummary") + "\n",
        Output::Table => table::summary_table(&summary, &args.group_by, args.order),
    };
    let mut out = out::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the values of a field.
pub(crate) async fn hints(connection: &Connection, args: &HintsArgs) -> anyhow::Result<ExitCode> {
    let filters = args.filters.filters()?;
    if let Some(input) = args.input.input() {
        let hints = tally::hints(input, &filters, args.field, &args.prefix, args.limit)?;
        return print_hints(&hints, args);
    }
    let request = ListFilterHintsRequest {
        field: args.field.into(),
        prefix: args.prefix.clone(),
        limit: args.limit,
        whitelist: filters.whitelist,
        blacklist: filters.blacklist,
    };
    let server = Server::reading(connection).await?;
    let mut client = client!(FlowServiceClient<Channel>, server);
    let answer = client.list_filter_hints(server.unary(request)).await;
    let failed = call::failed("list the values of a field at", &server);
    print_hints(&answer.map_err(failed)?.into_inner(), args)
}

fn print_hints(hints: &ListFilterHintsResponse, args: &HintsArgs) -> anyhow::Result<ExitCode> {
    let text = match args.output {
        Output::Json => json::print(hints, "sextant.flow.v1.ListFilterHintsResponse") + "\n",
        Output::Table => {
            let mut rows = vec![vec![name(args.field).to_uppercase(), "FLOWS".into()]];
            let row = |hint: &_| hint_row(hint);
            rows.extend(hints.hints.iter().map(row));
            table(&rows, &[Align::Left, Align::Right])
        }
    };
    let mut out = out::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn hint_row(hint: &sextant_proto::sextant::flow::v1::FilterHint) -> Vec<String> {
    vec![harmless(&hint.value), grouped(hint.flows)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_as_they_are_typed() {
        assert_eq!(field("source-ip"), Ok(FlowField::SourceIp));
        assert_eq!(field("DESTINATION_PORT"), Ok(FlowField::DestinationPort));
        assert_eq!(fields().count(), 54);
        assert!(
            field("nothing")
                .unwrap_err()
                .contains("source-ip, destination-ip")
        );
    }
}
