//! The state as a page of text.

use std::fmt::Write as _;

use sextant_proto::sextant::status::v1::{
    Budget, ContainerEngine, Cost, Dns, EventBalance, Exporter, KubernetesKind, Ledger,
    PacketBalance, Processes, Status, Tls, Volume,
};

use crate::{
    text::{Align, bytes, duration, grouped, harmless, percent, table},
    time::Format,
};

/// The page.
pub(super) fn text(status: &Status, problems: &[String]) -> String {
    let mut page = String::new();
    let health = match problems {
        [] => "ok".to_owned(),
        problems => format!("degraded: {}", problems.join("; ")),
    };
    let store = status.store.unwrap_or_default();
    let streams = status.streams.clone().unwrap_or_default();
    let refused: u64 = streams.refused.iter().map(|refused| refused.calls).sum();
    let rows = [
        ("State", health),
        (
            "Node",
            format!(
                "{}, sextantd v{}, up {}",
                harmless(&status.node_name),
                harmless(&status.version),
                uptime(status)
            ),
        ),
        (
            "Store",
            format!(
                "{} of {} events, {} flows seen, {:.1} flows/s, oldest {}",
                grouped(store.events),
                grouped(store.capacity),
                grouped(store.seen_flows),
                store.flows_per_second,
                Format::Rfc3339.print(store.oldest.as_ref())
            ),
        ),
        (
            "Streams",
            match refused {
                0 => format!("{} of {}", streams.open, grouped(streams.limit.into())),
                _ => format!(
                    "{} of {}, {} calls refused for a limit",
                    streams.open,
                    grouped(streams.limit.into()),
                    grouped(refused)
                ),
            },
        ),
        (
            "Cost",
            status.cost.as_ref().map_or("not known".into(), cost),
        ),
        (
            "Budget",
            status.budget.as_ref().map_or("none".into(), budget),
        ),
    ];
    for (name, value) in rows {
        let _ = writeln!(page, "{name:<8} {value}");
    }
    if let Some(dns) = &status.dns {
        let _ = writeln!(page, "{:<8} {}", "DNS", dns_text(dns));
        if let Some(tls) = &dns.tls {
            let _ = writeln!(page, "{:<8} {}", "TLS", tls_text(tls));
        }
    }
    if let Some(processes) = &status.processes {
        let _ = writeln!(page, "{:<8} {}", "Who", processes_text(processes));
    }
    for engine in &status.container_engines {
        let _ = writeln!(page, "{:<8} {}", "Engine", engine_text(engine));
    }
    for kind in &status.kubernetes {
        let _ = writeln!(page, "{:<8} {}", "Cluster", kubernetes_text(kind));
    }
    for exporter in &status.exporters {
        let _ = writeln!(page, "{:<8} {}", "Export", exporter_text(exporter));
    }
    kernel(status, &mut page);
    interfaces(status, &mut page);
    if let Some(ledger) = &status.ledger {
        balances(ledger, &mut page);
    }
    page
}

fn uptime(status: &Status) -> String {
    let uptime = status.uptime.and_then(|uptime| uptime.try_into().ok());
    duration(uptime.unwrap_or_default())
}

fn cost(cost: &Cost) -> String {
    let kernel = match cost.nanoseconds_per_packet {
        never if never <= 0.0 => "not measured".into(),
        nanos => format!(
            "{} of a CPU, {nanos:.0} ns a packet",
            percent(cost.datapath_cpu)
        ),
    };
    format!(
        "daemon {} of a CPU, kernel {kernel}; {} resident, {} of maps",
        percent(cost.daemon_cpu),
        bytes(cost.resident_bytes as f64),
        bytes(cost.map_bytes as f64)
    )
}

/// Messages and names; what was lost of them, if anything was.
/// How much of what has a socket here is attributed.
fn processes_text(processes: &Processes) -> String {
    let sides = processes.sides.unwrap_or_default();
    let of_sockets = sides.process + sides.unknown;
    let mut text = format!("{} processes", grouped(processes.known));
    if of_sockets > 0 {
        let share = sides.process as f64 / of_sockets as f64;
        let _ = write!(
            text,
            ", behind {} of {} sides of flows with a socket here ({})",
            grouped(sides.process),
            grouped(of_sockets),
            percent(share)
        );
    }
    for (count, what) in [
        (sides.no_socket, "sides of no socket"),
        (processes.not_found, "processes not found"),
        (processes.forgotten, "forgotten"),
    ] {
        if count > 0 {
            let _ = write!(text, "; {} {what}", grouped(count));
        }
    }
    text
}

