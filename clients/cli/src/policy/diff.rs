//! `sextant policy diff`: what applying files would change, line by line.

use std::{collections::BTreeMap, io::Write as _, process::ExitCode};

use clap::Args;
use sextant_policy::document;
use similar::TextDiff;

use super::{
    files::FileArgs,
    show::{fetch, yaml},
    words::{self, ScopeArgs},
};
use crate::{connect::Server, connection::Connection, out, text::harmless_lines};

/// Arguments of `policy diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    files: FileArgs,
    /// As `apply --prune`: policies that are not among these would be deleted.
    #[arg(long)]
    prune: bool,
}

/// Prints it: exit code 1 if there is any.
pub(super) async fn run(connection: &Connection, args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let mut given = BTreeMap::new();
    for written in args.files.written()? {
        let text = harmless_lines(&document::to_yaml(&written.document)?);
        given.insert(written.policy.id.to_string(), text);
    }
    let server = Server::reading(connection).await?;
    let (policies, _) = fetch(&server, &ScopeArgs::default(), true).await?;
    let mut kept = BTreeMap::new();
    for policy in &policies {
        let reference = words::reference(policy);
        kept.insert(words::name(Some(&reference)), yaml(policy)?);
    }
    let mut out = out::stdout();
    let mut is_different = false;
    let names: std::collections::BTreeSet<_> = given.keys().chain(kept.keys()).collect();
    for name in names {
        let (before, after) = match (kept.get(name), given.get(name)) {
            (Some(_), None) if !args.prune => continue,
            (before, after) => (
                before.map_or("", |text| text),
                after.map_or("", |text| text),
            ),
        };
        if before.trim_end() == after.trim_end() {
            continue;
        }
        is_different = true;
        let title = |text: &str, place: &str| match text {
            "" => "/dev/null".to_owned(),
            _ => format!("{place}: {name}"),
        };
        let diff = TextDiff::from_lines(before, after);
        let mut unified = diff.unified_diff();
        let titles = (title(before, "server"), title(after, "files"));
        write!(
            out,
            "{}",
            unified.context_radius(3).header(&titles.0, &titles.1)
        )?;
    }
    out.flush()?;
    Ok(match is_different {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}
