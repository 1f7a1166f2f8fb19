//! Flows of a file, as batches that a server takes.

use std::{cell::RefCell, io::Write, ops::ControlFlow};

use prost::{Message as _, length_delimiter_len};
use sextant_proto::{
    flow::Flow,
    observer::{ExportEvent, export_event::ResponseTypes},
    sextant::flow::v1::RecordFlowsRequest,
};
use tokio::sync::mpsc;

use super::{TOLD, places::Places};
use crate::{
    input::{self, Opened},
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
    /// What could not be sent: lines, packets, flows.
    pub(super) bad: u64,
    /// Why the file was not read to its end.
    pub(super) failed: Option<anyhow::Error>,
}

/// Why a flow is not sent.
#[derive(Debug, thiserror::Error)]
enum NotSent {
    /// It is none.
    #[error(
        "it is neither a flow nor an event; write it as `hubble observe -o json` does, or as a flow alone"
    )]
    Nothing,
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

/// Sends the flows of a file until its end, or that of the call; tells of what cannot
/// be sent.
pub(super) fn read(file: Opened, sender: &Sender, told: &mut impl Write) -> Read {
    let mut read = Read::default();
    let mut batch = Batch::default();
    let mut not_sent = 0;
    let name = file.file.clone();
    let told = RefCell::new(told);
    let tell = |text: &str| {
        // Nobody is told where standard error is closed.
        let _ = told.borrow_mut().write_all(text.as_bytes());
    };
    let mut take = |line: Option<u64>, event| {
        match measured(event) {
            Ok(None) => {}
            Ok(Some((flow, bytes))) => {
                read.places.add(line);
                batch.add(flow, bytes, sender);
            }
            Err(why) => {
                not_sent += 1;
                if not_sent <= TOLD {
                    tell(&not_sent_text(line, &name, &why));
                }
            }
        }
        match sender.is_closed() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let report = file.read(&mut take, &mut |text| tell(text));
    batch.send(sender);
    read.bad = not_sent;
    match report {
        Ok(report) => read.bad += report.rejected,
        Err(error) => read.failed = Some(error),
    }
    read
}

fn not_sent_text(line: Option<u64>, file: &str, why: &NotSent) -> String {
    match line {
        Some(line) => format!("sextant: line {line} of {file}: {why}\n"),
        None => format!("sextant: a flow of {file}: {why}\n"),
    }
}

/// The flow of an event, and its bytes as a part of a message; nothing for events that
/// are no flows.
fn measured(event: ExportEvent) -> Result<Option<(Flow, usize)>, NotSent> {
    let Some(ResponseTypes::Flow(mut flow)) = event.response_types else {
        return Ok(None);
    };
    if !input::says_something(&flow) {
        return Err(NotSent::Nothing);
    }
    flow.time = flow.time.or(event.time);
    let length = flow.encoded_len();
    let bytes = 1 + length_delimiter_len(length) + length;
    if bytes > MAX_BYTES {
        let size = text::bytes(bytes as f64);
        return Err(NotSent::Large { size });
    }
    Ok(Some((flow, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        file::tests::broken,
        input::tests::{of, opened},
        record::AHEAD,
    };

    /// The batches, what was read, and what was told.
    async fn batches(file: Opened) -> (Vec<RecordFlowsRequest>, Read, String) {
        let (sender, mut receiver) = mpsc::channel(AHEAD);
        let reader = tokio::task::spawn_blocking(move || {
            let mut told = Vec::new();
            (read(file, &sender, &mut told), told)
        });
        let mut batches = Vec::new();
        while let Some(batch) = receiver.recv().await {
            batches.push(batch);
        }
        let (read, told) = reader.await.unwrap();
        (batches, read, String::from_utf8(told).unwrap())
    }

    /// The ids of the flows that are sent.
    async fn sent(text: &str) -> (Vec<String>, Read, String) {
        let (batches, read, told) = batches(opened(text.to_owned())).await;
        let flows = batches.into_iter().flat_map(|batch| batch.flows);
        (flows.map(|flow| flow.uuid).collect(), read, told)
    }

    #[tokio::test]
    async fn objects_are_responses_or_bare_flows_and_the_rest_is_told() {
        for (text, uuid) in [
            (r#"{"flow":{"uuid":"a"},"node_name":"n"}"#, "a"),
            (r#"{"uuid":"b"}"#, "b"),
            ("{\n  \"flow\": {\n    \"uuid\": \"c\"\n  }\n}\n", "c"),
            (r#"[{"uuid":"d"}]"#, "d"),
            (
                r#"2026-01-02T03:04:05Z stdout F {"flow":{"uuid":"e"}}"#,
                "e",
            ),
            (
                r#"{"uuid":"f","extensions":{"@type":"x/y.Z","value":"CAE="}}"#,
                "f",
            ),
        ] {
            let (uuids, read, _) = sent(text).await;
            assert_eq!((uuids, read.bad), (vec![uuid.to_owned()], 0), "{text}");
        }
        for event in [
            r#"{"lost_events":{"num_events_lost":"3"}}"#,
            r#"{"agent_event":{"type":"AGENT_STARTED"},"node_name":"n"}"#,
            r#"{"debug_event":{},"node_name":"n"}"#,
        ] {
            let (uuids, read, _) = sent(event).await;
            assert_eq!((uuids.len(), read.bad), (0, 0), "{event}");
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
            "7",
        ] {
            let (uuids, read, told) = sent(none).await;
            assert_eq!((uuids.len(), read.bad), (0, 1), "{none}");
            assert!(told.starts_with("sextant: line 1 of f: "), "{told}");
        }
    }

    #[tokio::test]
    async fn a_flow_without_a_time_has_that_of_its_event() {
        let text = r#"{"flow":{"uuid":"a"},"time":"2026-01-02T03:04:05Z"}"#;
        let (batches, _, _) = batches(opened(text)).await;
        assert!(batches[0].flows[0].time.is_some());
    }

    fn sizes(batches: &[RecordFlowsRequest]) -> Vec<usize> {
        batches.iter().map(|batch| batch.flows.len()).collect()
    }

    #[tokio::test]
    async fn batches_keep_the_numbers_of_their_lines() {
        let mut text = String::from("x\n\n");
        for n in 0..300 {
            text += &format!("{{\"uuid\":\"{n}\"}}\n");
        }
        let (batches, read, _) = batches(opened(text)).await;
        assert_eq!(sizes(&batches), [256, 44]);
        assert_eq!(read.places.line(0), Some(3));
        assert_eq!(read.places.line(299), Some(302));
        assert_eq!(read.bad, 1);
    }

    #[tokio::test]
    async fn batches_end_before_they_are_too_large_for_the_server() {
        let line = |size| format!("{{\"uuid\":\"{}\"}}\n", "x".repeat(size));
        let text = line(40_000).repeat(60) + &line(3_000_000) + &line(1) + &line(5_000_000);
        let (batches, read, told) = batches(opened(text + &line(2))).await;
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
        let file = of(broken(b"{\"uuid\":\"a\"}\n\xff\n{\"uuid\":\"b\"}\n"));
        let (batches, read, told) = batches(file).await;
        assert_eq!(sizes(&batches), [2]);
        assert!(told.starts_with("sextant: line 2 of f: "), "{told}");
        let error = read.failed.unwrap().to_string();
        assert!(error.contains("line 4 of f"), "{error}");
    }
}
