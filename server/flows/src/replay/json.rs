//! Hubble JSON lines: what `hubble observe -o json` prints and what Hubble's
//! exporter writes, also in the legacy form in which a line is a bare flow.
//!
//! The mapping is protobuf's: proto or camelCase names, enumerations by name or
//! number, 64-bit integers as text. Fields and names of enumerations that are
//! not known are passed over, as `hubble --input-file` does. Bound: one line of at most 16 MiB.

mod any;
mod number;
mod schema;
mod transcode;

use std::{
    io::{self, BufRead, Read as _},
    path::Path,
    sync::LazyLock,
};

use sextant_proto::{
    flow as pb,
    observer::{ExportEvent, export_event::ResponseTypes},
};

use schema::Schema;
use transcode::transcode;

use super::{Cause, ReplayError, Report};
use crate::{
    event::{Event, Stamped},
    flow::{Interners, Time, proto},
};

/// Longest line that is read; longer ones are rejected.
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads all lines.
pub(super) fn load(
    path: &Path,
    reader: impl BufRead,
    interners: &mut Interners,
    sink: &mut dyn FnMut(Event),
) -> Result<Report, ReplayError> {
    let mut report = Report::new(path);
    let mut lines = Lines::new(reader);
    for number in 1.. {
        let line = lines.next().map_err(|source| ReplayError::Read {
            path: path.into(),
            unit: "line",
            number: number - 1,
            source,
        })?;
        let parsed = match line {
            Line::End => break,
            Line::TooLong => Err(Rejected::new(
                Cause::LineTooLong,
                format!("longer than {MAX_LINE_BYTES} bytes"),
            )),
            Line::Text(text) if text.trim_ascii().is_empty() => continue,
            Line::Text(text) => TYPES.parse(text),
        };
        match parsed.and_then(|line| to_event(line, interners)) {
            Ok(event) => {
                report.loaded += 1;
                sink(event);
            }
            Err(Rejected { cause, text }) => report.note(number, cause, text),
        }
    }
    Ok(report)
}

static TYPES: LazyLock<Types> = LazyLock::new(Types::new);

/// Why a line is not loaded.
#[derive(Debug, PartialEq)]
struct Rejected {
    cause: Cause,
    text: String,
}

impl Rejected {
    fn new(cause: Cause, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { cause, text }
    }
}

/// The message types that a line can be.
struct Types {
    schema: Schema,
    export_event: usize,
    flow: usize,
}

impl Types {
    fn new() -> Self {
        let schema = Schema::new(&["observer.ExportEvent", "flow.Flow"]);
        Self {
            export_event: schema.root("observer.ExportEvent"),
            flow: schema.root("flow.Flow"),
            schema,
        }
    }

    fn parse(&self, line: &[u8]) -> Result<ExportEvent, Rejected> {
        let mut event: ExportEvent = self.message(self.export_event, line)?;
        if event.response_types.is_none() {
            event.response_types = self.bare_flow(line)?.map(ResponseTypes::Flow);
        }
        Ok(event)
    }

    /// The line as a flow, if it has any field that only a flow has.
    fn bare_flow(&self, line: &[u8]) -> Result<Option<pb::Flow>, Rejected> {
        let flow: pb::Flow = self.message(self.flow, line)?;
        let common = pb::Flow {
            time: flow.time,
            node_name: flow.node_name.clone(),
            ..pb::Flow::default()
        };
        Ok((flow != common).then_some(flow))
    }

    fn message<M>(&self, place: usize, line: &[u8]) -> Result<M, Rejected>
    where
        M: prost::Message + Default,
    {
        let mut wire = Vec::with_capacity(line.len());
        transcode(&self.schema, place, line, &mut wire).map_err(|error| rejection(&error))?;
        M::decode(wire.as_slice())
            .map_err(|error| Rejected::new(Cause::BadValue, error.to_string()))
    }
}

/// serde's text, without the line number, which is always 1.
fn rejection(error: &serde_json::Error) -> Rejected {
    let cause = match error.classify() {
        serde_json::error::Category::Data => Cause::BadValue,
        _ => Cause::NotJson,
    };
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = error.to_string();
    let text = text.strip_suffix(&place).unwrap_or(&text);
    Rejected::new(cause, format!("column {}: {text}", error.column()))
}

fn to_event(line: ExportEvent, interners: &mut Interners) -> Result<Event, Rejected> {
    let time: Option<Time> = line.time.map(Into::into);
    let node_name = line.node_name;
    match line.response_types {
        Some(ResponseTypes::Flow(flow)) => {
            let mut flow = proto::from_proto(flow, interners);
            flow.time = time.or(flow.time);
            Ok(Event::Flow(flow))
        }
        Some(ResponseTypes::LostEvents(event)) => Ok(Event::Lost(stamped(time, node_name, event))),
        Some(ResponseTypes::AgentEvent(event)) => Ok(Event::Agent(stamped(time, node_name, event))),
        Some(ResponseTypes::DebugEvent(event)) => Ok(Event::Debug(stamped(time, node_name, event))),
        Some(ResponseTypes::NodeStatus(_)) => {
            Err(Rejected::new(Cause::NodeStatus, "status event of relay"))
        }
        None => Err(Rejected::new(
            Cause::NoEvent,
            "neither a flow nor a lost, agent or debug event",
        )),
    }
}

fn stamped<T>(time: Option<Time>, node_name: String, event: T) -> Box<Stamped<T>> {
    Box::new(Stamped {
        time,
        node_name,
        event,
    })
}

/// A line of the file.
enum Line<'a> {
    Text(&'a [u8]),
    TooLong,
    End,
}

/// Splits a file at line feeds, with a bound.
struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    /// What may stand before the next line.
    mark: &'static [u8],
}

impl<R: BufRead> Lines<R> {
    fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            mark: BYTE_ORDER_MARK,
        }
    }

    fn next(&mut self) -> io::Result<Line<'_>> {
        let mark = std::mem::take(&mut self.mark);
        self.buffer.clear();
        let bound = MAX_LINE_BYTES as u64 + 1;
        let length = (&mut self.reader)
            .take(bound)
            .read_until(b'\n', &mut self.buffer)?;
        if length == 0 {
            return Ok(Line::End);
        }
        if self.buffer.pop_if(|last| *last == b'\n').is_none() && length > MAX_LINE_BYTES {
            self.reader.skip_until(b'\n')?;
            self.buffer = Vec::new();
            return Ok(Line::TooLong);
        }
        let text = self.buffer.strip_prefix(mark);
        Ok(Line::Text(text.unwrap_or(&self.buffer)))
    }
}

#[cfg(test)]
mod tests;
