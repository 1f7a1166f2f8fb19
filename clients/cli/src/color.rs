//! Colours of the text outputs: the same as those of `hubble`.

use std::{
    env,
    io::{self, IsTerminal as _},
};

use clap::ValueEnum;

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless NO_COLOR is set or TERM is `dumb`.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Colours or not.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Paint(bool);

/// A colour of the terminal's sixteen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Color {
    /// Denied.
    Red,
    /// Let through.
    Green,
    /// Between the two; ports.
    Yellow,
    /// Identities.
    Magenta,
    /// Hosts.
    Cyan,
}

impl Paint {
    /// Whether standard output gets colours.
    pub(crate) fn of(when: When) -> Self {
        Self(match when {
            When::Always => true,
            When::Never => false,
            When::Auto => {
                env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && env::var_os("TERM").is_none_or(|term| term != "dumb")
                    && io::stdout().is_terminal()
            }
        })
    }

    /// The text in this colour.
    pub(crate) fn paint(self, color: Color, text: &str) -> String {
        let Self(true) = self else {
            return text.into();
        };
        let code = match color {
            Color::Red => 31,
            Color::Green => 32,
            Color::Yellow => 33,
            Color::Magenta => 35,
            Color::Cyan => 36,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}
