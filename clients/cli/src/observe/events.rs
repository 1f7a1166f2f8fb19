//! `observe agent-events` and `observe debug-events`: what an agent tells of itself
//! and of single packets, as `hubble` shows them. They have no filters and no mask.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use prost::Message;
use prost_types::Timestamp;
use sextant_proto::observer::{
    ExportEvent, GetAgentEventsRequest, GetAgentEventsResponse, GetDebugEventsRequest,
    GetDebugEventsResponse, observer_client::ObserverClient,
};
use tonic::{Status, Streaming};

use super::{
    FormatArgs, ObserveArgs, Output, What, before, follow, input,
    layout::{Layout, Stamp},
    selector::{self, Selection},
    stream::{Show, drain},
};
use crate::{
    call,
    connect::{Channel, Server, client},
    connection::Connection,
    input::Input,
    json, out,
    text::harmless,
    time::Format,
};

/// Unlike that of flows, hubble's separator of events ends no line.
const SEPARATOR: &str = "------------";

/// A response that carries an event.
pub(super) trait Event: Message + Default + follow::Followed {
    /// Its full name.
    const RESPONSE: &'static str;
    /// Heads of the table's columns, without time and node.
    const HEAD: &'static [&'static str];

    /// As it was exported; nothing of an event of another kind.
    fn of(event: ExportEvent) -> Option<Self>;

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
    if let Some(file) = args.input.input() {
        match args.what {
            What::DebugEvents => {
                read::<GetDebugEventsResponse>(file, &selection, &mut printer, &mut out)?;
            }
            _ => read::<GetAgentEventsResponse>(file, &selection, &mut printer, &mut out)?,
        }
    } else {
        let server = Server::reading(connection).await?;
        tokio::select! {
            result = ask((connection, server), args.what, selection, &mut printer, &mut out) => result?,
            _ = tokio::signal::ctrl_c() => {}
        }
    }
    printer.layout.finish(&mut out)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn read<E: Event>(
    file: Input<'_>,
    selection: &Selection,
    printer: &mut EventPrinter,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let format = printer.time_format;
    // A file has other events between them.
    let passes = |event: &E| event.shown(format).is_some() && selection.spans(event.stamp().0);
    let wanted = |event| E::of(event).filter(passes);
    input::events(file, selection.part(), wanted, printer, out)
}

async fn ask(
    place: (&Connection, Server),
    what: What,
    selection: Selection,
    printer: &mut EventPrinter,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    if what == What::DebugEvents {
        let ask = async |server: &Server, part: Selection| {
            let mut client = client!(ObserverClient<Channel>, server);
            let request = GetDebugEventsRequest::from(part);
            Ok(client.get_debug_events(request).await?.into_inner())
        };
        let action = "get the debug events of";
        return show(place, action, &selection, ask, printer, out).await;
    }
    let ask = async |server: &Server, part: Selection| {
        let mut client = client!(ObserverClient<Channel>, server);
        let request = GetAgentEventsRequest::from(part);
        Ok(client.get_agent_events(request).await?.into_inner())
    };
    let action = "get the agent events of";
    show(place, action, &selection, ask, printer, out).await
}

/// Shows the part that is selected, as it is best asked for.
async fn show<E: Event>(
    (connection, server): (&Connection, Server),
    action: &'static str,
    selection: &Selection,
    ask: impl AsyncFn(&Server, Selection) -> Result<Streaming<E>, Status>,
    printer: &mut EventPrinter,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    if selection.follow {
        let ask = async |server: &Server, since: Option<Timestamp>| {
            let mut part = selection.clone();
            if since.is_some() {
                (part.number, part.since) = (0, since);
            }
            ask(server, part).await
        };
        return follow::follow((connection, server), action, ask, printer, out).await;
    }
    let failed = call::failed(action, &server);
    if before::is_meant(selection) {
        let events = before::last(selection, async |part| ask(&server, part).await, |_| true).await;
        for event in events.map_err(failed)? {
            printer.print(&event, out)?;
        }
        return Ok(());
    }
    let stream = ask(&server, selection.clone()).await.map_err(&failed)?;
    drain(stream, failed, printer, out).await
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
