//! `sextant policy suggest`: the least policy that allows what endpoints were seen to do.

use std::{io::Write as _, process::ExitCode};

use clap::Args;
use serde_json::{Map, Value, json};
use sextant_policy::{
    document,
    label::NAMESPACE,
    selector::{Operator, Requirement, Selector},
    suggestion::{Counts, MAX_PEERS, Suggestion},
};

use super::source::SourceArgs;
use crate::{connection::Connection, out, text::grouped};

/// Arguments of `policy suggest`.
#[derive(Debug, Args)]
pub(crate) struct SuggestArgs {
    /// Labels of the endpoints that it is for: `app=web`, `unit=nginx.service`.
    #[arg(long, value_name = "KEY=VALUE,...", value_parser = pairs)]
    endpoint: Pairs,
    /// Their namespace, and the policy's.
    #[arg(long, value_name = "NAMESPACE")]
    endpoint_namespace: String,
    /// Name of the policy.
    #[arg(long, value_name = "NAME", default_value = "suggested")]
    policy_name: String,
    #[command(flatten)]
    source: SourceArgs,
}

/// Keys and values of labels.
#[derive(Debug, Clone)]
struct Pairs(Vec<(String, String)>);

fn pairs(text: &str) -> Result<Pairs, String> {
    let pair = |text: &str| match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && document::is_value(value) => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err(format!("`{text}` is no label; write KEY=VALUE")),
    };
    text.split(',')
        .map(pair)
        .collect::<Result<_, _>>()
        .map(Pairs)
}

/// Prints the policy, and to standard error what it is made of.
pub(super) async fn run(connection: &Connection, args: &SuggestArgs) -> anyhow::Result<ExitCode> {
    let Pairs(labels) = &args.endpoint;
    let is = |key: &str, value: &String| Requirement::new(key, Operator::In(vec![value.clone()]));
    let mut requirements: Vec<_> = labels.iter().map(|(key, value)| is(key, value)).collect();
    requirements.push(is(NAMESPACE, &args.endpoint_namespace));
    let mut suggestion = Suggestion::new(Selector::new(requirements));
    let lost = args
        .source
        .each(connection, |flow| suggestion.see(flow))
        .await?;
    if suggestion.counts() == Counts::default() {
        anyhow::bail!(
            "no flow of {} in the namespace `{}` was seen, so there is nothing to suggest; see `sextant observe` for their labels",
            labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect::<Vec<_>>()
                .join(","),
            args.endpoint_namespace
        );
    }
    let labels: Map<_, _> = labels
        .iter()
        .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
        .collect();
    let selector = json!({ "matchLabels": labels });
    let document = suggestion.document(&args.policy_name, &args.endpoint_namespace, &selector);
    let text = document::to_yaml(&document)?;
    // What is printed can be applied.
    document::parse(&text)?;
    let mut out = out::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    let counts = suggestion.counts();
    let mut told = format!(
        "it allows the {} flows that were seen",
        grouped(counts.allowed)
    );
    if counts.left_out > 0 {
        told += &format!(
            ", but not {} of more than {MAX_PEERS} peers, of peers that no label tells from others, or of other protocols",
            grouped(counts.left_out)
        );
    }
    if lost > 0 {
        told += &format!("; {} were lost on the way", grouped(lost));
    }
    writeln!(std::io::stderr(), "sextant: {told}")?;
    Ok(ExitCode::SUCCESS)
}
