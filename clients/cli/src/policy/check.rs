//! `sextant policy check`: all mistakes at once, or what the policies are about.

use std::{io::Write as _, process::ExitCode};

use clap::Args;
use sextant_policy::policy::{Direction, Effect, Policy, Subject};

use super::files::FileArgs;
use crate::{
    out,
    text::{self, Align, harmless, harmless_lines},
};

/// Arguments of `policy check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    files: FileArgs,
}

/// Reads them and tells.
pub(super) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let found = match args.files.read() {
        Ok(found) => found,
        Err(errors) => {
            let mut out = std::io::stderr().lock();
            for error in errors {
                writeln!(out, "{}", harmless_lines(&error.to_string()))?;
            }
            return Ok(ExitCode::FAILURE);
        }
    };
    let head = ["POLICY", "SELECTS", "INGRESS", "EGRESS", "FILE"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (policy, file) in &found {
        let file = file.display().to_string();
        rows.extend(of_policy(policy, &harmless(&file)));
    }
    let mut out = out::stdout();
    out.write_all(text::table(&rows, &[Align::Left; 5]).as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// A row for each part.
fn of_policy(policy: &Policy, file: &str) -> Vec<Vec<String>> {
    let parts = policy.specs.iter().map(|spec| {
        let selects = match &spec.subject {
            Subject::Endpoints(selector) => format!("endpoints {selector}"),
            Subject::Host(selector) => format!("host {selector}"),
        };
        let rules = |direction| {
            let rules: Vec<_> = spec
                .rules
                .iter()
                .filter(|rule| rule.direction == direction)
                .collect();
            let of = |effect| rules.iter().filter(|rule| rule.effect == effect).count();
            if rules.is_empty() {
                return String::new();
            }
            let default = if rules.iter().any(|rule| rule.default_deny) {
                ", default deny"
            } else {
                ""
            };
            let (allow, deny) = (of(Effect::Allow), of(Effect::Deny));
            match deny {
                0 => format!("{allow} allow{default}"),
                _ => format!("{allow} allow, {deny} deny{default}"),
            }
        };
        vec![
            policy.id.to_string(),
            selects.trim_end().to_owned(),
            rules(Direction::Ingress),
            rules(Direction::Egress),
            file.to_owned(),
        ]
    });
    parts.collect()
}
