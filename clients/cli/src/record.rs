//! `sextant record`: hands flows of a file to a server.
//!
//! The file is read as it is sent, so its size does not matter. Bound: a line, four
//! batches (one is filled, `AHEAD` wait, one is on its way) and what `Places` keeps.
//! What is no flow is told by its line, the others are sent.

mod places;
mod read;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context as _;
use clap::Args;
use futures::StreamExt as _;
use sextant_proto::sextant::flow::v1::{
    RecordFlowsRequest, RecordFlowsResponse, Refusal, flow_service_client::FlowServiceClient,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::{
    call::{self, CallError},
    connect::{Channel, Server, client},
    connection::Connection,
    input::{Input, Opened},
    text::harmless,
};
use read::Read;

/// Batches that are read ahead of the server.
const AHEAD: usize = 2;
/// Mistakes that are told one by one.
const TOLD: u64 = 20;

/// Arguments of `record`.
#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// File of JSON as `hubble observe -o json` and Hubble's exporter write it, flows
    /// alone, logs with such lines, or a capture (.pcap, .pcapng), each perhaps compressed
    /// (.gz); `-` is standard input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// In a capture, equal addresses and ports in two VLANs are two connections.
    #[arg(long)]
    vlan_in_key: bool,
}

/// The call ended on the way. The server stores flows as they come, and does not say
/// how many.
#[derive(Debug, thiserror::Error)]
#[error(
    "{call}; the first {sent} flows of {file} had been sent, and some or all of them are recorded"
)]
struct Cut {
    call: CallError,
    sent: u64,
    file: String,
}

/// Sends the flows of a file.
pub(crate) async fn run(connection: &Connection, args: &RecordArgs) -> anyhow::Result<ExitCode> {
    let input = Input {
        path: &args.file,
        vlan_in_key: args.vlan_in_key,
    };
    let opened = input.open()?;
    let file = opened.file.clone();
    let server = Server::writing(connection).await?;
    let (answer, read) = send(opened, &server).await?;
    for refusal in answer.refusals.iter().take(TOLD as usize) {
        io::stderr().write_all(refused(refusal, &read, &file).as_bytes())?;
    }
    writeln!(
        io::stdout(),
        "{} flows recorded, {} refused by the server, {} lines that could not be sent",
        answer.recorded,
        answer.refused,
        read.bad
    )?;
    match read.failed {
        Some(error) => Err(error),
        None if read.bad + answer.refused > 0 => Ok(ExitCode::FAILURE),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// What became of the flows, and of the lines.
async fn send(opened: Opened, server: &Server) -> anyhow::Result<(RecordFlowsResponse, Read)> {
    let file = opened.file.clone();
    let sent = Arc::new(AtomicU64::new(0));
    let (sender, receiver) = mpsc::channel(AHEAD);
    let reader =
        tokio::task::spawn_blocking(move || read::read(opened, &sender, &mut io::stderr()));
    let counter = Arc::clone(&sent);
    let requests = ReceiverStream::new(receiver).inspect(move |request: &RecordFlowsRequest| {
        counter.fetch_add(request.flows.len() as u64, Ordering::Relaxed);
    });
    let mut client = client!(FlowServiceClient<Channel>, server);
    match client.record_flows(requests).await {
        Ok(answer) => Ok((
            answer.into_inner(),
            reader.await.context("the reader died")?,
        )),
        Err(status) => {
            let call = call::failed("record flows at", server)(status);
            Err(cut(call, sent.load(Ordering::Relaxed), file))
        }
    }
}

fn cut(call: CallError, sent: u64, file: String) -> anyhow::Error {
    match call.code {
        // Said before a flow is looked at.
        Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented => call.into(),
        _ if sent == 0 => call.into(),
        _ => Cut { call, sent, file }.into(),
    }
}

fn refused(refusal: &Refusal, read: &Read, file: &str) -> String {
    let place = match read.places.line(refusal.index) {
        Some(line) => format!("line {line}"),
        None => format!("flow {}", refusal.index + 1),
    };
    let text = match refusal.field.as_str() {
        // The flow as a whole.
        "" => refusal.description.clone(),
        field => format!("{field}: {}", refusal.description),
    };
    format!("sextant: {place} of {file}: refused: {}\n", harmless(&text))
}

#[cfg(test)]
mod tests;
