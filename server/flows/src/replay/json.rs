//! Hubble JSON lines: what `hubble observe -o json` prints and what Hubble's
//! exporter writes, also in the legacy form in which a line is a bare flow; and as
//! people have them: printed over several lines, several in a line, in lists,
//! behind the prefixes and in the envelopes of log collectors (`texts`), in UTF-16.
//!
//! The mapping is protobuf's: proto or camelCase names, enumerations by name or
//! number, 64-bit integers as text. Fields and names of enumerations that are
//! not known are passed over, as `hubble --input-file` does. Bound: one line or
//! object of at most 16 MiB, and envelopes in envelopes up to `MAX_NESTED`.

mod any;
mod load;
mod number;
mod scan;
mod schema;
mod source;
mod texts;
mod transcode;
mod utf16;

use std::sync::LazyLock;

use sextant_proto::{
    flow as pb,
    observer::{ExportEvent, export_event::ResponseTypes},
};

use schema::Schema;
use transcode::transcode;

pub(super) use load::{each, load};

use super::Cause;
use crate::{
    event::{Event, Stamped},
    flow::{Interners, Time, proto},
};

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

    /// Whether an object is an event without doubt: an envelope may have a field
    /// that a flow has too, such as `source`.
    fn is_certain(event: &ExportEvent) -> bool {
        match &event.response_types {
            None => false,
            Some(ResponseTypes::Flow(flow)) => {
                flow.verdict != 0
                    || flow.l7.is_some()
                    || flow.event_type.is_some()
                    || flow.ip.is_some()
                    || flow.l4.is_some()
                    || !flow.uuid.is_empty()
            }
            Some(_) => true,
        }
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

/// serde's text; of an object in several lines with the line.
fn rejection(error: &serde_json::Error) -> Rejected {
    let cause = match error.classify() {
        serde_json::error::Category::Data => Cause::BadValue,
        _ => Cause::NotJson,
    };
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = error.to_string();
    let text = match text.strip_suffix(&place).unwrap_or(&text) {
        "invalid unicode code point" => "it is not UTF-8; convert the file to UTF-8",
        text => text,
    };
    let column = error.column();
    Rejected::new(
        cause,
        match error.line() {
            0 | 1 => format!("column {column}: {text}"),
            line => format!("line {line} of the object, column {column}: {text}"),
        },
    )
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
        None => Err(no_event()),
    }
}

fn no_event() -> Rejected {
    Rejected::new(
        Cause::NoEvent,
        "neither a flow nor a lost, agent or debug event",
    )
}

fn stamped<T>(time: Option<Time>, node_name: String, event: T) -> Box<Stamped<T>> {
    Box::new(Stamped {
        time,
        node_name,
        event,
    })
}

#[cfg(test)]
mod tests;
