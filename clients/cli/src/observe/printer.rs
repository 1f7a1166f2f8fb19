//! The formats: compact, table, dict and JSON. A table is kept in memory until the
//! end, since its columns are as wide as their widest cell.

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
    stream::Show,
};
use crate::text::{self, harmless, value_name};

pub(super) const SEPARATOR: &str = "------------";

/// Prints responses in one of the formats.
pub(super) struct Printer {
    output: Output,
    style: Style,
    /// Whether nodes that fail are told.
    silent: bool,
    printed: u64,
    rows: Vec<Vec<String>>,
}

impl Show<GetFlowsResponse> for Printer {
    /// Prints a response; other kinds than flows and lost events go to standard error.
    fn print(&mut self, response: &GetFlowsResponse, out: &mut impl Write) -> io::Result<()> {
        match &response.response_types {
            None => return Ok(()),
            Some(ResponseTypes::NodeStatus(status)) => return self.node_status(response, status),
            Some(_) if matches!(self.output, Output::Json | Output::Jsonpb) => {
                out.write_all(json_line(response).as_bytes())?;
            }
            Some(ResponseTypes::Flow(flow)) => self.flow(flow, out)?,
            Some(ResponseTypes::LostEvents(lost)) => self.lost(response, lost, out)?,
        }
        self.printed += 1;
        Ok(())
    }

    fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(text::table(&std::mem::take(&mut self.rows), &[]).as_bytes())
    }
}

impl Printer {
    pub(super) fn new(output: Output, style: Style, silent: bool) -> Self {
        Self {
            output,
            style,
            silent,
            printed: 0,
            rows: Vec::new(),
        }
    }

    fn flow(&mut self, flow: &Flow, out: &mut impl Write) -> io::Result<()> {
        let style = &self.style;
        let time = style.time_format.print(flow.time.as_ref());
        let (source, destination) = fields::hosts(style, flow);
        let (kind, verdict) = (fields::kind(flow), fields::verdict(style, flow));
        let summary = fields::summary(style, flow);
        let node = harmless(&flow.node_name);
        let extra: Vec<String> = style.columns.iter().map(|column| column.of(flow)).collect();
        match self.output {
            Output::Table => {
                self.row(
                    [time, node, source, destination, kind, verdict, summary],
                    extra,
                );
                Ok(())
            }
            Output::Dict => {
                let lines = [
                    ("SOURCE", source),
                    ("DESTINATION", destination),
                    ("TYPE", kind),
                    ("VERDICT", verdict),
                    ("SUMMARY", summary),
                ];
                self.dict(&time, &node, &lines, &extra, out)
            }
            _ => {
                let (from, to) = fields::identities(style, flow);
                let (left, arrow, right) = match flow.is_reply {
                    None => ((source, from), "<>", (destination, to)),
                    Some(false) => ((source, from), "->", (destination, to)),
                    Some(true) => ((destination, to), "<-", (source, from)),
                };
                let node = match style.node_name {
                    true => format!(" [{node}]"),
                    false => String::new(),
                };
                write!(
                    out,
                    "{time}{node}: {} {} {arrow} {} {} {kind} {verdict} ({summary})",
                    left.0, left.1, right.0, right.1
                )?;
                for (column, value) in style.columns.iter().zip(&extra) {
                    write!(out, " {}={value}", column.name())?;
                }
                writeln!(out)
            }
        }
    }

    fn row(&mut self, [time, node, rest @ ..]: [String; 7], extra: Vec<String>) {
        let with_node = self.style.node_name;
        let row = |time: String, node: String, rest: [String; 5], mut extra: Vec<String>| {
            let [source, destination, kind, verdict, summary] = rest;
            let mut row = vec![time];
            row.extend(with_node.then_some(node));
            row.extend([source, destination, kind, verdict]);
            row.append(&mut extra);
            row.push(summary);
            row
        };
        if self.printed == 0 {
            let names = ["SOURCE", "DESTINATION", "TYPE", "VERDICT", "SUMMARY"].map(String::from);
            let extra = self
                .style
                .columns
                .iter()
                .map(|column| column.name().to_uppercase());
            self.rows.push(row(
                "TIMESTAMP".into(),
                "NODE".into(),
                names,
                extra.collect(),
            ));
        }
        self.rows.push(row(time, node, rest, extra));
    }

    fn dict(
        &self,
        time: &str,
        node: &str,
        lines: &[(&str, String)],
        extra: &[String],
        out: &mut impl Write,
    ) -> io::Result<()> {
        if self.printed > 0 {
            writeln!(out, "{SEPARATOR}")?;
        }
        writeln!(out, "  TIMESTAMP: {time}")?;
        if self.style.node_name {
            writeln!(out, "       NODE: {node}")?;
        }
        for (name, value) in lines {
            writeln!(out, "{name:>11}: {value}")?;
        }
        for (column, value) in self.style.columns.iter().zip(extra) {
            writeln!(out, "{:>11}: {value}", column.name().to_uppercase())?;
        }
        Ok(())
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
                format!(
                    " (first: {}, last: {})",
                    format.print(Some(first)),
                    format.print(Some(last))
                )
            }
            _ => String::new(),
        };
        let node = match response.node_name.as_str() {
            "" => "-".into(),
            name => harmless(name),
        };
        let count = lost.num_events_lost;
        let summary = format!("CPU({cpu}) - {count}{span}");
        let none = || String::from("-");
        let extra: Vec<String> = self.style.columns.iter().map(|_| none()).collect();
        match self.output {
            Output::Table => {
                self.row(
                    [
                        time,
                        node,
                        source,
                        none(),
                        "EVENTS LOST".into(),
                        none(),
                        summary,
                    ],
                    extra,
                );
                Ok(())
            }
            Output::Dict => {
                let lines = [
                    ("SOURCE", source),
                    ("TYPE", "EVENTS LOST".into()),
                    ("VERDICT", none()),
                    ("SUMMARY", summary),
                ];
                self.dict(&time, &node, &lines, &[], out)
            }
            _ => writeln!(out, "{time} EVENTS LOST: {source} CPU({cpu}) {count}{span}"),
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
