//! `sextant top`: what is busiest now, full screen or once.
//!
//! Once a second it asks for a summary and for the state; nothing else is kept.
//! The terminal is given back on every way out, a panic and SIGTERM included.

mod screen;
mod view;

use std::{
    io::Write as _,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use sextant_proto::sextant::{
    flow::v1::{
        FlowSummary, SummarizeFlowsRequest, SummaryOrder, flow_service_client::FlowServiceClient,
    },
    status::v1::{GetStatusRequest, Status, status_service_client::StatusServiceClient},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use crate::{
    call,
    connect::{Channel, Server, client},
    connection::Connection,
    filter::{FilterArgs, Filters},
    input::Input,
    json, out,
    stats::Order,
    tally::{self, Question},
    text::duration,
    time,
};
use view::View;

/// Between two looks.
const TICK: Duration = Duration::from_secs(1);
/// Rows that are asked for: more than fit on most screens.
const ROWS: u32 = 100;
/// Length of the window, if nothing is said.
const WINDOW: Duration = Duration::from_secs(10);
/// Keys that are read ahead.
const KEYS: usize = 16;

/// Arguments of `top`.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Print one look and end, for scripts.
    #[arg(long)]
    once: bool,
    /// Output format, with `--once`.
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        requires = "once"
    )]
    output: Output,
    /// What to begin with.
    #[arg(
        long,
        visible_alias = "by",
        value_enum,
        value_name = "VIEW",
        default_value_t
    )]
    view: View,
    /// What the first rows have most of.
    #[arg(long, value_enum, value_name = "ORDER", default_value_t)]
    order: Order,
    /// Length of the window, which ends now, or with the last flow of a file [default: 10s,
    /// and all of a file]
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    window: Option<Duration>,
    /// Look into this file of JSON lines or capture (.pcap, .pcapng), `-` for JSON lines on
    /// standard input, and ask nobody; with `--once`.
    #[arg(long, value_name = "FILE", requires = "once")]
    input_file: Option<PathBuf>,
    /// In a capture, equal addresses and ports in two VLANs are two connections.
    #[arg(long, requires = "input_file")]
    vlan_in_key: bool,
    #[command(flatten)]
    filters: FilterArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Output {
    /// As on the screen.
    #[default]
    Text,
    /// The summary and the state as one JSON object.
    Json,
}

/// What is shown.
#[derive(Debug, Default)]
struct Model {
    view: View,
    order: Order,
    filters: Filters,
    /// The filter as it was typed, and the one that is being typed.
    filter_text: String,
    typing: Option<String>,
    is_paused: bool,
    /// What went wrong last.
    problem: Option<String>,
    /// What became of an outage.
    notice: Option<String>,
    /// When the server did not answer first.
    away_since: Option<Instant>,
    server: String,
    summary: FlowSummary,
    status: Status,
}

/// What a key asks for.
#[derive(Debug, PartialEq, Eq)]
enum Act {
    Nothing,
    Look,
    Quit,
}

