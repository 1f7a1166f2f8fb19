//! Flows of a file instead of a server: lines as `hubble observe -o json` and Hubble's
//! exporter write them, flows alone (the older form), or a packet capture.
//!
//! What passes is judged as `hubble observe --input-file` does, by the same filters as
//! the daemon's. Bound: one line or packet; what is said once of each is interned.

use std::{
    io::{self, Write as _},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use clap::Args;
use prost_types::Timestamp;
use sextant_flows::{
    filter::{FilterError, Filters as Compiled, Overrun},
    flow::{Flow, Interners, Time, proto},
    replay::{self, Format, Problem, ReplayError},
};
use sextant_proto::{
    flow as pb,
    observer::{
        ExportEvent, GetFlowsResponse, export_event::ResponseTypes as Exported,
        get_flows_response::ResponseTypes,
    },
};

use crate::{
    filter::Filters,
    json,
    lines::{self, BadLine, FileError, Line},
    text::harmless,
};

/// Where flows come from, if not from a server.
#[derive(Debug, Args)]
pub(crate) struct InputArgs {
    /// Read the flows from this file of JSON lines or capture (.pcap, .pcapng), `-` for
    /// JSON lines on standard input, and ask nobody.
    #[arg(long, value_name = "FILE", help_heading = "Selectors")]
    pub(crate) input_file: Option<PathBuf>,
    /// In a capture, equal addresses and ports in two VLANs are two connections.
    #[arg(long, requires = "input_file", help_heading = "Selectors")]
    vlan_in_key: bool,
}

/// A file, and how it is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a> {
    pub(crate) path: &'a Path,
    pub(crate) vlan_in_key: bool,
}

impl InputArgs {
    pub(crate) fn input(&self) -> Option<Input<'_>> {
        Some(Input {
            path: self.input_file.as_deref()?,
            vlan_in_key: self.vlan_in_key,
        })
    }
}

/// What of a file is wanted.
pub(crate) struct Wanted {
    since: Option<Time>,
    until: Option<Time>,
    filters: Compiled,
    /// There is a whitelist, which only flows can match.
    only_flows: bool,
    interners: Interners,
}

