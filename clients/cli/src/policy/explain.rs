//! `sextant policy explain`, and `evaluate` by a server: how a verdict comes about.

use std::{fmt::Write as _, io::Write as _, net::IpAddr, process::ExitCode};

use clap::{Args, ValueEnum};
use sextant_policy::ports::{name_of, port_and_protocol};
use sextant_proto::sextant::policy::v1::{self as api, policy_service_client::PolicyServiceClient};

use super::words::{mode, name, verdict};
use crate::{
    call,
    connect::{Channel, Server, client},
    connection::Connection,
    json, out,
    text::harmless,
    time::Format,
};

/// Names of reserved labels that stand for themselves.
pub(super) const RESERVED_NAMES: [&str; 8] = [
    "host",
    "remote-node",
    "kube-apiserver",
    "health",
    "init",
    "world",
    "world-ipv4",
    "world-ipv6",
];

/// Who is at an end: an address, the name of a reserved label, or labels.
pub(super) fn who(text: &str) -> Result<String, String> {
    let is_label = |label: &str| match label.split_once('=') {
        Some((key, _)) => !key.is_empty() && !key.contains('/') || key.contains('.'),
        None => label.starts_with("reserved:"),
    };
    let is_name = text.parse::<IpAddr>().is_ok() || RESERVED_NAMES.contains(&text);
    if is_name || !text.is_empty() && text.split(',').all(is_label) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{text}` is nobody: write an address, labels (KEY=VALUE,...), or one of {}",
        RESERVED_NAMES.join(", ")
    ))
}

/// Arguments of `policy explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The `uuid` of a stored flow (`sextant observe -o json`).
    #[arg(
        value_name = "UUID",
        required_unless_present = "from",
        conflicts_with = "from"
    )]
    uuid: Option<String>,
    #[command(flatten)]
    ends: MaybeEndsArgs,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,
}

/// A connection, if one is told.
#[derive(Debug, Args)]
struct MaybeEndsArgs {
    /// Who opens the connection: an address, `host`, or labels.
    #[arg(long, value_name = "WHO", value_parser = who, requires = "to", requires = "port")]
    from: Option<String>,
    /// Namespace of who opens it.
    #[arg(long, value_name = "NAMESPACE")]
    from_namespace: Option<String>,
    /// To whom.
    #[arg(long, value_name = "WHO", value_parser = who, requires = "from")]
    to: Option<String>,
    /// Namespace of whom.
    #[arg(long, value_name = "NAMESPACE")]
    to_namespace: Option<String>,
    /// The port and protocol: `443`, `53/UDP`, `8/ICMP` (a type), `0/GRE`.
    #[arg(long, value_name = "PORT[/PROTOCOL]", value_parser = port_and_protocol, requires = "from")]
    port: Option<(u16, u8)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Output {
    /// Lines.
    #[default]
    Text,
    /// The answer as a JSON object.
    Json,
}

/// Who opens a connection to whom, and where.
pub(super) struct Ends<'a> {
    pub(super) from: (&'a str, Option<&'a str>),
    pub(super) to: (&'a str, Option<&'a str>),
    pub(super) port: (u16, u8),
}

impl Ends<'_> {
    fn connection(&self) -> api::Connection {
        api::Connection {
            source: Some(end(self.from.0, self.from.1)),
            destination: Some(end(self.to.0, self.to.1)),
            protocol: self.port.1.into(),
            source_port: 0,
            destination_port: self.port.0.into(),
        }
    }
}

/// An address, a reserved name, or labels.
fn end(text: &str, namespace: Option<&str>) -> api::End {
    let namespace = namespace.unwrap_or_default().to_owned();
    if text.parse::<IpAddr>().is_ok() {
        return api::End {
            address: text.to_owned(),
            labels: Vec::new(),
            namespace,
        };
    }
    let reserved = RESERVED_NAMES.contains(&text);
    let labels = match reserved {
        true => vec![format!("reserved:{text}")],
        false => {
            let labels = text.split(',').filter(|label| !label.is_empty());
            labels.map(str::to_owned).collect()
        }
    };
    api::End {
        address: String::new(),
        labels,
        namespace,
    }
}

/// The verdict of the set of the server: exit code 1 if the connection is denied.
pub(super) async fn evaluate(connection: &Connection, ends: &Ends<'_>) -> anyhow::Result<ExitCode> {
    let server = Server::reading(connection).await?;
    let mut client = client!(PolicyServiceClient<Channel>, server);
    let request = server.unary(api::EvaluateRequest {
        connection: Some(ends.connection()),
        direction: 0,
    });
    let answer = client.evaluate(request).await;
    let answer = answer.map_err(call::failed(
        "evaluate a connection by the policies of",
        &server,
    ))?;
    let answer = answer.into_inner();
    let mut out = out::stdout();
    for judgement in &answer.judgements {
        writeln!(out, "{}", judged(judgement))?;
    }
    writeln!(out, "{}", verdict(answer.verdict))?;
    out.flush()?;
    Ok(code(answer.verdict()))
}

