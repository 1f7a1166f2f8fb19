//! `sextant record`: hands flows of a file to a server.
//!
//! The file is read as it is sent, so its size does not matter; what is held is
//! one batch. Bad lines are told by number, the others are sent.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use sextant_proto::{
    flow::Flow,
    observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
    sextant::flow::v1::{RecordFlowsRequest, flow_service_client::FlowServiceClient},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::{args::Connection, call, connect::Server, connect::client, json};

/// Flows sent at once.
const BATCH: usize = 256;
/// Batches that are read ahead of the server.
const AHEAD: usize = 2;
/// Mistakes that are told one by one.
const TOLD: usize = 20;

/// Arguments of `record`.
#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// File of JSON lines as `hubble observe -o json` and Hubble's exporter write
    /// them, or flows alone; `-` is standard input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
}

/// What was read.
#[derive(Debug, Default)]
struct Read {
    /// Line of each flow that was sent, for what the server refuses.
    lines: Vec<u64>,
    /// Lines that are no flow.
    bad: Vec<String>,
    bad_count: usize,
}

/// Sends the flows of a file.
pub(crate) async fn run(connection: &Connection, args: &RecordArgs) -> anyhow::Result<ExitCode> {
    let input = open(&args.file)?;
    let server = Server::writing(connection).await?;
    let mut client = client!(FlowServiceClient<Channel>, server);
    let (sender, receiver) = mpsc::channel(AHEAD);
    let reader = tokio::task::spawn_blocking(move || read(input, &sender));
    let answer = client.record_flows(ReceiverStream::new(receiver)).await;
    let answer = answer
        .map_err(call::failed("record flows at", &server))?
        .into_inner();
    let read = reader.await.context("the reader died")??;
    let mut told = io::stderr();
    for bad in &read.bad {
        writeln!(told, "sextant: {bad}")?;
    }
    for refusal in answer.refusals.iter().take(TOLD) {
        let line = read.lines.get(refusal.index as usize).copied().unwrap_or(0);
        let (field, text) = (&refusal.field, &refusal.description);
        writeln!(told, "sextant: line {line}: refused: {field}: {text}")?;
    }
    let bad = read.bad_count as u64 + answer.refused;
    writeln!(
        io::stdout(),
        "{} flows recorded, {} refused by the server, {} lines that are no flow",
        answer.recorded,
        answer.refused,
        read.bad_count
    )?;
    Ok(if bad == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead + Send>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    Ok(Box::new(BufReader::new(file)))
}

fn read(
    input: Box<dyn BufRead + Send>,
    sender: &mpsc::Sender<RecordFlowsRequest>,
) -> anyhow::Result<Read> {
    let mut read = Read::default();
    let mut flows = Vec::new();
    for (number, line) in (1_u64..).zip(input.lines()) {
        let line = line.with_context(|| format!("cannot read line {number}"))?;
        match flow(&line) {
            Ok(None) => {}
            Ok(Some(flow)) => {
                flows.push(flow);
                read.lines.push(number);
            }
            Err(cause) => {
                read.bad_count += 1;
                if read.bad.len() < TOLD {
                    read.bad.push(format!("line {number}: {cause}"));
                }
            }
        }
        if flows.len() == BATCH {
            let batch = std::mem::take(&mut flows);
            // The server has ended the call: its answer says why.
            if sender
                .blocking_send(RecordFlowsRequest { flows: batch })
                .is_err()
            {
                return Ok(read);
            }
        }
    }
    if !flows.is_empty() {
        let _ = sender.blocking_send(RecordFlowsRequest { flows });
    }
    Ok(read)
}

/// The flow of a line; nothing for empty lines and for events that are no flows.
fn flow(line: &str) -> Result<Option<Flow>, json::JsonError> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    // A response names its kind; a bare flow has none of these names.
    let response: GetFlowsResponse = json::parse(line, "observer.GetFlowsResponse")?;
    match response.response_types {
        Some(ResponseTypes::Flow(flow)) => Ok(Some(flow)),
        Some(_) => Ok(None),
        None => json::parse(line, "flow.Flow").map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_responses_or_bare_flows_and_the_rest_is_told() {
        let uuid = |line| flow(line).unwrap().map(|flow| flow.uuid);
        assert_eq!(
            uuid(r#"{"flow":{"uuid":"a"},"node_name":"n"}"#),
            Some("a".into())
        );
        assert_eq!(uuid(r#"{"uuid":"b"}"#), Some("b".into()));
        assert_eq!(uuid(r#"{"lost_events":{"num_events_lost":"3"}}"#), None);
        assert_eq!(uuid("  "), None);
        assert!(flow("{").is_err());
        assert!(flow(r#"{"flow":3}"#).is_err());
    }

    #[tokio::test]
    async fn batches_keep_the_numbers_of_their_lines() {
        let mut text = String::from("{\n\n");
        for n in 0..300 {
            text += &format!("{{\"uuid\":\"{n}\"}}\n");
        }
        let (sender, mut receiver) = mpsc::channel(AHEAD);
        let reader = tokio::task::spawn_blocking(move || {
            read(Box::new(io::Cursor::new(text)), &sender).unwrap()
        });
        let mut sizes = Vec::new();
        while let Some(batch) = receiver.recv().await {
            sizes.push(batch.flows.len());
        }
        let read = reader.await.unwrap();
        assert_eq!(sizes, [256, 44]);
        assert_eq!(
            (read.lines[0], read.lines[299], read.bad_count),
            (3, 302, 1)
        );
    }
}
