//! `sextant policy evaluate`: the verdict on one connection, at both of its ends.

use std::{io::Write as _, net::IpAddr, process::ExitCode};

use clap::{Args, ValueEnum};
use sextant_policy::{
    endpoint::Endpoint,
    judge::Judge,
    judgement::Verdict,
    label::{Label, NAMESPACE, RESERVED},
    ports::port_and_protocol,
    set::{Enforcement, PolicySet},
    simulation::by,
};

use super::explain::{self, Ends, RESERVED_NAMES};
use super::files::MaybeFileArgs;
use crate::{connection::Connection, out, text::harmless};

/// Arguments of `policy evaluate`.
#[derive(Debug, Args)]
pub(crate) struct EvaluateArgs {
    #[command(flatten)]
    files: MaybeFileArgs,
    /// Who opens the connection: an address outside, `host`, or labels
    /// (`app=web,io.kubernetes.pod.namespace=shop`).
    #[arg(long, value_name = "WHO", value_parser = explain::who)]
    from: String,
    /// Namespace of who opens it.
    #[arg(long, value_name = "NAMESPACE")]
    from_namespace: Option<String>,
    /// To whom.
    #[arg(long, value_name = "WHO", value_parser = explain::who)]
    to: String,
    /// Namespace of whom.
    #[arg(long, value_name = "NAMESPACE")]
    to_namespace: Option<String>,
    /// The port and protocol: `443`, `53/UDP`, `8/ICMP` (a type), `0/GRE`.
    #[arg(long, value_name = "PORT[/PROTOCOL]", value_parser = port_and_protocol)]
    port: (u16, u8),
    /// Who denies by default, by policies of files; a server has its own.
    #[arg(
        long,
        value_enum,
        value_name = "MODE",
        default_value_t,
        requires = "files"
    )]
    mode: Mode,
}

/// Who denies by default, as Cilium calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Mode {
    /// Whom a policy selects, in its direction.
    #[default]
    Default,
    /// Everybody.
    Always,
    /// Nobody.
    Never,
}

impl From<Mode> for Enforcement {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Default => Self::Default,
            Mode::Always => Self::Always,
            Mode::Never => Self::Never,
        }
    }
}

/// Prints it: exit code 1 if the connection is denied.
pub(super) async fn run(connection: &Connection, args: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    let Some(policies) = args.files.policies()? else {
        let ends = Ends {
            from: (&args.from, args.from_namespace.as_deref()),
            to: (&args.to, args.to_namespace.as_deref()),
            port: args.port,
        };
        return explain::evaluate(connection, &ends).await;
    };
    let set = PolicySet::new(policies, args.mode.into());
    let client = who(&args.from, args.from_namespace.as_deref());
    let server = who(&args.to, args.to_namespace.as_deref());
    let mut out = out::stdout();
    let judgements = Judge::new(&set).judge_ends(&client, &server, args.port.1, args.port.0);
    for (end, judgement) in ["egress", "ingress"].into_iter().zip(&judgements) {
        let verdict = word(judgement.verdict);
        writeln!(out, "{end}: {verdict}: {}", harmless(&by(judgement)))?;
    }
    let [egress, ingress] = judgements.map(|judgement| judgement.verdict);
    let worst = egress.max(ingress);
    writeln!(out, "{}", word(worst))?;
    out.flush()?;
    Ok(match worst {
        Verdict::Deny => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

pub(super) fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allowed",
        Verdict::AllowAuthenticated => "allowed once authenticated",
        Verdict::Deny => "denied",
    }
}

fn who(text: &str, namespace: Option<&str>) -> Endpoint {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Endpoint::outside(address);
    }
    if RESERVED_NAMES.contains(&text) {
        return Endpoint::new([Label::new(RESERVED, text, "")].into_iter().collect());
    }
    let labels = text
        .split(',')
        .filter(|label| !label.is_empty())
        .map(Label::parse);
    let namespace = namespace.map(|namespace| Label::new("k8s", NAMESPACE, namespace));
    Endpoint::new(labels.chain(namespace).collect())
}
