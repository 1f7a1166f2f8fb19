//! The log: lines on standard error, for people and for the journal.
//!
//! Filtered by `SEXTANT_LOG`. Every event is one line, and nothing in it steers a
//! terminal. Colours only where there is one that shows them.

use std::{
    env,
    io::{self, IsTerminal as _, Write},
    process::ExitCode,
};

use sextant_flows::printable::{printable, printable_lines};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, filter_fn},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::spans::{self, Spans};

/// The variable that says what is logged.
const FILTER: &str = "SEXTANT_LOG";
/// What is logged without it: the client of Kubernetes tells each try, which is told once
/// by who tries, and h2 each connection that it ends, of which anybody can make many.
const USUAL: &str = "info,kube_client=off,kube_runtime=off,h2=error";

/// Begins to log, and to make these spans, which are not in the log; called once.
pub fn start(spans: &Spans) {
    let filter = EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new(USUAL));
    let has_colors = has_colors(
        env::var("NO_COLOR").ok().as_deref(),
        env::var("TERM").ok().as_deref(),
        io::stderr().is_terminal(),
    );
    let is_told = filter_fn(|about| about.target() != spans::TARGET);
    // Without a level, what is traced would not be passed over as soon.
    let is_told = filter.and(is_told.with_max_level_hint(LevelFilter::TRACE));
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(move || Lines {
            to: io::stderr(),
            has_colors,
        })
        .with_target(false)
        .with_filter(is_told);
    tracing_subscriber::registry()
        .with(lines)
        .with(spans.layer())
        .with(spans.gate())
        .init();
}

/// Tells why the daemon ends; several mistakes stand on a line each.
pub fn tell(error: &anyhow::Error) {
    let mut stderr = io::stderr().lock();
    for line in printable_lines(&with_causes(error)).lines() {
        // Where nobody can be told, nobody is.
        let _ = writeln!(stderr, "sextantd: {line}");
    }
}

/// Causes behind the text, but for those that it has in it already.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Prints a help, or what is wrong with the arguments: what these have in them may
/// be of others.
#[must_use]
pub fn told(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    let shown = printable_lines(&text);
    let _ = match error.use_stderr() && shown != text {
        true => io::stderr().write_all(shown.as_bytes()),
        false => error.print(),
    };
    u8::try_from(error.exit_code()).unwrap_or(2).into()
}

fn has_colors(no_color: Option<&str>, term: Option<&str>, is_terminal: bool) -> bool {
    no_color.is_none_or(str::is_empty) && term != Some("dumb") && is_terminal
}

/// Takes an event at a time, as the subscriber writes it: time, level, what was.
struct Lines<W> {
    to: W,
    has_colors: bool,
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let line = printable(text.strip_suffix('\n').unwrap_or(&text));
        let line = match self.has_colors {
            true => colored(&line),
            false => line.into_owned(),
        };
        self.to.write_all((line + "\n").as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Painted here and not by the subscriber, which leaves values as they are: so no
/// ESC of theirs is taken for one of ours.
fn colored(line: &str) -> String {
    let (time, rest) = line.split_once(' ').unwrap_or(("", line));
    let (level, rest) = rest.trim_start().split_once(' ').unwrap_or((rest, ""));
    let color = match level {
        "ERROR" => 31,
        "WARN" => 33,
        "INFO" => 32,
        "DEBUG" => 34,
        _ => 35,
    };
    format!("\x1b[2m{time}\x1b[0m \x1b[{color}m{level:>5}\x1b[0m {rest}")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use sextant_flows::printable::is_odd;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged of this name.
    fn logged(name: &str, has_colors: bool) -> String {
        let kept = Kept::default();
        let to = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || Lines {
                to: to.clone(),
                has_colors,
            })
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(interface = %name, other = ?name, "attached {name}");
        });
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_event_is_one_line_that_steers_nothing() {
        let name = "a\n2026 INFO b\r\x1b]0;x\x07\x1b[2J\u{9b}31m\u{202e}\u{2028}\t";
        let plain = logged(name, false);
        assert_eq!(plain.matches('\n').count(), 1);
        assert!(!plain.trim_end_matches('\n').contains(is_odd), "{plain:?}");
        let colored = logged(name, true);
        assert_eq!(colored.matches('\n').count(), 1);
        assert_eq!(colored.matches('\x1b').count(), 4, "{colored:?}");
        let bare = ["\x1b[2m", "\x1b[32m", "\x1b[0m"]
            .iter()
            .fold(colored, |text, code| text.replace(code, ""));
        let (_, bare) = bare.split_once(' ').unwrap();
        assert_eq!(Some(bare), plain.split_once(' ').map(|(_, rest)| rest));
    }

    #[test]
    fn colours_are_for_terminals_that_show_them() {
        assert!(has_colors(None, Some("xterm"), true));
        assert!(has_colors(Some(""), None, true));
        assert!(!has_colors(None, Some("xterm"), false));
        assert!(!has_colors(Some("1"), Some("xterm"), true));
        assert!(!has_colors(None, Some("dumb"), true));
    }

    #[test]
    fn a_cause_is_told_once() {
        let cause = io::Error::other("no room");
        let error = anyhow::Error::new(cause);
        assert_eq!(with_causes(&error), "no room");
        let error = error.context("cannot write");
        assert_eq!(with_causes(&error), "cannot write: no room");
        let error = error.context("not started: no room; make some");
        let told = "not started: no room; make some: cannot write";
        assert_eq!(with_causes(&error), told);
    }
}
