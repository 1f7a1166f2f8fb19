//! Flows and events from a file of JSON lines instead of a server. Bound: a line in memory,
//! and those that `--last` asks for.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::Path,
};

use anyhow::Context as _;
use prost::Message;

use super::stream::Show;
use crate::json;

/// Opens the file; `-` is standard input.
pub(crate) fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Box::new(BufReader::new(file)))
}

/// Prints all lines, or the last ones, as responses of this full name. A line that
/// is none is told by number.
pub(super) fn print<M: Message + Default>(
    path: &Path,
    response: &str,
    last: Option<u64>,
    show: &mut impl Show<M>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let limit = last.map(|last| usize::try_from(last).unwrap_or(usize::MAX));
    let mut kept: VecDeque<M> = VecDeque::new();
    for (index, line) in open(path)?.lines().enumerate() {
        let line =
            line.with_context(|| format!("cannot read line {} of {}", index + 1, path.display()))?;
        if line.trim().is_empty() {
            continue;
        }
        match json::parse::<M>(&line, response) {
            Ok(response) if !show.counts(&response) => {}
            Ok(response) if limit.is_some() => {
                kept.push_back(response);
                if Some(kept.len()) > limit {
                    kept.pop_front();
                }
            }
            Ok(response) => show.print(&response, out)?,
            Err(error) => writeln!(
                io::stderr(),
                "sextant: line {} of {}: {error}",
                index + 1,
                path.display()
            )?,
        }
    }
    for response in kept {
        show.print(&response, out)?;
    }
    Ok(())
}
