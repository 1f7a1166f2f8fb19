//! Flows and events from a file instead of a server. Bound: a line in memory, and
//! those that `--last` asks for, `MAX_LAST` at most.

use std::{
    collections::VecDeque,
    io::{self, Write},
    ops::ControlFlow,
};

use sextant_proto::observer::{ExportEvent, GetFlowsResponse};

use super::stream::Show;
use crate::input::{self, Input, Wanted};

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

/// Prints events that are of a kind, and pass. The end is left to the caller, unless it
/// is an error.
pub(super) fn events<M>(
    input: Input<'_>,
    part: Part,
    mut wanted: impl FnMut(ExportEvent) -> Option<M>,
    show: &mut impl Show<M>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut picked = Picked::new(part);
    picked.is_live = input.path.as_os_str() == "-";
    let end = input::each_event(input, |event| match wanted(event) {
        Some(message) => picked.add(message, show, out),
        None => Ok(ControlFlow::Continue(())),
    });
    picked.finish(end, show, out)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for (part, shown) in [
            (Part::All, "a b c"),
            (Part::Last(2), "b c"),
            (Part::First(9), "a b c"),
        ] {
            let (mut show, mut out) = (Names::default(), Vec::new());
            let mut picked = Picked::new(part);
            for name in ["a", "b", "c"] {
                let message = GetFlowsResponse {
                    node_name: name.into(),
                    ..GetFlowsResponse::default()
                };
                let goes_on = picked.add(message, &mut show, &mut out).unwrap();
                assert!(goes_on.is_continue());
            }
            let end = Err(anyhow::anyhow!("the disk is gone"));
            let error = picked.finish(end, &mut show, &mut out).unwrap_err();
            assert_eq!(String::from_utf8(out).unwrap(), shown);
            assert_eq!(error.to_string(), "the disk is gone");
        }
    }
}