/// Prints all rules that are about an end, and what they come to.
pub(super) async fn run(connection: &Connection, args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    use api::explain_request::What;
    let what = match (&args.uuid, &args.ends) {
        (Some(uuid), _) => What::FlowUuid(uuid.clone()),
        (
            None,
            MaybeEndsArgs {
                from: Some(from),
                to: Some(to),
                port: Some(port),
                from_namespace,
                to_namespace,
            },
        ) => {
            let ends = Ends {
                from: (from, from_namespace.as_deref()),
                to: (to, to_namespace.as_deref()),
                port: *port,
            };
            What::Connection(ends.connection())
        }
        _ => anyhow::bail!("name the uuid of a flow, or a connection by --from, --to and --port"),
    };
    let server = Server::reading(connection).await?;
    let mut client = client!(PolicyServiceClient<Channel>, server);
    let request = server.unary(api::ExplainRequest { what: Some(what) });
    let answer = client.explain(request).await;
    let answer = answer.map_err(call::failed(
        "explain a verdict by the policies of",
        &server,
    ))?;
    let answer = answer.into_inner();
    let text = match args.output {
        Output::Json => json::print(&answer, "sextant.policy.v1.ExplainResponse") + "\n",
        Output::Text => told(&answer),
    };
    let mut out = out::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn code(verdict: api::PolicyVerdict) -> ExitCode {
    match verdict {
        api::PolicyVerdict::Deny => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

fn judged(judgement: &api::Judgement) -> String {
    let direction = match judgement.direction() {
        api::PolicyDirection::Ingress => "ingress",
        _ => "egress",
    };
    let (verdict, text) = (verdict(judgement.verdict), harmless(&judgement.text));
    format!("{direction}: {verdict}: {text}")
}

fn told(answer: &api::ExplainResponse) -> String {
    let mut text = String::new();
    let subject = |side: &Option<api::Side>| {
        side.as_ref()
            .map_or_else(String::new, |side| harmless(&side.subject))
    };
    let protocol = u8::try_from(answer.protocol).map_or("?", name_of);
    let (source, destination) = (subject(&answer.egress), subject(&answer.ingress));
    // A `String` takes all that is written to it.
    let _ = writeln!(
        text,
        "{source} -> {destination}:{}/{protocol} by revision {}",
        answer.port, answer.revision
    );
    if let Some(time) = &answer.flow_time {
        let verdict = harmless(&answer.flow_verdict);
        let _ = writeln!(
            text,
            "seen at {}: {verdict}",
            Format::Rfc3339Milli.print(Some(time))
        );
    }
    for side in [&answer.egress, &answer.ingress].into_iter().flatten() {
        text += &of_side(side);
    }
    text + verdict(answer.verdict) + "\n"
}

fn of_side(side: &api::Side) -> String {
    let mut text = String::new();
    let judgement = side.judgement.clone().unwrap_or_default();
    let labels = side.labels.iter().map(|label| harmless(label));
    let labels = labels.collect::<Vec<_>>().join(", ");
    let direction = match judgement.direction() {
        api::PolicyDirection::Ingress => "ingress",
        _ => "egress",
    };
    let _ = writeln!(
        text,
        "{direction} of {} ({labels})",
        harmless(&side.subject)
    );
    for considered in &side.rules {
        let rule = considered.rule.clone().unwrap_or_default();
        let outcome = match (considered.outcome(), considered.denies) {
            (api::RuleOutcome::Matches, true) => "denies it",
            (api::RuleOutcome::Matches, false) => "allows it",
            (api::RuleOutcome::OtherPeer, _) => "is about other peers",
            (api::RuleOutcome::OtherPort, _) => "is about other ports",
            (api::RuleOutcome::Unspecified, _) => "?",
        };
        let audit = match mode(considered.mode).as_str() {
            "audit" => " (in audit)",
            _ => "",
        };
        let (policy, place) = (name(rule.policy.as_ref()), harmless(&rule.rule));
        let _ = writeln!(text, "  {policy} {place} {outcome}{audit}");
    }
    if side.more_rules > 0 {
        let _ = writeln!(text, "  and {} rules more", side.more_rules);
    }
    text + "  " + &judged(&judgement) + "\n"
}