/// Where containers have their names from.
fn engine_text(engine: &ContainerEngine) -> String {
    let mut text = format!("{}:{}, ", harmless(&engine.kind), harmless(&engine.socket));
    match (engine.connected, engine.failure.as_str()) {
        (true, _) => text.push_str(&format!("{} containers", grouped(engine.containers))),
        (false, "") => text.push_str("not there"),
        (false, failure) => text.push_str(&harmless(failure)),
    }
    if engine.left_out > 0 {
        let _ = write!(text, "; {} without room", grouped(engine.left_out));
    }
    text
}

/// What is known by the API server of Kubernetes.
fn kubernetes_text(kind: &KubernetesKind) -> String {
    let mut text = format!("{} {}", grouped(kind.objects), harmless(&kind.kind));
    match (kind.following, kind.failure.as_str()) {
        (true, _) => {}
        (false, "") => text.push_str(", not listed yet"),
        (false, failure) => {
            let _ = write!(text, ", {}", harmless(failure));
        }
    }
    if kind.left_out > 0 {
        let _ = write!(text, "; {} without room", grouped(kind.left_out));
    }
    text
}

/// What an exporter wrote, and what it did not.
fn exporter_text(exporter: &Exporter) -> String {
    let mut text = format!(
        "{}, {} events sent ({}), {} behind",
        harmless(&exporter.name),
        grouped(exporter.sent),
        bytes(exporter.sent_bytes as f64),
        grouped(exporter.lag)
    );
    for (count, what) in [
        (exporter.filtered, "left out by lists"),
        (exporter.grouped, "counted in groups"),
        (
            exporter.early_groups,
            "times too many groups, written early",
        ),
        (exporter.retries, "writes tried again"),
    ] {
        if count > 0 {
            let _ = write!(text, "; {} {what}", grouped(count));
        }
    }
    for drop in exporter.dropped.iter().filter(|drop| drop.events > 0) {
        let cause = harmless(&drop.cause);
        let _ = write!(text, "; {} DROPPED: {cause}", grouped(drop.events));
    }
    if let Some(spool) = &exporter.spool {
        let _ = write!(text, "; spool {}", bytes(spool.bytes as f64));
        for error in spool.errors.iter().filter(|error| error.count > 0) {
            let cause = harmless(&error.cause);
            let _ = write!(text, ", {} times {cause}", grouped(error.count));
        }
        if !spool.error.is_empty() {
            let _ = write!(text, ", NOT USED: {}", harmless(&spool.error));
        }
    }
    if exporter.over {
        text += "; over: its end has passed";
    }
    if !exporter.last_error.is_empty() {
        let when = Format::Rfc3339.print(exporter.last_error_time.as_ref());
        let is_failing = !exporter.up && !exporter.over;
        let what = if is_failing { "FAILING" } else { "last error" };
        let _ = write!(text, "; {what} {when}: {}", harmless(&exporter.last_error));
    }
    text
}

fn dns_text(dns: &Dns) -> String {
    let mut text = format!(
        "{} queries, {} answers, names of {} addresses",
        grouped(dns.queries),
        grouped(dns.answers),
        grouped(dns.addresses)
    );
    let malformed: u64 = dns.malformed.iter().map(|cause| cause.messages).sum();
    for (count, what) in [
        (dns.unasked, "answers that nobody asked for"),
        (malformed, "malformed"),
        (dns.ring_full, "packets LOST: ring full"),
        (dns.over_budget, "packets left out: bytes a second"),
        (dns.forgotten_queries, "queries forgotten"),
        (dns.forgotten_streams, "TCP streams forgotten"),
        (dns.forgotten_addresses, "addresses forgotten"),
        (dns.left_out_names, "names left out"),
    ] {
        if count > 0 {
            let _ = write!(text, "; {} {what}", grouped(count));
        }
    }
    text
}

fn tls_text(tls: &Tls) -> String {
    let mut text = format!(
        "{} hellos, names of {} addresses",
        grouped(tls.hellos),
        grouped(tls.addresses)
    );
    let malformed: u64 = tls.malformed.iter().map(|cause| cause.connections).sum();
    for (count, what) in [
        (tls.nameless, "without a name"),
        (malformed, "malformed"),
        (tls.forgotten_connections, "connections forgotten"),
        (tls.forgotten_addresses, "addresses forgotten"),
        (tls.left_out_names, "names left out"),
    ] {
        if count > 0 {
            let _ = write!(text, "; {} {what}", grouped(count));
        }
    }
    text
}

