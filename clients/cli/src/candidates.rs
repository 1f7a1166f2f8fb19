//! Candidates for the values of filters, while a line is typed: what the flows of the
//! server have (ListFilterHints). Bound: `LIMIT` values of a field, `PATIENCE` for the
//! server; without an answer there are none, and nothing is told.

use std::{ffi::OsStr, time::Duration};

use clap::Parser;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use sextant_flows::printable::is_odd;
use sextant_proto::sextant::flow::v1::{
    FlowField, ListFilterHintsRequest, flow_service_client::FlowServiceClient,
};

use crate::{
    connect::{Channel, Server, client},
    connection::Connection,
};

const LIMIT: u32 = 100;
/// Flags with a value that say which server, and how to speak to it.
const WHICH_SERVER: [&str; 8] = [
    "--server",
    "--context",
    "--config",
    "--tls-ca-cert-files",
    "--tls-client-cert-file",
    "--tls-client-key-file",
    "--tls-server-name",
    "--token-file",
];
const PATIENCE: Duration = Duration::from_secs(1);

/// The fields whose values a filter flag takes, sender first; nothing for other flags.
fn fields(flag: &str) -> &'static [FlowField] {
    use FlowField as Field;
    match flag {
        "ip" => &[Field::SourceIp, Field::DestinationIp],
        "pod" => &[Field::SourceEndpoint, Field::DestinationEndpoint],
        "namespace" => &[Field::SourceNamespace, Field::DestinationNamespace],
        "label" => &[Field::SourceLabel, Field::DestinationLabel],
        "process" => &[Field::SourceProcess, Field::DestinationProcess],
        "unit" => &[Field::SourceUnit, Field::DestinationUnit],
        "user" => &[Field::SourceUser, Field::DestinationUser],
        "workload" => &[Field::SourceWorkload, Field::DestinationWorkload],
        "identity" => &[Field::SourceIdentity, Field::DestinationIdentity],
        "fqdn" => &[Field::SourceName, Field::DestinationName],
        "port" => &[Field::SourcePort, Field::DestinationPort],
        "protocol" => &[Field::Protocol],
        "verdict" => &[Field::Verdict],
        "drop-reason-desc" => &[Field::DropReason],
        "interface" => &[Field::Interface],
        "node-name" => &[Field::NodeName],
        _ => &[],
    }
}

/// What completes the values of a filter flag, if the flows have them.
pub(crate) fn of(flag: &str) -> Option<ArgValueCompleter> {
    let (side, rest) = match flag.split_once('-') {
        Some(("from", rest)) => (Some(0), rest),
        Some(("to", rest)) => (Some(1), rest),
        _ => (None, flag),
    };
    let both = fields(rest);
    let fields = match side {
        Some(side) => both.get(side..=side)?,
        None => both,
    };
    if fields.is_empty() {
        return None;
    }
    // The endpoint of a flow may be a reserved identity, which is no pod.
    let is_name = rest == "pod";
    Some(ArgValueCompleter::new(move |current: &OsStr| {
        let prefix = current.to_str().unwrap_or_default();
        let mut values = ask(fields, prefix);
        values.retain(|value| !is_name || value.contains('/'));
        values.into_iter().map(CompletionCandidate::new).collect()
    }))
}

/// Only which server: the line is not finished, so nothing else of it can be parsed.
#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    connection: Connection,
}

/// The server that the line names, or the usual one.
fn connection(words: &[String]) -> Option<Connection> {
    let mut line = vec!["sextant".to_owned()];
    // Bash parts words at `:` and `=` too.
    let mut words = words.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, Some(value)),
            _ => (word, None),
        };
        let is_switch = matches!(flag, "--tls" | "--tls-allow-insecure");
        if !is_switch && !WHICH_SERVER.contains(&flag) {
            continue;
        }
        let is_parted = words.next_if_eq(&"=").is_some();
        if is_switch && value.is_none() && !is_parted {
            line.push(flag.to_owned());
            continue;
        }
        let Some(value) = value.or_else(|| words.next()) else {
            continue;
        };
        let mut value = value.to_owned();
        while words.next_if_eq(&":").is_some() {
            value.push(':');
            value.extend(words.next());
        }
        line.push(format!("{flag}={value}"));
    }
    Line::try_parse_from(line).ok().map(|line| line.connection)
}

fn ask(fields: &[FlowField], prefix: &str) -> Vec<String> {
    let words: Vec<String> = std::env::args().skip_while(|word| word != "--").collect();
    let Some(mut connection) = connection(&words) else {
        return Vec::new();
    };
    connection.timeout = PATIENCE;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return Vec::new();
    };
    let asked = async { tokio::time::timeout(PATIENCE, hints(&connection, fields, prefix)).await };
    let answer = runtime.block_on(asked);
    answer.ok().flatten().unwrap_or_default()
}

async fn hints(connection: &Connection, fields: &[FlowField], prefix: &str) -> Option<Vec<String>> {
    let server = Server::reading(connection).await.ok()?;
    let mut client = client!(FlowServiceClient<Channel>, server);
    let mut values = Vec::new();
    for field in fields {
        let request = ListFilterHintsRequest {
            field: (*field).into(),
            prefix: prefix.into(),
            limit: LIMIT,
            ..ListFilterHintsRequest::default()
        };
        let answer = client.list_filter_hints(request).await.ok()?.into_inner();
        values.extend(answer.hints.into_iter().map(|hint| hint.value));
    }
    // What would steer the terminal, or part the line, is not offered.
    values.retain(|value| !value.is_empty() && !value.contains(is_odd));
    values.sort_unstable();
    values.dedup();
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(words: &[&str]) -> Option<String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        connection(&words).unwrap().settings.server
    }

    #[test]
    fn the_server_is_found_however_the_shell_parts_the_line() {
        for words in [
            &[
                "--",
                "sextant",
                "--server",
                "unix:///a/b",
                "observe",
                "--pod",
                "",
            ][..],
            &["--", "sextant", "observe", "--server=unix:///a/b", "--pod"],
            &[
                "--", "sextant", "--server", "unix", ":", "///a/b", "--pod", "x",
            ],
            &[
                "--", "sextant", "--server", "=", "unix", ":", "///a/b", "--last", "no",
            ],
        ] {
            assert_eq!(server(words).as_deref(), Some("unix:///a/b"), "{words:?}");
        }
        assert_eq!(server(&["--", "sextant", "--bogus", "--server"]), None);
    }

    #[test]
    fn a_flag_of_one_side_asks_for_that_side() {
        for (flag, is_known) in [
            ("pod", true),
            ("from-pod", true),
            ("to-label", true),
            ("verdict", true),
            ("not", false),
            ("uuid", false),
            ("to-verdict", false),
        ] {
            assert_eq!(of(flag).is_some(), is_known, "{flag}");
        }
    }
}
