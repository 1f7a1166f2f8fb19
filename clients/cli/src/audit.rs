//! `sextant audit`: who called what writes, or was refused.
//!
//! Bound: what a server has in memory, some thousands of entries, asked for page
//! by page.

use std::{io::Write as _, process::ExitCode};

use clap::{Args, ValueEnum};
use sextant_proto::sextant::audit::v1::{
    AuditRecord, ListAuditRequest, ListAuditResponse, audit_service_client::AuditServiceClient,
};

use crate::{
    call,
    connect::{Channel, Server, client},
    connection::Connection,
    json, out,
    text::{self, Align, grouped, harmless},
    time::{self, Format},
};

/// Most entries that a server gives at one time.
const PAGE: u32 = 1000;

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// How many of the latest entries.
    #[arg(long, value_name = "N", default_value_t = 100)]
    last: u32,
    /// Only entries of this time or later: how long ago (3s, 1h43m) or when (2006-01-02T15:04:05Z).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only entries of this time or earlier.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only this caller, such as `uid:0`; with a `*` at the end those that begin so.
    #[arg(
        long,
        value_name = "CALLER",
        default_value = "",
        hide_default_value = true
    )]
    who: String,
    /// Only this method, such as `RecordFlows`; with a `*` at the end those that begin so.
    #[arg(
        long,
        value_name = "METHOD",
        default_value = "",
        hide_default_value = true
    )]
    method: String,
    /// Only calls that were refused or failed.
    #[arg(long)]
    refused: bool,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Output {
    /// Columns.
    #[default]
    Table,
    /// One JSON object a line.
    Json,
}

/// Prints the latest entries, the oldest of them first.
pub(crate) async fn run(connection: &Connection, args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let request = request(args)?;
    let server = Server::writing(connection).await?;
    let (records, answer) = fetch(&server, request, args.last as usize).await?;
    let text = match args.output {
        Output::Table => table(&records),
        Output::Json => records
            .iter()
            .map(|record| json::print(record, "sextant.audit.v1.AuditRecord") + "\n")
            .collect(),
    };
    let mut out = out::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    if answer.lost > 0 {
        let lost = grouped(answer.lost);
        let note = "entries did not get to the file of the log since the server's start";
        writeln!(std::io::stderr(), "sextant: {lost} {note}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn request(args: &AuditArgs) -> anyhow::Result<ListAuditRequest> {
    let now = jiff::Timestamp::now();
    let point = |text: &Option<String>| text.as_deref().map(|text| time::point(text, now));
    Ok(ListAuditRequest {
        since: point(&args.since).transpose()?,
        until: point(&args.until).transpose()?,
        who: args.who.clone(),
        method: args.method.clone(),
        refused_only: args.refused,
        ..ListAuditRequest::default()
    })
}

/// The latest entries, the oldest of them first, and the last answer.
async fn fetch(
    server: &Server,
    mut request: ListAuditRequest,
    last: usize,
) -> anyhow::Result<(Vec<AuditRecord>, ListAuditResponse)> {
    let mut client = client!(AuditServiceClient<Channel>, server);
    let mut records = Vec::new();
    loop {
        let missing = last - records.len();
        request.limit = PAGE.min(u32::try_from(missing).unwrap_or(PAGE)).max(1);
        let answer = client.list_audit(server.unary(request.clone())).await;
        let failed = call::failed("read the audit log of", server);
        let mut answer = answer.map_err(failed)?.into_inner();
        records.append(&mut answer.records);
        records.truncate(last);
        if records.len() == last || answer.next_page_token.is_empty() {
            records.reverse();
            return Ok((records, answer));
        }
        request.page_token.clone_from(&answer.next_page_token);
    }
}

fn table(records: &[AuditRecord]) -> String {
    let head = ["TIME", "WHO", "FROM", "METHOD", "CALLS", "OUTCOME", "WHAT"];
    let mut rows = vec![head.map(String::from).to_vec()];
    for record in records {
        let what = [&record.what, &record.message].map(|text| harmless(text));
        let what: Vec<_> = what.into_iter().filter(|text| !text.is_empty()).collect();
        rows.push(vec![
            Format::Rfc3339Milli.print(record.time.as_ref()),
            harmless(&record.who),
            harmless(&record.from),
            harmless(&record.method),
            grouped(record.count),
            harmless(&record.code),
            what.join("; "),
        ]);
    }
    let mut aligns = [Align::Left; 7];
    aligns[4] = Align::Right;
    text::table(&rows, &aligns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_who_what_and_outcome_and_steers_no_terminal() {
        let record = AuditRecord {
            time: Some(prost_types::Timestamp {
                seconds: 0,
                nanos: 0,
            }),
            who: "uid:7\x1b[2J".into(),
            from: "unix, pid 1".into(),
            method: "a.B/C".into(),
            what: String::new(),
            code: "PERMISSION_DENIED".into(),
            message: "no\nway".into(),
            count: 1234,
            since: None,
        };
        assert_eq!(
            table(&[record]),
            "TIME                   WHO          FROM          METHOD   CALLS   OUTCOME             WHAT\n\
             1970-01-01T00:00:00Z   uid:7^[[2J   unix, pid 1   a.B/C    1,234   PERMISSION_DENIED   no\\nway\n"
        );
    }
}
