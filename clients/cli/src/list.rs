//! `sextant list`: nodes, namespaces, interfaces and names.

use std::{io::Write as _, process::ExitCode, time::Duration};

use clap::{Args, ValueEnum};
use prost::Message;
use sextant_proto::{
    observer::{GetNamespacesRequest, GetNodesRequest, Node, Tls, observer_client::ObserverClient},
    relay::NodeState,
    sextant::{
        flow::v1::{
            AddressName, ListNamesRequest, NameSource, flow_service_client::FlowServiceClient,
        },
        status::v1::{
            Attachment, GetStatusRequest, Volume, status_service_client::StatusServiceClient,
        },
    },
};

use crate::{
    call,
    connect::{Channel, Server, client},
    connection::Connection,
    json, out,
    text::{self, Align, grouped, harmless},
    time::Format,
};

/// Names asked for at once.
const NAMES_OF_A_PAGE: u32 = 10_000;

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// What.
    #[arg(value_enum, value_name = "WHAT")]
    what: What,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// Nodes that the server knows.
    #[value(alias = "node")]
    Nodes,
    /// Namespaces with recent flows.
    #[value(alias = "namespace", alias = "ns")]
    Namespaces,
    /// Interfaces with programs, and what passed them.
    #[value(alias = "interface")]
    Interfaces,
    /// Names of addresses, as clients learned them by DNS or asked for them in TLS, or the
    /// server's file of hosts has them.
    #[value(alias = "name")]
    Names,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Output {
    /// Columns.
    #[default]
    Table,
    /// More columns.
    Wide,
    /// One JSON object a line.
    Json,
}

