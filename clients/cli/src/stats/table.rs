//! A summary as columns: its groups, the others, the total, and the parts of its window.

use sextant_proto::sextant::flow::v1::{FlowField, FlowSummary, Traffic, TrafficBucket};

use super::{Order, name};
use crate::{
    text::{Align, bytes, grouped, harmless, short, table},
    time::Format,
};

/// Columns of what was counted.
const COUNTS: [&str; 6] = ["FLOWS", "PACKETS", "BYTES", "DROPS", "PACKETS/S", "BYTES/S"];

/// Groups, the others, and the total; what was sent again where that is meant.
pub(super) fn summary_table(summary: &FlowSummary, group_by: &[FlowField], order: Order) -> String {
    let traffic_row = |cells, columns, traffic: Option<&Traffic>| {
        let mut row = traffic_row(cells, columns, traffic);
        if order == Order::Retrans {
            row.push(grouped(
                traffic.map_or(0, |traffic| traffic.retransmissions),
            ));
        }
        row
    };
    let mut head: Vec<String> = group_by.iter().map(|f| name(*f).to_uppercase()).collect();
    if head.is_empty() {
        head.push(String::new());
    }
    let columns = head.len();
    head.extend(COUNTS.map(String::from));
    if order == Order::Retrans {
        head.push("RETRANS".into());
    }
    let mut rows = vec![head];
    for group in &summary.groups {
        let values = group.values.iter().map(|value| harmless(value));
        let values: Vec<String> = values
            .map(|v| if v.is_empty() { "-".into() } else { v })
            .collect();
        rows.push(traffic_row(values, columns, group.traffic.as_ref()));
    }
    let shown = summary.groups.len() as u64;
    if summary.group_count > shown {
        let others = format!("({} others)", grouped(summary.group_count - shown));
        rows.push(traffic_row(vec![others], columns, summary.others.as_ref()));
    }
    rows.push(traffic_row(
        vec!["TOTAL".into()],
        columns,
        summary.total.as_ref(),
    ));
    let mut aligns = vec![Align::Left; columns];
    aligns.extend([Align::Right; 7]);
    let mut text = table(&rows, &aligns);
    if !summary.buckets.is_empty() {
        text.push('\n');
        text += &parts(&summary.buckets);
    }
    text
}

/// A line for each part of the window, by its begin.
fn parts(buckets: &[TrafficBucket]) -> String {
    let mut head = vec!["SINCE".to_owned()];
    head.extend(COUNTS.map(String::from));
    let mut rows = vec![head];
    for part in buckets {
        let since = Format::Rfc3339Milli.print(part.since.as_ref());
        rows.push(traffic_row(vec![since], 1, part.traffic.as_ref()));
    }
    let mut aligns = vec![Align::Left];
    aligns.extend([Align::Right; COUNTS.len()]);
    table(&rows, &aligns)
}

fn traffic_row(mut cells: Vec<String>, columns: usize, traffic: Option<&Traffic>) -> Vec<String> {
    cells.resize(columns, String::new());
    let traffic = traffic.copied().unwrap_or_default();
    cells.extend([
        grouped(traffic.flows),
        grouped(traffic.packets),
        bytes(traffic.bytes as f64),
        grouped(traffic.drops),
        short(traffic.packets_per_second),
        bytes(traffic.bytes_per_second),
    ]);
    cells
}
