//! The state of a server that has Hubble's own API only: relay, or the agent of Cilium.
//! It tells no ledger, so losses cannot degrade it; nodes that do not answer do.

use std::fmt::Write as _;

use sextant_proto::observer::ServerStatusResponse;

use crate::text::{duration, grouped, harmless};

/// Nodes that are named.
const NAMED: usize = 10;

/// The page.
pub(super) fn text(status: &ServerStatusResponse, problems: &[String]) -> String {
    let health = match problems {
        [] => "ok".to_owned(),
        problems => format!("degraded: {}", problems.join("; ")),
    };
    let version = match status.version.as_str() {
        "" => "a Hubble server".into(),
        version => harmless(version),
    };
    let up = duration(std::time::Duration::from_nanos(status.uptime_ns));
    let mut page = String::new();
    let rows = [
        ("State", health),
        ("Server", format!("{version}, up {up}")),
        (
            "Store",
            format!(
                "{} of {} flows, {} flows seen, {:.1} flows/s",
                grouped(status.num_flows),
                grouped(status.max_flows),
                grouped(status.seen_flows),
                status.flows_rate
            ),
        ),
    ];
    for (name, value) in rows {
        let _ = writeln!(page, "{name:<8} {value}");
    }
    if let Some(connected) = status.num_connected_nodes {
        let away = status.num_unavailable_nodes.unwrap_or_default();
        let _ = writeln!(
            page,
            "{:<8} {connected} connected, {away} unavailable",
            "Nodes"
        );
    }
    page
}

/// What is not as it should be.
pub(super) fn problems(status: &ServerStatusResponse, is_serving: bool) -> Vec<String> {
    let mut problems = Vec::new();
    if !is_serving {
        problems.push("the server does not serve flows (yet, or any more)".into());
    }
    let away = status.num_unavailable_nodes.unwrap_or_default();
    if away > 0 {
        let names = status.unavailable_nodes.iter().take(NAMED);
        let names: Vec<String> = names.map(|name| harmless(name)).collect();
        let named = match names.as_slice() {
            [] => String::new(),
            names => format!(": {}", names.join(", ")),
        };
        let are = if away == 1 { "node is" } else { "nodes are" };
        problems.push(format!("{away} {are} unavailable{named}"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_does_not_answer_degrades_and_is_named() {
        let mut status = ServerStatusResponse {
            num_flows: 8190,
            max_flows: 8190,
            seen_flows: 12_345,
            uptime_ns: 3_600_000_000_000,
            num_connected_nodes: Some(2),
            num_unavailable_nodes: Some(0),
            version: "hubble-relay v1.20.2".into(),
            flows_rate: 12.34,
            ..ServerStatusResponse::default()
        };
        assert!(problems(&status, true).is_empty());
        assert_eq!(
            text(&status, &[]),
            "State    ok\n\
             Server   hubble-relay v1.20.2, up 1h0m\n\
             Store    8,190 of 8,190 flows, 12,345 flows seen, 12.3 flows/s\n\
             Nodes    2 connected, 0 unavailable\n"
        );
        status.num_unavailable_nodes = Some(1);
        status.unavailable_nodes = vec!["node-\x1bb".into()];
        let told = problems(&status, true);
        assert_eq!(told, ["1 node is unavailable: node-^[b"]);
        assert!(text(&status, &told).starts_with("State    degraded: 1 node is"));
        assert_eq!(problems(&ServerStatusResponse::default(), false).len(), 1);
    }
}