impl Wanted {
    /// Flows that the filters let pass, from and to these times.
    pub(crate) fn new(
        filters: &Filters,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<Self, FilterError> {
        Ok(Self {
            since: since.map(Into::into),
            until: until.map(Into::into),
            only_flows: !filters.whitelist.is_empty(),
            filters: Compiled::compile(&filters.whitelist, &filters.blacklist)?,
            interners: Interners::default(),
        })
    }

    /// Whether the response is wanted. Without a time it is as old as can be.
    ///
    /// # Errors
    /// The filters take too much to be judged.
    pub(crate) fn takes(&mut self, response: &GetFlowsResponse) -> Result<bool, Overrun> {
        let time = response.time.map(Time::from).unwrap_or_default();
        if self.since.is_some_and(|since| time < since)
            || self.until.is_some_and(|until| time > until)
        {
            return Ok(false);
        }
        match &response.response_types {
            _ if self.filters.is_empty() => Ok(true),
            Some(ResponseTypes::Flow(flow)) => {
                let flow = proto::from_proto(flow.clone(), &mut self.interners);
                self.filters.matches(&flow)
            }
            _ => Ok(!self.only_flows),
        }
    }

    /// The flow of a wanted response, for what works on flows.
    pub(crate) fn flow(&mut self, response: GetFlowsResponse) -> Option<Flow> {
        let Some(ResponseTypes::Flow(flow)) = response.response_types else {
            return None;
        };
        let mut flow = proto::from_proto(flow, &mut self.interners);
        flow.time = response.time.map(Into::into).or(flow.time);
        Some(flow)
    }
}

/// Hands on the responses of a file, until its end or until `sink` has enough. Lines and
/// packets that are none are told by number.
pub(crate) fn each(
    input: Input<'_>,
    mut sink: impl FnMut(GetFlowsResponse) -> io::Result<ControlFlow<()>>,
) -> anyhow::Result<()> {
    let Input { path, vlan_in_key } = input;
    let (file, text) = lines::open(path)?;
    let mut failed = Ok(());
    let mut take = |event| match response_of_event(event).map(|response| response.map(&mut sink)) {
        Ok(Some(Ok(flow))) => flow,
        Ok(Some(Err(error))) => {
            failed = Err(error);
            ControlFlow::Break(())
        }
        Ok(None) | Err(_) => ControlFlow::Continue(()),
    };
    let mut tell = |format: Format, problem: &Problem| {
        let (unit, number, text) = (format.unit(), problem.number, harmless(&problem.text));
        // Nobody is told where standard error is closed.
        let _ = writeln!(io::stderr(), "sextant: {unit} {number} of {file}: {text}");
    };
    let report = replay::export(path, vlan_in_key, text, &mut take, &mut tell);
    failed?;
    let report = report.map_err(|error| match error {
        ReplayError::Read { number, source, .. } => FileError::Read {
            file: file.clone(),
            number: number + 1,
            cause: source,
        }
        .into(),
        other => anyhow::Error::from(other),
    })?;
    let more = report.rejected - report.problems.len() as u64;
    if more > 0 {
        writeln!(
            io::stderr(),
            "sextant: {more} more of {file} are none either"
        )?;
    }
    Ok(())
}

/// The response that a line is; nothing for events of agents.
pub(crate) fn response(line: &Line<'_>) -> Result<Option<GetFlowsResponse>, BadLine> {
    response_of_text(line.text.clone()?)
}

fn response_of_text(text: &str) -> Result<Option<GetFlowsResponse>, BadLine> {
    event_of(text)
        .or_else(|error| {
            // With extensions of a type that only the other reader takes.
            sextant_flows::replay::parse_object(text.as_bytes()).ok_or(error)
        })
        .and_then(response_of_event)
}

/// What a line is: an event names its kind; a bare flow has none of these names.
fn event_of(text: &str) -> Result<ExportEvent, BadLine> {
    let mut event: ExportEvent = json::parse(text, "observer.ExportEvent")?;
    if event.response_types.is_none() {
        let flow: pb::Flow = json::parse(text, "flow.Flow")?;
        if says_something(&flow) {
            event = ExportEvent {
                time: flow.time,
                node_name: flow.node_name.clone(),
                response_types: Some(Exported::Flow(flow)),
            };
        }
    }
    Ok(event)
}

fn response_of_event(event: ExportEvent) -> Result<Option<GetFlowsResponse>, BadLine> {
    let response_types = match event.response_types {
        Some(Exported::Flow(flow)) => ResponseTypes::Flow(flow),
        Some(Exported::LostEvents(lost)) => ResponseTypes::LostEvents(lost),
        Some(Exported::NodeStatus(status)) => ResponseTypes::NodeStatus(status),
        Some(Exported::AgentEvent(_) | Exported::DebugEvent(_)) => return Ok(None),
        None => return Err(BadLine::NoFlow),
    };
    Ok(Some(GetFlowsResponse {
        response_types: Some(response_types),
        node_name: event.node_name,
        time: event.time,
    }))
}

/// Whether it has a field that only a flow has: any line of a log may have a time.
pub(crate) fn says_something(flow: &pb::Flow) -> bool {
    let common = pb::Flow {
        time: flow.time,
        node_name: flow.node_name.clone(),
        ..pb::Flow::default()
    };
    *flow != common
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_of_a_type_that_is_not_known_are_kept() {
        for text in [
            r#"{"flow":{"uuid":"u","extensions":{"@type":"x/y.Z","a":1}}}"#,
            r#"{"uuid":"u","extensions":{"@type":"x/y.Z","value":"CAE="}}"#,
        ] {
            let response = response_of_text(text).unwrap().unwrap();
            let printed = json::print(&response, "observer.GetFlowsResponse");
            assert!(printed.contains(r#""uuid":"u""#), "{printed}");
            assert!(printed.contains(r#""@type":"x/y.Z""#), "{printed}");
        }
        assert!(response_of_text(r#"{"extensions":7}"#).is_err());
        assert!(matches!(response_of_text("{}"), Err(BadLine::NoFlow)));
    }
}
