//! The screen of `top`: a head, rows, a line of help. It fits into 80x24.

use ratatui::{
    Frame,
    layout::{Constraint, Layout},
    style::{Modifier, Style},
    text::Line,
    widgets::{Row, Table},
};
use sextant_proto::sextant::{
    flow::v1::{SummaryGroup, SummaryOrder, Traffic},
    status::v1::Status,
};

use super::{Model, View};
use crate::text::{Align, bytes, grouped, harmless, percent, short, table};

const HELP: &str = "q quit  1-8,Tab view  o order  / filter  p pause";
/// Columns behind the fields'.
const NUMBERS: [&str; 4] = ["FLOWS", "PKT/S", "BYTES/S", "BYTES"];
/// With these an IPv4 address is whole in 80 columns.
const NUMBER_WIDTHS: [u16; 5] = [5, 5, 8, 8, 5];

/// Draws the screen.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let areas = Layout::vertical([
        Constraint::Length(3),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .split(frame.area());
    let head = head(model).into_iter().map(Line::from).collect::<Vec<_>>();
    frame.render_widget(ratatui::widgets::Paragraph::new(head), areas[0]);
    frame.render_widget(rows(model), areas[1]);
    frame.render_widget(Line::from(foot(model)), areas[2]);
}

/// The same as text, with all rows.
pub(super) fn text(model: &Model) -> String {
    let mut page = head(model).join("\n") + "\n";
    let mut rows = vec![columns(model)];
    rows.extend(groups(model).map(|group| cells(model, group)));
    let fields = model.view.heads().len();
    let mut aligns = vec![Align::Left; fields];
    aligns.extend([Align::Right; NUMBERS.len() + 1]);
    page += &table(&rows, &aligns);
    page
}

/// What the server costs and has lost; nothing of a file.
fn cost(status: &Status) -> String {
    let Some(cost) = &status.cost else {
        return "cost: not known".into();
    };
    let budget = status.budget.unwrap_or_default();
    let lost: u64 = status
        .ledger
        .iter()
        .filter_map(|ledger| ledger.events.as_ref())
        .flat_map(|events| &events.lost)
        .filter(|lost| !lost.intended)
        .map(|lost| lost.events)
        .sum();
    let kernel = match cost.nanoseconds_per_packet {
        never if never <= 0.0 => "not measured".into(),
        nanos => format!("{} CPU, {nanos:.0} ns/packet", percent(cost.datapath_cpu)),
    };
    format!(
        "cost: daemon {}, kernel {kernel}, {}; lost {}, step {}",
        percent(cost.daemon_cpu),
        bytes(cost.resident_bytes as f64),
        grouped(lost),
        budget.step,
    )
}

fn head(model: &Model) -> [String; 3] {
    let (status, total) = (&model.status, model.summary.total.unwrap_or_default());
    let place = match status.node_name.as_str() {
        "" => harmless(&model.server),
        node => format!("{} at {}", harmless(node), harmless(&model.server)),
    };
    let paused = if model.is_paused { "  PAUSED" } else { "" };
    [
        format!(
            "{place}  {} flows/s  {} pkt/s  {}/s  {} drops/s{paused}",
            short(total.flows_per_second),
            short(total.packets_per_second),
            bytes(total.bytes_per_second),
            short(total.drops_per_second),
        ),
        cost(status),
        format!(
            "{} by {}  {} groups{}",
            model.view.title(),
            match model.view {
                View::Drops => "drops".into(),
                View::Retrans => "retrans".into(),
                _ => format!("{:?}", model.order).to_lowercase(),
            },
            grouped(model.summary.group_count),
            match model.filter_text.as_str() {
                "" => String::new(),
                filter => format!("  filter: {filter}"),
            }
        ),
    ]
}

fn foot(model: &Model) -> String {
    if let Some(problem) = &model.problem {
        return match &model.typing {
            Some(text) => format!("filter: {text}_   {}", harmless(problem)),
            None => harmless(problem),
        };
    }
    match &model.typing {
        None if model.notice.is_some() => model.notice.clone().unwrap_or_default(),
        Some(text) => format!("filter: {text}_   (flags as of observe; Enter, Esc)"),
        None => HELP.into(),
    }
}

/// Whether segments that were sent again are told, in the place of drops.
fn tells_retrans(model: &Model) -> bool {
    model.order() == SummaryOrder::Retransmissions
}

/// Groups of the view: drops, and what was sent again, alone where they are meant.
fn groups(model: &Model) -> impl Iterator<Item = &SummaryGroup> {
    model.summary.groups.iter().filter(|group| {
        let traffic = group.traffic.unwrap_or_default();
        match model.view {
            View::Drops => traffic.drops > 0,
            View::Retrans => traffic.retransmissions > 0,
            _ => true,
        }
    })
}

fn columns(model: &Model) -> Vec<String> {
    let last = match tells_retrans(model) {
        true => "RETR",
        false => "DROPS",
    };
    let heads = model.view.heads().iter().chain(&NUMBERS).chain([&last]);
    heads.map(|head| (*head).to_owned()).collect()
}

fn cells(model: &Model, group: &SummaryGroup) -> Vec<String> {
    let mut cells: Vec<String> = group
        .values
        .iter()
        .map(|value| {
            if value.is_empty() {
                "-".into()
            } else {
                harmless(value)
            }
        })
        .collect();
    cells.resize(model.view.heads().len(), "-".into());
    let traffic: Traffic = group.traffic.unwrap_or_default();
    cells.extend([
        short(traffic.flows as f64),
        short(traffic.packets_per_second),
        bytes(traffic.bytes_per_second),
        bytes(traffic.bytes as f64),
        short(match tells_retrans(model) {
            true => traffic.retransmissions,
            false => traffic.drops,
        } as f64),
    ]);
    cells
}

fn rows(model: &Model) -> Table<'static> {
    let rows = groups(model).map(|group| Row::new(cells(model, group)));
    let fields = model.view.heads().iter().map(|head| match *head {
        "PORT" => Constraint::Length(5),
        "PROTO" => Constraint::Length(6),
        _ => Constraint::Fill(1),
    });
    let widths = fields.chain(NUMBER_WIDTHS.map(Constraint::Length));
    let bold = Style::new().add_modifier(Modifier::BOLD);
    Table::new(rows.collect::<Vec<_>>(), widths).header(Row::new(columns(model)).style(bold))
}
