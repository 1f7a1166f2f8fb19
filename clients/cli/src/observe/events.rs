//! `observe agent-events` and `observe debug-events`: what an agent tells of itself
//! and of single packets, as `hubble` shows them. They have no filters and no mask.

use std::{
    collections::VecDeque,
    io::{self, Write},
    process::ExitCode,
};

use prost::Message;
use prost_types::Timestamp;
use sextant_proto::observer::{
    GetAgentEventsRequest, GetAgentEventsResponse, GetDebugEventsRequest, GetDebugEventsResponse,
    observer_client::ObserverClient,
};
use tonic::transport::Channel;

use super::{
    FormatArgs, ObserveArgs, Output, What, before, input,
    layout::{Layout, Stamp},
    selector::{self, Selection},
    stream::{Show, drain},
};
use crate::{
    call,
    connect::{Server, client},
    connection::Connection,
    json,
    lines::Lines,
    out,
    text::harmless,
    time::Format,
};

/// Unlike that of flows, hubble's separator of events ends no line.
const SEPARATOR: &str = "------------";

/// A response that carries an event.
pub(super) trait Event: Message + Default + PartialEq {
    /// Its full name.
    const RESPONSE: &'static str;
    /// Heads of the table's columns, without time and node.
    const HEAD: &'static [&'static str];

    /// When, and of which node.
    fn stamp(&self) -> (Option<&Timestamp>, &str);

    /// The event as text; nothing if the response carries none.
    fn shown(&self, format: Format) -> Option<Shown>;
}

/// An event in each of the formats, without time and node.
#[derive(Debug, PartialEq)]
pub(super) struct Shown {
    pub(super) line: String,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) cells: Vec<String>,
}

/// Shows events until there are no more, or the user has seen enough.
pub(super) async fn run(connection: &Connection, args: &ObserveArgs) -> anyhow::Result<ExitCode> {
    let selection = selector::events(args)?;
    let mut printer = EventPrinter::new(&args.format);
    let mut out = out::stdout();
    if let Some(path) = &args.input.input_file {
        let lines = Lines::open(path)?;
        match args.what {
            What::DebugEvents => {
                read::<GetDebugEventsResponse>(lines, &selection, &mut printer, &mut out)?;
            }
            _ => read::<GetAgentEventsResponse>(lines, &selection, &mut printer, &mut out)?,
        }
    } else {
        let server = Server::reading(connection).await?;
        tokio::select! {
            result = ask(&server, args.what, selection, &mut printer, &mut out) => result?,
            _ = tokio::signal::ctrl_c() => {}
        }
    }
    printer.layout.finish(&mut out)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn read<E: Event>(
    lines: Lines,
    selection: &Selection,
    printer: &mut EventPrinter,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let format = printer.time_format;
    // A file has other events between them.
    let passes = |event: &E| event.shown(format).is_some() && selection.spans(event.stamp().0);
    input::events::<E>(lines, E::RESPONSE, selection.part(), passes, printer, out)
}

async fn ask(
    server: &Server,
    what: What,
    selection: Selection,
    printer: &mut EventPrinter,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut client = client!(ObserverClient<Channel>, server);
    if what == What::DebugEvents {
        let failed = call::failed("get the debug events of", server);
        if before::is_meant(&selection) {
            let ask = async |part: Selection| {
                let request = GetDebugEventsRequest::from(part);
                Ok(client.clone().get_debug_events(request).await?.into_inner())
            };
            let events = before::last(&selection, ask, |_| true).await;
            return shown(events.map_err(failed)?, printer, out);
        }
        let answer = client.get_debug_events(GetDebugEventsRequest::from(selection));
        return drain(
            answer.await.map_err(&failed)?.into_inner(),
            failed,
            printer,
            out,
        )
        .await;
    }
    let failed = call::failed("get the agent events of", server);
    if before::is_meant(&selection) {
        let ask = async |part: Selection| {
            let request = GetAgentEventsRequest::from(part);
            Ok(client.clone().get_agent_events(request).await?.into_inner())
        };
        let events = before::last(&selection, ask, |_| true).await;
        return shown(events.map_err(failed)?, printer, out);
    }
    let answer = client.get_agent_events(GetAgentEventsRequest::from(selection));
    drain(
        answer.await.map_err(&failed)?.into_inner(),
        failed,
        printer,
        out,
    )
    .await
}

fn shown<E: Event>(
    events: VecDeque<E>,
    printer: &mut EventPrinter,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    for event in events {
        printer.print(&event, out)?;
    }
    Ok(())
}

/// Prints events in one of the formats.
struct EventPrinter {
    output: Output,
    time_format: Format,
    layout: Layout,
}

impl EventPrinter {
    fn new(format: &FormatArgs) -> Self {
        Self {
            output: format.output,
            time_format: format.time_format,
            layout: Layout::new(format.print_node_name),
        }
    }
}

impl<E: Event> Show<E> for EventPrinter {
    fn print(&mut self, event: &E, out: &mut impl Write) -> io::Result<()> {
        let Some(shown) = event.shown(self.time_format) else {
            return Ok(());
        };
        let (time, node) = event.stamp();
        let stamp = Stamp {
            time: self.time_format.print(time),
            node: harmless(node),
        };
        match self.output {
            Output::Json | Output::Jsonpb => writeln!(out, "{}", json::print(event, E::RESPONSE)),
            Output::Table => {
                let head = || E::HEAD.iter().map(|name| (*name).to_owned()).collect();
                self.layout.row(stamp, head, shown.cells);
                Ok(())
            }
            Output::Dict => self.layout.dict(SEPARATOR, stamp, shown.fields, out),
            Output::Compact => writeln!(out, "{}: {}", self.layout.line(&stamp), shown.line),
        }
    }

    fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.layout.finish(out)
    }
}