/// Prints the list.
pub(crate) async fn run(connection: &Connection, args: &ListArgs) -> anyhow::Result<ExitCode> {
    let server = Server::reading(connection).await?;
    let wide = args.output == Output::Wide;
    let json = args.output == Output::Json;
    let text = match args.what {
        What::Nodes => {
            let failed = call::failed("list the nodes of", &server);
            let mut client = client!(ObserverClient<Channel>, server);
            let answer = client.get_nodes(server.unary(GetNodesRequest {})).await;
            let mut nodes = answer.map_err(failed)?.into_inner().nodes;
            nodes.sort_by(|a, b| a.name.cmp(&b.name));
            if json {
                lines(&nodes, "observer.Node")
            } else {
                node_table(&nodes, wide)
            }
        }
        What::Namespaces => {
            let failed = call::failed("list the namespaces of", &server);
            let mut client = client!(ObserverClient<Channel>, server);
            let answer = client
                .get_namespaces(server.unary(GetNamespacesRequest {}))
                .await;
            let found = answer.map_err(failed)?.into_inner().namespaces;
            let row = |namespace: String, cluster: String| match wide {
                true => vec![namespace, cluster],
                false => vec![namespace],
            };
            let mut rows = vec![row("NAMESPACE".into(), "CLUSTER".into())];
            rows.extend(
                found
                    .iter()
                    .map(|n| row(harmless(&n.namespace), harmless(&n.cluster))),
            );
            if json {
                lines(&found, "observer.Namespace")
            } else {
                text::table(&rows, &[])
            }
        }
        What::Interfaces => {
            let failed = call::failed("list the interfaces of", &server);
            let mut client = client!(StatusServiceClient<Channel>, server);
            let answer = client.get_status(server.unary(GetStatusRequest {})).await;
            let status = answer
                .map_err(failed)?
                .into_inner()
                .status
                .unwrap_or_default();
            let found = status.attachments;
            if json {
                lines(&found, "sextant.status.v1.Attachment")
            } else {
                interface_table(&found)
            }
        }
        What::Names => {
            let found = names(server).await?;
            if json {
                lines(&found, "sextant.flow.v1.AddressName")
            } else {
                name_table(&found)
            }
        }
    };
    let mut out = out::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// All pages.
async fn names(server: Server) -> anyhow::Result<Vec<AddressName>> {
    let failed = call::failed("list the names of", &server);
    let mut client = client!(FlowServiceClient<Channel>, server);
    let mut request = ListNamesRequest {
        limit: NAMES_OF_A_PAGE,
        ..ListNamesRequest::default()
    };
    let mut all = Vec::new();
    loop {
        let answer = client.list_names(server.unary(request.clone())).await;
        let page = answer.map_err(&failed)?.into_inner();
        all.extend(page.names);
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}

fn name_table(names: &[AddressName]) -> String {
    let head = ["NAME", "ADDRESS", "CLIENT", "SOURCE", "LEARNED", "EXPIRES"];
    let mut rows = vec![head.map(String::from).to_vec()];
    rows.extend(names.iter().map(|name| {
        vec![
            harmless(&name.name),
            harmless(&name.address),
            harmless(&name.client),
            match name.source() {
                NameSource::Dns => "dns".into(),
                NameSource::Tls => "tls".into(),
                NameSource::HostsFile => "hosts".into(),
                NameSource::Unspecified => String::new(),
            },
            Format::Rfc3339.print(name.learned.as_ref()),
            Format::Rfc3339.print(name.expires.as_ref()),
        ]
    }));
    text::table(&rows, &[])
}

fn lines<M: Message>(messages: &[M], name: &str) -> String {
    let line = |message| json::print(message, name) + "\n";
    messages.iter().map(line).collect()
}

fn node_table(nodes: &[Node], wide: bool) -> String {
    let mut head = vec!["NAME", "STATUS", "AGE", "FLOWS/S", "CURRENT/MAX-FLOWS"];
    if wide {
        head.extend(["VERSION", "ADDRESS", "TLS"]);
    }
    let mut rows = vec![head.into_iter().map(String::from).collect()];
    for node in nodes {
        let state = NodeState::try_from(node.state).unwrap_or_default();
        let state = state.as_str_name().trim_start_matches("NODE_");
        let uptime = Duration::from_nanos(node.uptime_ns);
        let rate = match uptime.is_zero() {
            true => "N/A".into(),
            false => format!("{:.2}", node.seen_flows as f64 / uptime.as_secs_f64()),
        };
        let mut row = vec![
            harmless(&node.name),
            state.into(),
            text::duration(uptime),
            rate,
            format!("{}/{}", grouped(node.num_flows), grouped(node.max_flows)),
        ];
        if wide {
            let tls = match node.tls {
                Some(Tls { enabled: true, .. }) => "Enabled",
                Some(_) => "Disabled",
                None => "N/A",
            };
            row.extend([harmless(&node.version), harmless(&node.address), tls.into()]);
        }
        rows.push(row);
    }
    text::table(&rows, &[])
}

/// Interfaces by name, with what passed in each direction.
fn interface_table(attachments: &[Attachment]) -> String {
    let head = [
        "INTERFACE",
        "INDEX",
        "HOOK",
        "IN PACKETS",
        "IN BYTES",
        "OUT PACKETS",
        "OUT BYTES",
        "SINCE",
    ];
    let mut rows = vec![head.map(String::from).to_vec()];
    for attachment in attachments {
        let volume = |volume: &Option<Volume>| {
            let volume = volume.as_ref();
            [
                volume.map_or(0, |v| v.packets),
                volume.map_or(0, |v| v.bytes),
            ]
            .map(grouped)
        };
        let mut row = vec![
            harmless(&attachment.interface),
            attachment.index.to_string(),
            harmless(&attachment.hook),
        ];
        row.extend(volume(&attachment.ingress));
        row.extend(volume(&attachment.egress));
        row.push(Format::Rfc3339.print(attachment.since.as_ref()));
        rows.push(row);
    }
    let (left, right) = (Align::Left, Align::Right);
    text::table(
        &rows,
        &[left, right, left, right, right, right, right, left],
    )
}