impl Model {
    /// Does what a key stands for.
    fn key(&mut self, key: KeyEvent) -> Act {
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Act::Quit;
        }
        self.notice = None;
        if self.typing.is_some() {
            return self.type_filter(key.code);
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Act::Quit,
            KeyCode::Char('p' | ' ') => {
                self.is_paused = !self.is_paused;
                return Act::Nothing;
            }
            KeyCode::Char('/') => {
                self.typing = Some(self.filter_text.clone());
                return Act::Nothing;
            }
            KeyCode::Char('o') => self.order = next(self.order),
            KeyCode::Tab => self.view = next(self.view),
            KeyCode::Char(digit @ '1'..='8') => {
                let views = View::value_variants();
                self.view = views[digit as usize - '1' as usize];
            }
            _ => return Act::Nothing,
        }
        Act::Look
    }

    fn type_filter(&mut self, code: KeyCode) -> Act {
        let Some(text) = &mut self.typing else {
            return Act::Nothing;
        };
        match code {
            KeyCode::Char(character) => text.push(character),
            KeyCode::Backspace => {
                text.pop();
            }
            KeyCode::Esc => self.typing = None,
            KeyCode::Enter => return self.take_filter(),
            _ => {}
        }
        Act::Nothing
    }

    /// The typed flags become the filter; wrong ones are told and can be mended.
    fn take_filter(&mut self) -> Act {
        let text = self.typing.clone().unwrap_or_default();
        let filters = FilterArgs::from_line(&text)
            .and_then(|args| args.filters().map_err(|error| error.to_string()));
        match filters {
            Ok(filters) => {
                self.filters = filters;
                self.filter_text = text;
                self.typing = None;
                self.problem = None;
                Act::Look
            }
            Err(error) => {
                let first = error.lines().next().unwrap_or_default();
                self.problem = Some(first.to_owned());
                Act::Nothing
            }
        }
    }

    /// What the first rows have most of: drops where they are meant.
    fn order(&self) -> SummaryOrder {
        match self.view {
            View::Drops => SummaryOrder::Drops,
            View::Retrans => SummaryOrder::Retransmissions,
            _ => self.order.into(),
        }
    }

    fn request(&self, window: Duration) -> SummarizeFlowsRequest {
        SummarizeFlowsRequest {
            window: prost_types::Duration::try_from(window).ok(),
            whitelist: self.filters.whitelist.clone(),
            blacklist: self.filters.blacklist.clone(),
            group_by: self.view.fields().iter().map(|f| (*f).into()).collect(),
            limit: ROWS,
            order: self.order().into(),
            ..SummarizeFlowsRequest::default()
        }
    }

    /// Notes that the server answered, or why it did not; what was missed is told until
    /// a key is pressed.
    fn answered(&mut self, failed: Option<String>) {
        self.problem = failed;
        if self.problem.is_some() {
            self.away_since.get_or_insert_with(Instant::now);
        } else if let Some(away) = self.away_since.take() {
            let away = away.elapsed();
            let up = self.status.uptime.and_then(|up| up.try_into().ok());
            let is_new = up.is_some_and(|up: Duration| up < away);
            let missed = match is_new {
                true => "the server was started anew, and what it had seen before is gone",
                false => "the server ran on, and nothing was missed but the look",
            };
            self.notice = Some(format!("no answer for {}: {missed}", duration(away)));
        }
    }

    async fn look(&mut self, server: &Server, window: Duration) -> anyhow::Result<()> {
        let mut flows = client!(FlowServiceClient<Channel>, server);
        let summary = flows
            .summarize_flows(server.unary(self.request(window)))
            .await;
        let failed = call::failed("summarise the flows of", server);
        self.summary = summary
            .map_err(failed)?
            .into_inner()
            .summary
            .unwrap_or_default();
        let mut status = client!(StatusServiceClient<Channel>, server);
        let state = status.get_status(server.unary(GetStatusRequest {})).await;
        let failed = call::failed("get the status of", server);
        self.status = state
            .map_err(failed)?
            .into_inner()
            .status
            .unwrap_or_default();
        Ok(())
    }
}

fn next<T: ValueEnum + PartialEq + Copy>(value: T) -> T {
    let all = T::value_variants();
    let at = all.iter().position(|other| *other == value).unwrap_or(0);
    all[(at + 1) % all.len()]
}

/// Shows what is busiest.
pub(crate) async fn run(connection: &Connection, args: &TopArgs) -> anyhow::Result<ExitCode> {
    let mut model = Model {
        view: args.view,
        order: args.order,
        filters: args.filters.filters()?,
        ..Model::default()
    };
    if let Some(path) = &args.input_file {
        model.server = path.display().to_string();
        let vlan_in_key = args.vlan_in_key;
        model.summary = tally::summary(&Question {
            input: Input { path, vlan_in_key },
            filters: &model.filters,
            window: args.window,
            since: None,
            until: None,
            bucket: None,
            group_by: model.view.fields(),
            limit: ROWS,
            order: model.order(),
        })?;
        return once(&model, args.output);
    }
    let window = args.window.unwrap_or(WINDOW);
    let server = Server::reading(connection).await?;
    model.server = server.name.clone();
    model.look(&server, window).await?;
    if args.once {
        return once(&model, args.output);
    }
    let mut terminal = ratatui::try_init()?;
    let shown = show(&mut terminal, &mut model, &server, window).await;
    ratatui::restore();
    shown.map(|()| ExitCode::SUCCESS)
}

fn once(model: &Model, output: Output) -> anyhow::Result<ExitCode> {
    let text = match output {
        Output::Text => screen::text(model),
        Output::Json => format!(
            "{{\"summary\":{},\"status\":{}}}\n",
            json::print(&model.summary, "sextant.flow.v1.FlowSummary"),
            json::print(&model.status, "sextant.status.v1.Status")
        ),
    };
    let mut out = out::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Until a key or a signal ends it.
async fn show(
    terminal: &mut ratatui::DefaultTerminal,
    model: &mut Model,
    server: &Server,
    window: Duration,
) -> anyhow::Result<()> {
    let mut keys = keys();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        terminal.draw(|frame| screen::draw(frame, model))?;
        let look = tokio::select! {
            event = keys.recv() => match event {
                Some(Event::Key(key)) if key.kind == KeyEventKind::Press => match model.key(key) {
                    Act::Quit => return Ok(()),
                    Act::Look => true,
                    Act::Nothing => false,
                },
                Some(_) => false,
                None => return Ok(()),
            },
            _ = ticks.tick() => !model.is_paused,
            _ = terminate.recv() => return Ok(()),
        };
        if look {
            // A server that is gone may come back: the last look stays.
            let failed = model.look(server, window).await.err();
            model.answered(failed.map(|error| format!("{error:#}")));
        }
    }
}

/// Reads the terminal on a thread of its own; it ends with the process.
fn keys() -> mpsc::Receiver<Event> {
    let (sender, receiver) = mpsc::channel(KEYS);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests;
