//! Regular expressions of Go's `regexp`, run by the crate `regex`.
//!
//! A pattern is parsed as Go parses it, so it is accepted or refused with the
//! same text, and then written anew in the syntax of the crate `regex`, where
//! it means the same. Both match in linear time.
//!
//! Differs from Go: a pattern whose compiled form has no room any more, as that
//! of `\pL{1000}`, is refused (Go's own bound is higher), so is one that nests
//! repetitions and alternatives some 100 levels deep (`expression nests too
//! deeply`; Go's bound is 1000), and classes such as `\pL` are those of this
//! build's Unicode version.

mod class;
mod error;
mod node;
mod parser;
mod unicode;

#[cfg(test)]
mod tests;

use regex_automata::{meta, util::syntax};

use super::meter::{Meter, Spent};
pub use error::RegexpError;

/// Nesting of the rewritten pattern. The crate's compiler recurses, so this
/// bounds its stack.
const NEST_LIMIT: u32 = 300;

/// Bytes of a text that are looked at in one step, by a small pattern.
const TEXT_A_STEP: usize = 16;
/// Bytes of a compiled pattern that make each step one more.
const SIZE_A_STEP: usize = 512;

/// What a pattern may take, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Of the compiled form.
    pub(super) compiled: usize,
    /// Of the states that are remembered while it runs; beyond, others are
    /// forgotten.
    pub(super) remembered: usize,
}

/// Why a pattern is not compiled.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is no pattern.
    Wrong(RegexpError),
    /// It has no room.
    Large,
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Regexp {
    regex: meta::Regex,
    size: usize,
}

impl Regexp {
    /// Compiles a pattern of Go's syntax.
    pub(super) fn compile(pattern: &str, room: Room) -> Result<Self, Refusal> {
        let parsed = parser::parse(pattern).map_err(Refusal::Wrong)?;
        let rewritten = parsed.without_optional_ends().to_pattern();
        // Forwards and, for half of what is left, backwards.
        let config = meta::Config::new()
            .nfa_size_limit(Some(room.compiled / 2))
            .hybrid_cache_capacity(room.remembered);
        let built = meta::Builder::new()
            .configure(config)
            .syntax(syntax::Config::new().nest_limit(NEST_LIMIT))
            .build(&rewritten);
        match built {
            Ok(regex) => {
                let size = regex.memory_usage();
                match size <= room.compiled {
                    true => Ok(Self { regex, size }),
                    false => Err(Refusal::Large),
                }
            }
            Err(error) if error.size_limit().is_some() => Err(Refusal::Large),
            Err(_) => Err(Refusal::Wrong(RegexpError::nested(pattern))),
        }
    }

    /// Bytes of the compiled form.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Whether it matches anywhere in `text`. Costs pattern times text at worst.
    pub(super) fn is_match(&self, text: &str, meter: &Meter) -> Result<bool, Spent> {
        let states = 1 + self.size / SIZE_A_STEP;
        meter.spend(1 + text.len().saturating_mul(states) / TEXT_A_STEP)?;
        Ok(self.regex.is_match(text))
    }
}

/// Whether one of the patterns, each with its place in the request, matches.
pub(super) fn some_matches(patterns: &[(String, Regexp)], text: &str, meter: &Meter) -> bool {
    for (field, pattern) in patterns {
        match pattern.is_match(text, meter) {
            Ok(true) => return true,
            Ok(false) => {}
            Err(Spent) => {
                meter.blame(field);
                return false;
            }
        }
    }
    false
}
