//! Flows of a file, as batches that a server takes.

use std::io::Write;

use prost::{Message as _, length_delimiter_len};
use sextant_proto::{
    flow::Flow, observer::get_flows_response::ResponseTypes, sextant::flow::v1::RecordFlowsRequest,
};
use tokio::sync::mpsc;

use super::{TOLD, places::Places};
use crate::{
    input,
    lines::{BadLine, FileError, Line, Lines},
    text,
};

/// Flows of a batch, at most.
const BATCH_FLOWS: usize = 256;
/// Bytes of a batch, at most, unless it is one flow.
const BATCH_BYTES: usize = 1024 * 1024;
/// Bytes of a batch of one flow, at most: what `sextantd` takes as one message, if
/// its configuration says nothing.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// To the call.
type Sender = mpsc::Sender<RecordFlowsRequest>;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Where the flows were that were sent.
    pub(super) places: Places,
    /// Lines that could not be sent.
    pub(super) bad: u64,
    /// Why the file was not read to its end.
    pub(super) failed: Option<FileError>,
}

/// Why a line is not sent.
#[derive(Debug, thiserror::Error)]
enum NotSent {
    /// It is no flow.
    #[error(transparent)]
    Bad(#[from] BadLine),
    /// No message has room for it.
    #[error("its flow takes {size}, and a message to the server 4 MiB; shorten its texts")]
    Large { size: String },
}

/// Flows that go as one message.
#[derive(Default)]
struct Batch {
    flows: Vec<Flow>,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, flow: Flow, bytes: usize, sender: &Sender) {
        if self.bytes + bytes > BATCH_BYTES {
            self.send(sender);
        }
        self.flows.push(flow);
        self.bytes += bytes;
        if self.flows.len() == BATCH_FLOWS {
            self.send(sender);
        }
    }

    fn send(&mut self, sender: &Sender) {
        let Self { flows, .. } = std::mem::take(self);
        if !flows.is_empty() {
            // Fails when the server has ended the call: its answer says why.
            let _ = sender.blocking_send(RecordFlowsRequest { flows });
        }
    }
}

/// Sends the flows of a file until its end, or that of the call; tells of lines that
/// cannot be sent.
pub(super) fn read(mut lines: Lines, sender: &Sender, told: &mut impl Write) -> Read {
    let mut read = Read::default();
    let mut batch = Batch::default();
    while !sender.is_closed() {
        let line = match lines.next() {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(error) => {
                read.failed = Some(error);
                break;
            }
        };
        match measured(&line) {
            Ok(None) => {}
            Ok(Some((flow, bytes))) => {
                read.places.add(line.number);
                batch.add(flow, bytes, sender);
            }
            Err(why) => {
                read.bad += 1;
                if read.bad <= TOLD {
                    // Nobody is told where standard error is closed.
                    let _ = told.write_all(line.bad(&why).as_bytes());
                }
            }
        }
    }
    batch.send(sender);
    read
}

/// The flow of a line, and its bytes as a part of a message.
fn measured(line: &Line<'_>) -> Result<Option<(Flow, usize)>, NotSent> {
    let Some(flow) = flow(line)? else {
        return Ok(None);
    };
    let length = flow.encoded_len();
    let bytes = 1 + length_delimiter_len(length) + length;
    if bytes > MAX_BYTES {
        let size = text::bytes(bytes as f64);
        return Err(NotSent::Large { size });
    }
    Ok(Some((flow, bytes)))
}

