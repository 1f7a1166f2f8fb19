//! Flows in the formats: compact, table, dict and JSON.

use std::io::{self, Write};

use sextant_proto::{
    flow::{Flow, LostEvent, LostEventSource},
    observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
    relay::{NodeState, NodeStatusEvent},
};

use super::{
    Output,
    fields::{self, Style},
    json_line,
    layout::{Layout, Stamp},
    stream::Show,
};
use crate::text::{harmless, value_name};

const SEPARATOR: &str = "------------\n";

/// Prints responses in one of the formats.
pub(super) struct Printer {
    output: Output,
    style: Style,
    /// Whether nodes that fail are told.
    silent: bool,
    layout: Layout,
}

impl Show<GetFlowsResponse> for Printer {
    /// Prints a response; other kinds than flows and lost events go to standard error.
    fn print(&mut self, response: &GetFlowsResponse, out: &mut impl Write) -> io::Result<()> {
        match &response.response_types {
            None => Ok(()),
            Some(ResponseTypes::NodeStatus(status)) => self.node_status(response, status),
            Some(_) if matches!(self.output, Output::Json | Output::Jsonpb) => {
                out.write_all(json_line(response).as_bytes())
            }
            Some(ResponseTypes::Flow(flow)) => self.flow(flow, out),
            Some(ResponseTypes::LostEvents(lost)) => self.lost(response, lost, out),
        }
    }

    fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.layout.finish(out)
    }
}

impl Printer {
    pub(super) fn new(output: Output, style: Style, silent: bool) -> Self {
        let layout = Layout::new(style.node_name);
        Self {
            output,
            style,
            silent,
            layout,
        }
    }

    fn flow(&mut self, flow: &Flow, out: &mut impl Write) -> io::Result<()> {
        let style = &self.style;
        let stamp = Stamp {
            time: style.time_format.print(flow.time.as_ref()),
            node: harmless(&flow.node_name),
        };
        let (source, destination) = fields::hosts(style, flow);
        let (kind, verdict) = (fields::kind(flow), fields::verdict(style, flow));
        let summary = fields::summary(style, flow);
        let extra: Vec<String> = style.columns.iter().map(|column| column.of(flow)).collect();
        match self.output {
            Output::Table => {
                self.row(stamp, [source, destination, kind, verdict], extra, summary);
                Ok(())
            }
            Output::Dict => {
                let names = ["SOURCE", "DESTINATION", "TYPE", "VERDICT", "SUMMARY"];
                let values = [source, destination, kind, verdict, summary];
                let fields = names.map(String::from).into_iter().zip(values);
                let fields = fields.chain(columns(style).zip(extra));
                self.layout.dict(SEPARATOR, stamp, fields, out)
            }
            _ => {
                let (from, to) = fields::identities(style, flow);
                let (left, arrow, right) = match flow.is_reply {
                    None => ((source, from), "<>", (destination, to)),
                    Some(false) => ((source, from), "->", (destination, to)),
                    Some(true) => ((destination, to), "<-", (source, from)),
                };
                write!(
                    out,
                    "{}: {} {} {arrow} {} {} {kind} {verdict} ({summary})",
                    self.layout.line(&stamp),
                    left.0,
                    left.1,
                    right.0,
                    right.1
                )?;
                for (column, value) in style.columns.iter().zip(&extra) {
                    write!(out, " {}={value}", column.name())?;
                }
                writeln!(out)
            }
        }
    }

    /// A row; columns that were asked for come before the summary.
    fn row(&mut self, stamp: Stamp, first: [String; 4], extra: Vec<String>, summary: String) {
        let style = &self.style;
        let cells = |first: [String; 4], extra: Vec<String>, summary: String| {
            [first.to_vec(), extra, vec![summary]].concat()
        };
        let head = || {
            let first = ["SOURCE", "DESTINATION", "TYPE", "VERDICT"].map(String::from);
            cells(first, columns(style).collect(), "SUMMARY".into())
        };
        self.layout.row(stamp, head, cells(first, extra, summary));
    }

    fn lost(
        &mut self,
        response: &GetFlowsResponse,
        lost: &LostEvent,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let format = self.style.time_format;
        let time = format.print(response.time.as_ref());
        let source = value_name(lost.source, LostEventSource::as_str_name);
        let cpu = lost.cpu.unwrap_or(0);
        let span = match (&lost.first, &lost.last) {
            (Some(first), Some(last)) => {
                let (first, last) = (format.print(Some(first)), format.print(Some(last)));
                format!(" (first: {first}, last: {last})")
            }
            _ => String::new(),
        };
        let node = match response.node_name.as_str() {
            "" => "-".into(),
            name => harmless(name),
        };
        let count = lost.num_events_lost;
        let summary = format!("CPU({cpu}) - {count}{span}");
        let (kind, none) = (String::from("EVENTS LOST"), || String::from("-"));
        match self.output {
            Output::Table => {
                let extra = self.style.columns.iter().map(|_| none()).collect();
                let first = [source, none(), kind, none()];
                self.row(Stamp { time, node }, first, extra, summary);
                Ok(())
            }
            Output::Dict => {
                let fields = [
                    ("SOURCE", source),
                    ("TYPE", kind),
                    ("VERDICT", none()),
                    ("SUMMARY", summary),
                ];
                let stamp = Stamp { time, node };
                self.layout.dict(SEPARATOR, stamp, fields, out)
            }
            _ => writeln!(out, "{time} {kind}: {source} CPU({cpu}) {count}{span}"),
        }
    }

    /// Only failures are told.
    fn node_status(&self, response: &GetFlowsResponse, status: &NodeStatusEvent) -> io::Result<()> {
        let state = NodeState::try_from(status.state_change);
        if self.silent || !matches!(state, Ok(NodeState::NodeError | NodeState::NodeUnavailable)) {
            return Ok(());
        }
        let mut err = io::stderr();
        if matches!(self.output, Output::Json | Output::Jsonpb) {
            return err.write_all(json_line(response).as_bytes());
        }
        let time = self.style.time_format.print(response.time.as_ref());
        let (node, nodes) = (
            harmless(&response.node_name),
            harmless(&status.node_names.join(", ")),
        );
        let count = status.node_names.len();
        match state {
            Ok(NodeState::NodeError) => {
                // Quoted, which makes it harmless.
                let message = &status.message;
                writeln!(
                    err,
                    "{time} [{node}]: Error {message:?} on {count} nodes: {nodes}"
                )
            }
            _ => writeln!(
                err,
                "{time} [{node}]: {count} nodes are unavailable: {nodes}"
            ),
        }
    }
}

/// Heads of the columns that were asked for.
fn columns(style: &Style) -> impl Iterator<Item = String> {
    let names = style.columns.iter().map(|column| column.name());
    names.map(str::to_uppercase)
}
