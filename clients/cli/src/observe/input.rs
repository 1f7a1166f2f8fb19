//! Flows and events from a file instead of a server. Bound: a line in memory, and
//! those that `--last` asks for, `MAX_LAST` at most.

use std::{
    collections::VecDeque,
    io::{self, Write},
    ops::ControlFlow,
};

use prost::Message;
use sextant_proto::observer::GetFlowsResponse;

use super::stream::Show;
use crate::{
    input::{self, Input, Wanted},
    lines::Lines,
};

/// The most that `--last` takes of a file, as in `hubble`.
pub(super) const MAX_LAST: u64 = 1_000_000;

/// How many of a file are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    All,
    First(u64),
    Last(u64),
}

/// What of a file is shown: at once, or kept until it is known to be among the last.
struct Picked<M> {
    part: Part,
    kept: VecDeque<M>,
    shown: u64,
    /// Lines come one by one, and are waited for.
    is_live: bool,
}

impl<M> Picked<M> {
    fn new(part: Part) -> Self {
        Self {
            part,
            kept: VecDeque::new(),
            shown: 0,
            is_live: false,
        }
    }

    /// Shows or keeps one; breaks when no more are wanted.
    fn add(
        &mut self,
        message: M,
        show: &mut impl Show<M>,
        out: &mut impl Write,
    ) -> io::Result<ControlFlow<()>> {
        if let Part::Last(last) = self.part {
            self.kept.push_back(message);
            if self.kept.len() as u64 > last {
                self.kept.pop_front();
            }
            return Ok(ControlFlow::Continue(()));
        }
        show.print(&message, out)?;
        if self.is_live {
            out.flush()?;
        }
        self.shown += 1;
        Ok(match self.part {
            Part::First(first) if self.shown >= first => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
    }

    /// Shows what was kept. What came before an error of the file is shown before it.
    fn finish(
        self,
        end: anyhow::Result<()>,
        show: &mut impl Show<M>,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        for message in self.kept {
            show.print(&message, out)?;
        }
        if end.is_err() {
            show.finish(out)?;
            out.flush()?;
        }
        end
    }
}

/// Prints the wanted responses of a file. The end is left to the caller, unless it is
/// an error.
pub(super) fn flows(
    input: Input<'_>,
    wanted: &mut Wanted,
    part: Part,
    show: &mut impl Show<GetFlowsResponse>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut picked = Picked::new(part);
    picked.is_live = input.path.as_os_str() == "-";
    let end = input::each(input, |response| {
        match wanted.takes(&response).map_err(io::Error::other)? {
            true => picked.add(response, show, out),
            false => Ok(ControlFlow::Continue(())),
        }
    });
    picked.finish(end, show, out)
}

/// Prints lines that are responses of this full name, and pass. A line that is none is
/// told by number. The end is left to the caller, unless it is an error.
pub(super) fn events<M: Message + Default>(
    mut lines: Lines,
    response: &str,
    part: Part,
    passes: impl Fn(&M) -> bool,
    show: &mut impl Show<M>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut picked = Picked::new(part);
    let end = loop {
        let line = match lines.next() {
            Ok(Some(line)) => line,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error.into()),
        };
        match line.parse::<M>(response) {
            Ok(message) if !passes(&message) => {}
            Ok(message) => {
                if picked.add(message, show, out)?.is_break() {
                    break Ok(());
                }
            }
            Err(why) => io::stderr().write_all(line.bad(&why).as_bytes())?,
        }
    };
    picked.finish(end, show, out)
}

#[cfg(test)]
mod tests {
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
        for (part, shown) in [
            (Part::All, "a b c"),
            (Part::Last(2), "b c"),
            (Part::First(9), "a b c"),
        ] {
            let (mut show, mut out) = (Names::default(), Vec::new());
            let name = "observer.GetFlowsResponse";
            let lines = broken(BYTES);
            let error = events(lines, name, part, |_| true, &mut show, &mut out).unwrap_err();
            assert_eq!(String::from_utf8(out).unwrap(), shown);
            assert!(error.to_string().contains("line 5 of f"), "{error}");
        }
    }
}
