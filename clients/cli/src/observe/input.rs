//! Flows and events from a file of JSON lines instead of a server. Bound: a line in memory,
//! and those that `--last` asks for.

use std::{
    collections::VecDeque,
    io::{self, Write},
};

use prost::Message;

use super::stream::Show;
use crate::lines::Lines;

/// Prints all lines, or the last ones, as responses of this full name. A line that
/// is none is told by number. The end is left to the caller, unless it is an error.
pub(super) fn print<M: Message + Default>(
    mut lines: Lines,
    response: &str,
    last: Option<u64>,
    show: &mut impl Show<M>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let limit = last.map(|last| usize::try_from(last).unwrap_or(usize::MAX));
    let mut kept: VecDeque<M> = VecDeque::new();
    let end = loop {
        let line = match lines.next() {
            Ok(Some(line)) => line,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        match line.parse::<M>(response) {
            Ok(message) if !show.counts(&message) => {}
            Ok(message) if limit.is_some() => {
                kept.push_back(message);
                if Some(kept.len()) > limit {
                    kept.pop_front();
                }
            }
            Ok(message) => show.print(&message, out)?,
            Err(why) => io::stderr().write_all(line.bad(&why).as_bytes())?,
        }
    };
    for message in kept {
        show.print(&message, out)?;
    }
    if end.is_err() {
        // What came before the error is shown before it.
        show.finish(out)?;
        out.flush()?;
    }
    Ok(end?)
}

#[cfg(test)]
mod tests {
    use sextant_proto::observer::GetFlowsResponse;

    use super::*;
    use crate::lines::tests::broken;

    /// Shows node names, all of them at the end.
    #[derive(Default)]
    struct Names(Vec<String>);

    impl Show<GetFlowsResponse> for Names {
        fn print(&mut self, message: &GetFlowsResponse, _: &mut impl Write) -> io::Result<()> {
            self.0.push(message.node_name.clone());
            Ok(())
        }

        fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
            out.write_all(self.0.join(" ").as_bytes())
        }
    }

    #[test]
    fn what_was_kept_is_written_before_the_file_fails() {
        const BYTES: &[u8] =
            b"{\"node_name\":\"a\"}\n{\"node_name\":\"b\"}\n\xff\n{\"node_name\":\"c\"}\n{";
        for (last, shown) in [(None, "a b c"), (Some(2), "b c")] {
            let (mut show, mut out) = (Names::default(), Vec::new());
            let name = "observer.GetFlowsResponse";
            let error = print(broken(BYTES), name, last, &mut show, &mut out).unwrap_err();
            assert_eq!(String::from_utf8(out).unwrap(), shown);
            assert!(error.to_string().contains("line 5 of f"), "{error}");
        }
    }
}