/// The flow of a line; nothing for events that are no flows.
fn flow(line: &Line<'_>) -> Result<Option<Flow>, BadLine> {
    let response = input::response(line)?;
    match response.and_then(|response| response.response_types) {
        Some(ResponseTypes::Flow(flow)) if input::says_something(&flow) => Ok(Some(flow)),
        Some(ResponseTypes::Flow(_)) => Err(BadLine::NoFlow),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lines::tests::{broken, lines},
        record::AHEAD,
    };

    #[test]
    fn lines_are_responses_or_bare_flows_and_the_rest_is_told() {
        let flow = |text: &'static str| flow(&lines(text).next().unwrap().unwrap());
        let uuid = |line| flow(line).unwrap().map(|flow| flow.uuid);
        assert_eq!(
            uuid(r#"{"flow":{"uuid":"a"},"node_name":"n"}"#),
            Some("a".into())
        );
        assert_eq!(uuid(r#"{"uuid":"b"}"#), Some("b".into()));
        for event in [
            r#"{"lost_events":{"num_events_lost":"3"}}"#,
            r#"{"agent_event":{"type":"AGENT_STARTED"},"node_name":"n"}"#,
            r#"{"debug_event":{},"node_name":"n"}"#,
        ] {
            assert_eq!(uuid(event), None);
        }
        for none in [
            "{",
            r#"{"flow":3}"#,
            r#"{"flow":{}}"#,
            r#"{"flow":{"time":"2026-01-02T03:04:05Z","new":1}}"#,
            "{}",
            r#"{"level":"info","msg":"x","time":"2026-01-02T03:04:05Z"}"#,
            r#"{"node_name":"n"}"#,
            "null",
            "[]",
            "7",
        ] {
            assert!(flow(none).is_err(), "{none}");
        }
    }

    /// The batches, what was read, and what was told.
    async fn batches(lines: Lines) -> (Vec<RecordFlowsRequest>, Read, String) {
        let (sender, mut receiver) = mpsc::channel(AHEAD);
        let reader = tokio::task::spawn_blocking(move || {
            let mut told = Vec::new();
            (read(lines, &sender, &mut told), told)
        });
        let mut batches = Vec::new();
        while let Some(batch) = receiver.recv().await {
            batches.push(batch);
        }
        let (read, told) = reader.await.unwrap();
        (batches, read, String::from_utf8(told).unwrap())
    }

    fn sizes(batches: &[RecordFlowsRequest]) -> Vec<usize> {
        batches.iter().map(|batch| batch.flows.len()).collect()
    }

    #[tokio::test]
    async fn batches_keep_the_numbers_of_their_lines() {
        let mut text = String::from("{\n\n");
        for n in 0..300 {
            text += &format!("{{\"uuid\":\"{n}\"}}\n");
        }
        let (batches, read, _) = batches(lines(text)).await;
        assert_eq!(sizes(&batches), [256, 44]);
        assert_eq!(read.places.line(0), Some(3));
        assert_eq!(read.places.line(299), Some(302));
        assert_eq!(read.bad, 1);
    }

    #[tokio::test]
    async fn batches_end_before_they_are_too_large_for_the_server() {
        let line = |size| format!("{{\"uuid\":\"{}\"}}\n", "x".repeat(size));
        let text = line(40_000).repeat(60) + &line(3_000_000) + &line(1) + &line(5_000_000);
        let (batches, read, told) = batches(lines(text + &line(2))).await;
        assert_eq!(sizes(&batches), [26, 26, 8, 1, 2]);
        let sizes = batches.iter().map(RecordFlowsRequest::encoded_len);
        assert!(sizes.max().unwrap() < MAX_BYTES);
        assert_eq!(
            told,
            "sextant: line 63 of f: its flow takes 4.8 MiB, and a message to the server 4 MiB; shorten its texts\n"
        );
        assert_eq!((read.bad, read.places.line(62)), (1, Some(64)));
    }

    #[tokio::test]
    async fn a_line_that_is_no_text_is_told_and_a_file_that_fails_sends_what_came_before() {
        let (batches, read, told) =
            batches(broken(b"{\"uuid\":\"a\"}\n\xff\n{\"uuid\":\"b\"}\n")).await;
        assert_eq!(sizes(&batches), [2]);
        assert!(told.starts_with("sextant: line 2 of f: "), "{told}");
        let error = read.failed.unwrap().to_string();
        assert!(error.contains("line 4 of f"), "{error}");
    }
}
