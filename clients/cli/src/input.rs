//! Flows of a file instead of a server: lines as `hubble observe -o json` and Hubble's
//! exporter write them, flows alone (the older form), or a packet capture.
//!
//! What passes is judged as `hubble observe --input-file` does, by the same filters as
//! the daemon's. Bound: one line or packet; what is said once of each is interned.

use std::{
    io::{self, BufRead, Write as _},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use clap::Args;
use prost_types::Timestamp;
use sextant_flows::{
    filter::{FilterError, Filters as Compiled, Overrun},
    flow::{Flow, Interners, Time, proto},
    replay::{self, Format, Problem, ReplayError, Report},
};
use sextant_proto::{
    flow as pb,
    observer::{
        ExportEvent, GetFlowsResponse, export_event::ResponseTypes as Exported,
        get_flows_response::ResponseTypes,
    },
};

use crate::{
    file::{self, FileError},
    filter::Filters,
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

/// A file that is open.
pub(crate) struct Opened {
    path: PathBuf,
    /// Its name, fit for a terminal.
    pub(crate) file: String,
    bytes: Box<dyn BufRead + Send>,
    vlan_in_key: bool,
}

impl Input<'_> {
    /// Opens it; `-` is standard input.
    pub(crate) fn open(self) -> Result<Opened, FileError> {
        let (file, bytes) = file::open(self.path)?;
        Ok(Opened {
            path: self.path.into(),
            file,
            bytes,
            vlan_in_key: self.vlan_in_key,
        })
    }
}

impl Opened {
    /// Hands on what is in it, with the line where it begins if that is known, until its
    /// end or until `sink` has enough. What is none is told by its number.
    pub(crate) fn read(
        self,
        sink: &mut dyn FnMut(Option<u64>, ExportEvent) -> ControlFlow<()>,
        told: &mut dyn FnMut(&str),
    ) -> anyhow::Result<Report> {
        let file = self.file;
        let mut tell = |format: Format, problem: &Problem| {
            let (unit, number, text) = (format.unit(), problem.number, harmless(&problem.text));
            told(&format!("sextant: {unit} {number} of {file}: {text}\n"));
        };
        let report = replay::export(&self.path, self.vlan_in_key, self.bytes, sink, &mut tell);
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
            told(&format!("sextant: {more} more of {file} are none either\n"));
        }
        Ok(report)
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
    each_event(input, |event| match response(event) {
        Some(response) => sink(response),
        None => Ok(ControlFlow::Continue(())),
    })
}

/// As `each`, of events of any kind.
pub(crate) fn each_event(
    input: Input<'_>,
    mut sink: impl FnMut(ExportEvent) -> io::Result<ControlFlow<()>>,
) -> anyhow::Result<()> {
    let mut failed = Ok(());
    let mut take = |_: Option<u64>, event| {
        sink(event).unwrap_or_else(|error| {
            failed = Err(error);
            ControlFlow::Break(())
        })
    };
    let read = input.open()?.read(&mut take, &mut |text| {
        // Nobody is told where standard error is closed.
        let _ = io::stderr().write_all(text.as_bytes());
    });
    failed?;
    read.map(drop)
}

/// The response that an event is; none for events of agents.
fn response(event: ExportEvent) -> Option<GetFlowsResponse> {
    let response_types = match event.response_types? {
        Exported::Flow(flow) => ResponseTypes::Flow(flow),
        Exported::LostEvents(lost) => ResponseTypes::LostEvents(lost),
        Exported::NodeStatus(status) => ResponseTypes::NodeStatus(status),
        Exported::AgentEvent(_) | Exported::DebugEvent(_) => return None,
    };
    Some(GetFlowsResponse {
        response_types: Some(response_types),
        node_name: event.node_name,
        time: event.time,
    })
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
pub(crate) mod tests {
    use super::*;

    /// Bytes as a file `f`.
    pub(crate) fn opened(bytes: impl AsRef<[u8]> + Send + 'static) -> Opened {
        of(Box::new(io::Cursor::new(bytes)))
    }

    /// What is read as a file `f`.
    pub(crate) fn of(bytes: Box<dyn BufRead + Send>) -> Opened {
        Opened {
            path: "f".into(),
            file: "f".into(),
            bytes,
            vlan_in_key: false,
        }
    }
}