fn budget(budget: &Budget) -> String {
    if budget.limit <= 0.0 {
        return "none".into();
    }
    format!(
        "{} of {} of a CPU; step {} of {}, one event in {}",
        percent(budget.used),
        percent(budget.limit),
        budget.step,
        budget.last_step,
        budget.sampling
    )
}

/// Abilities that are missing; with all of them there is nothing to do.
fn kernel(status: &Status, page: &mut String) {
    let Some(kernel) = &status.kernel else {
        return;
    };
    let _ = writeln!(page, "{:<8} {}", "Kernel", harmless(&kernel.release));
    for ability in kernel.abilities.iter().filter(|ability| !ability.present) {
        let _ = writeln!(
            page,
            "         no {}: {}",
            harmless(&ability.name),
            harmless(&ability.note)
        );
    }
    for full in status.tables.iter().filter(|table| table.entries > 0) {
        let _ = writeln!(
            page,
            "         table {}: {} of {} entries",
            harmless(&full.name),
            grouped(full.entries),
            grouped(full.capacity)
        );
    }
}

fn interfaces(status: &Status, page: &mut String) {
    if status.attachments.is_empty() {
        return;
    }
    let head = [
        "",
        "Interface",
        "Hook",
        "In packets",
        "In bytes",
        "Out packets",
        "Out bytes",
    ];
    let mut rows = vec![head.map(String::from).to_vec()];
    for link in &status.attachments {
        let (ingress, egress) = (of(link.ingress), of(link.egress));
        let mut row = vec![
            String::new(),
            harmless(&link.interface),
            harmless(&link.hook),
        ];
        row.extend([ingress.packets, ingress.bytes, egress.packets, egress.bytes].map(grouped));
        rows.push(row);
    }
    let (left, right) = (Align::Left, Align::Right);
    page.push('\n');
    page.push_str(&table(
        &rows,
        &[left, left, left, right, right, right, right],
    ));
}

fn of(volume: Option<Volume>) -> Volume {
    volume.unwrap_or_default()
}

/// What was seen and what became of it, as sums.
fn balances(ledger: &Ledger, page: &mut String) {
    let mut rows = Vec::new();
    if let Some(balance) = &ledger.packets {
        packets(balance, &mut rows);
    }
    if let Some(balance) = &ledger.events {
        events(balance, &mut rows);
    }
    if let Some(delivery) = &ledger.delivery {
        rows.push(row("Read by streams", delivery.read));
        rows.push(row("  = delivered", delivery.delivered));
        rows.push(row("  + left out by filters", delivery.filtered));
        rows.push(row("Lapped", delivery.lapped));
    }
    page.push('\n');
    page.push_str(&table(&rows, &[Align::Left, Align::Right]));
}

fn row(name: &str, number: u64) -> Vec<String> {
    vec![name.to_owned(), grouped(number)]
}

fn packets(balance: &PacketBalance, rows: &mut Vec<Vec<String>>) {
    rows.push(row("Packets seen", of(balance.seen).packets));
    rows.push(row("  = in flows", of(balance.in_flows).packets));
    for cause in &balance.without_flow {
        let packets = of(cause.volume).packets;
        if packets > 0 {
            rows.push(row(&format!("  + {}", harmless(&cause.cause)), packets));
        }
    }
    if balance.difference != 0 {
        rows.push(vec![
            "  + on their way".into(),
            balance.difference.to_string(),
        ]);
    }
    if balance.unseen > 0 {
        rows.push(row("Packets that no program saw", balance.unseen));
    }
}

fn events(balance: &EventBalance, rows: &mut Vec<Vec<String>>) {
    let made = [
        ("Events raised", balance.raised),
        ("  + ended flows", balance.ended),
        ("  + recorded", balance.recorded),
        ("  + own", balance.own),
    ];
    rows.extend(made.map(|(name, count)| row(name, count)));
    if balance.layer7 > 0 {
        rows.push(row("  + of DNS messages", balance.layer7));
    }
    rows.push(row("  = stored", balance.stored));
    for lost in balance.lost.iter().filter(|lost| lost.events > 0) {
        let kind = if lost.intended { "left out" } else { "LOST" };
        let name = format!(
            "  + {kind}: {}, {}",
            harmless(&lost.place),
            harmless(&lost.cause)
        );
        rows.push(row(&name, lost.events));
    }
    if balance.in_flight != 0 {
        rows.push(vec![
            "  + on their way".into(),
            balance.in_flight.to_string(),
        ]);
    }
}
